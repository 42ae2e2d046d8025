# SPDX-License-Identifier: MIT
"""By threads, as packages for Python do it: two for each child read its streams, and one looks at it by psutil."""
import collections
import os
import signal
import subprocess
import threading
import time

import psutil

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

LOOKING_INTERVAL = 0.1  # seconds


class Child:
    """A child and the threads for it. `take(stream, data)` is called by the threads that read."""

    def __init__(self, argv, take, stdin=subprocess.DEVNULL, limit=None, pass_fds=()):
        self.take = take
        self.limit = limit
        self.late = None
        self.cpu_seconds = self.peak_rss = 0
        self.ended = threading.Event()
        self.process = subprocess.Popen(
            argv, bufsize=0, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=pass_fds
        )
        self.start = time.monotonic()
        self.readers = [
            threading.Thread(target=self.read, args=(stream, pipe))
            for stream, pipe in enumerate((self.process.stdout, self.process.stderr))
        ]
        self.looker = threading.Thread(target=self.look_again_and_again)
        for thread in (*self.readers, self.looker):
            thread.start()

    def read(self, stream, pipe):
        with pipe:
            while data := pipe.read(READ_SIZE):
                self.take(stream, data)

    def look(self, process):
        with process.oneshot():
            times = process.cpu_times()
            self.cpu_seconds = times.user + times.system
            self.peak_rss = max(self.peak_rss, process.memory_info().rss)

    def look_again_and_again(self):
        try:
            process = psutil.Process(self.process.pid)
            self.look(process)
            while not self.ended.wait(LOOKING_INTERVAL):
                self.look(process)
                if self.limit and time.monotonic() - self.start >= self.limit:
                    self.process.kill()
                    self.late = time.monotonic() - self.start - self.limit
                    return
        except psutil.NoSuchProcess:
            pass

    def wait(self):
        for reader in self.readers:
            reader.join()
        status = self.process.wait()
        self.ended.set()
        self.looker.join()
        return status


class PythonPsutil:
    """A thread for each run."""

    def measure(self, work):
        return getattr(self, work.workload)(work)

    def spawn(self, work):
        waiting = collections.deque(range(work.jobs))
        failures = []

        def run_jobs():
            while waiting and not failures and time.monotonic() - start < SPAWNING_LIMIT:
                try:
                    waiting.pop()
                except IndexError:  # another thread took the last one
                    return
                output = [[], []]
                status = Child(work.argv, lambda stream, data: output[stream].append(data)).wait()
                if status != 0 or b"".join(output[0]) != work.expected_output or output[1]:
                    failures.append((status, output))

        cost = Cost()
        start = time.monotonic()
        workers = [threading.Thread(target=run_jobs) for _ in range(work.at_once)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        started = work.jobs - len(waiting)
        figures = {"jobs_per_s": started / (time.monotonic() - start)} | cost.figures(started)
        require(not failures, f"wrong output: {failures}")
        return figures

    def flood(self, work):
        sink = FloodSink(work.keep)
        cost = Cost()
        start = time.monotonic()
        status = Child(work.argv, lambda stream, data: sink.take(data)).wait()
        seconds = time.monotonic() - start
        require(status == 0 and sink.size == work.bytes, "bytes are missing")
        return {"gib_per_s": work.bytes / GIB / seconds} | cost.figures()

    def lines(self, work):
        record = []
        start = time.monotonic()
        status = Child(work.argv, lambda stream, data: record.append((stream, data))).wait()
        seconds = time.monotonic() - start
        require(status == 0, "the child failed")
        return {"lines_per_s": work.lines / seconds, "in_order": in_order(record, work.lines)}

    def echo(self, work):
        data = numbered_text(work.bytes)
        output = bytearray()
        cost = Cost()
        start = time.monotonic()
        child = Child(work.argv, lambda stream, data: output.extend(data), stdin=subprocess.PIPE)
        with child.process.stdin as pipe, memoryview(data) as view:
            written = 0
            while written < len(view):
                written += pipe.write(view[written:])
        status = child.wait()
        seconds = time.monotonic() - start
        require(status == 0 and output == data, "what came back is not what was sent")
        return {"gib_per_s": work.bytes / GIB / seconds} | cost.figures()

    def round_trips(self, work):
        """The thread that reads an answer sends the next line."""
        times = []
        sent = [b"", 0.0]
        answer = bytearray()

        def send():
            sent[:] = [b"%d\n" % len(times), time.monotonic()]
            child.process.stdin.write(sent[0])

        def take(stream, data):
            answer.extend(data)
            if not answer.endswith(b"\n"):
                return
            times.append(time.monotonic() - sent[1])
            if answer != sent[0] or len(times) == work.warm_up + work.count:
                child.process.stdin.close()
                return
            answer.clear()
            send()

        child = Child(work.argv, take, stdin=subprocess.PIPE)
        send()
        status = child.wait()
        require(status == 0 and len(times) == work.warm_up + work.count and answer == sent[0], "a wrong answer")
        return trip_figures(times[work.warm_up :])

    def launch(self, count, argv, pass_fds=()):
        start = time.monotonic()
        children = []
        try:
            while len(children) < count:
                children.append(Child(argv, lambda stream, data: None, pass_fds=pass_fds))
                if time.monotonic() - start > LAUNCHING_LIMIT:
                    raise Unavailable(f"launched only {len(children)} children in a minute")
        except (OSError, RuntimeError) as failure:  # RuntimeError: no more threads
            raise Unavailable(f"{len(children)} children, then {failure}") from failure
        return children

    def kill_all(self, children):
        for child in children:
            child.process.kill()
        require(all(child.wait() == -signal.SIGKILL for child in children), "a sleeper ended otherwise")

    def overshoot(self, work):
        sleepers = self.launch(work.sleepers, work.sleeper)
        late = []
        for _ in range(work.runs):
            child = Child(work.argv, lambda stream, data: None, limit=work.milliseconds / 1e3)
            require(child.wait() == -signal.SIGKILL and child.late is not None, "the child ended otherwise")
            late.append(child.late)
        self.kill_all(sleepers)
        return lateness_figures(late)

    def idle(self, work):
        children = self.launch(work.children, work.argv)
        cost = Cost()
        time.sleep(work.milliseconds / 1e3)
        figures = cost.figures()
        self.kill_all(children)
        return figures

    def burst(self, work):
        children = self.launch(work.children, work.argv, pass_fds=(3,))
        os.close(3)
        time.sleep(work.milliseconds / 1e3)
        cost = Cost()
        start = time.monotonic()
        os.close(work.writer)
        require(all([child.wait() == 0 for child in children]), "a child failed")
        return {"median_ms": 1e3 * (time.monotonic() - start)} | cost.per_child(work.children)
