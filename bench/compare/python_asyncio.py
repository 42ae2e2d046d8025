# SPDX-License-Identifier: MIT
"""By asyncio, as its documentation shows it."""
import asyncio
import os
import signal
import subprocess
import sys
import time

from python_tools import (
    GIB,
    LAUNCHING_LIMIT,
    READ_SIZE,
    SPAWNING_LIMIT,
    Cost,
    FloodSink,
    Unavailable,
    in_order,
    lateness_figures,
    numbered_text,
    require,
    trip_figures,
)


async def asyncio_child(argv, stdin=subprocess.DEVNULL, **options):
    return await asyncio.create_subprocess_exec(
        *argv, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )


class Asyncio:
    """By asyncio's own means. Pidfds, since the default of Python before 3.12 is a waiting thread for each child."""

    def __init__(self):
        if sys.version_info < (3, 12):
            asyncio.set_child_watcher(asyncio.PidfdChildWatcher())

    def measure(self, work):
        return asyncio.run(getattr(self, work.workload)(work))

    async def spawn(self, work):
        started = 0

        async def run_jobs():
            nonlocal started
            while started < work.jobs and time.monotonic() - start < SPAWNING_LIMIT:
                started += 1
                child = await asyncio_child(work.argv)
                output, errors = await child.communicate()
                require(child.returncode == 0 and output == work.expected_output and not errors, "wrong output")

        cost = Cost()
        start = time.monotonic()
        await asyncio.gather(*(run_jobs() for _ in range(work.at_once)))
        return {"jobs_per_s": started / (time.monotonic() - start)} | cost.figures(started)

    async def read_both(self, child, take):
        async def read(stream, reader):
            while data := await reader.read(READ_SIZE):
                take(stream, data)

        await asyncio.gather(read(0, child.stdout), read(1, child.stderr))
        require(await child.wait() == 0, "the child failed")

    async def flood(self, work):
        sink = FloodSink(work.keep)
        cost = Cost()
        start = time.monotonic()
        await self.read_both(await asyncio_child(work.argv), lambda stream, data: sink.take(data))
        seconds = time.monotonic() - start
        require(sink.size == work.bytes, "bytes are missing")
        return {"gib_per_s": work.bytes / GIB / seconds} | cost.figures()

    async def lines(self, work):
        record = []
        start = time.monotonic()
        await self.read_both(await asyncio_child(work.argv), lambda stream, data: record.append((stream, data)))
        seconds = time.monotonic() - start
        return {"lines_per_s": work.lines / seconds, "in_order": in_order(record, work.lines)}

    async def echo(self, work):
        data = numbered_text(work.bytes)
        cost = Cost()
        start = time.monotonic()
        child = await asyncio_child(work.argv, stdin=subprocess.PIPE)
        output, _ = await child.communicate(data)
        seconds = time.monotonic() - start
        require(child.returncode == 0 and output == data, "what came back is not what was sent")
        return {"gib_per_s": work.bytes / GIB / seconds} | cost.figures()

    async def round_trips(self, work):
        child = await asyncio_child(work.argv, stdin=subprocess.PIPE)
        times = []
        for number in range(work.warm_up + work.count):
            line = b"%d\n" % number
            start = time.monotonic()
            child.stdin.write(line)
            answer = await child.stdout.readline()
            times.append(time.monotonic() - start)
            require(answer == line, "a wrong answer")
        child.stdin.close()
        require(await child.wait() == 0, "the child failed")
        return trip_figures(times[work.warm_up :])

    async def launch(self, count, argv, **options):
        start = time.monotonic()
        children = []
        reason = None
        while len(children) < count and not reason:
            try:
                children.append(await asyncio_child(argv, **options))
            except OSError as failure:
                reason = f"{len(children)} children, then {failure}"
            if time.monotonic() - start > LAUNCHING_LIMIT:
                reason = f"launched only {len(children)} children in a minute"
        if reason:
            await self.kill_all(children)
            raise Unavailable(reason)
        return children

    async def kill_all(self, children):
        for child in children:
            child.kill()
        await asyncio.gather(*(child.communicate() for child in children))
        require(all(child.returncode == -signal.SIGKILL for child in children), "a sleeper ended otherwise")

    async def overshoot(self, work):
        limit = work.milliseconds / 1e3
        sleepers = await self.launch(work.sleepers, work.sleeper)
        late = []
        for _ in range(work.runs):
            child = await asyncio_child(work.argv)
            start = time.monotonic()
            communicating = asyncio.ensure_future(child.communicate())
            ended, _ = await asyncio.wait({communicating}, timeout=limit)
            require(not ended, "the child ended before it was killed")
            child.kill()
            late.append(time.monotonic() - start - limit)
            await communicating
            require(child.returncode == -signal.SIGKILL, "the child ended otherwise")
        await self.kill_all(sleepers)
        return lateness_figures(late)

    async def idle(self, work):
        children = await self.launch(work.children, work.argv)
        await asyncio.sleep(0)
        cost = Cost()
        await asyncio.sleep(work.milliseconds / 1e3)
        figures = cost.figures()
        await self.kill_all(children)
        return figures

    async def burst(self, work):
        children = await self.launch(work.children, work.argv, pass_fds=(3,))
        os.close(3)
        ends = [asyncio.ensure_future(child.communicate()) for child in children]
        await asyncio.sleep(work.milliseconds / 1e3)
        cost = Cost()
        start = time.monotonic()
        os.close(work.writer)
        await asyncio.gather(*ends)
        figures = {"median_ms": 1e3 * (time.monotonic() - start)} | cost.per_child(work.children)
        require(all(child.returncode == 0 for child in children), "a child failed")
        return figures
