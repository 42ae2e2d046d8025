# SPDX-License-Identifier: MIT
"""What the Python peers have in common."""
import os
import tempfile
import time

READ_SIZE = 65536
LAUNCHING_LIMIT = 60  # seconds; who has not launched all children by then cannot hold so many
SPAWNING_LIMIT = 5  # seconds; no more jobs are started then
GIB = 1 << 30


class Unavailable(Exception):
    """This peer cannot do this; the text says why."""


def require(holds, otherwise):
    if not holds:
        raise RuntimeError(otherwise)


def own_cpu_seconds():
    return time.process_time()


def peak_rss_kib():
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


def quantile(values, at):
    return sorted(values)[round(at * (len(values) - 1))]


def lateness_figures(late):
    return {"median_ms": 1e3 * quantile(late, 0.5), "p99_ms": 1e3 * quantile(late, 0.99)}


def trip_figures(times):
    return {"median_us": 1e6 * quantile(times, 0.5), "p99_us": 1e6 * quantile(times, 0.99)}


class Cost:
    """What this process spends from here on."""

    def __init__(self):
        self.cpu = own_cpu_seconds()

    def per_child(self, children):
        return {"own_cpu_s": (own_cpu_seconds() - self.cpu) / children}

    def figures(self, children=1):
        return self.per_child(children) | {"rss_kib": peak_rss_kib()}


class FloodSink:
    """Takes the bytes of a flood."""

    def __init__(self, keep):
        self.kept = bytearray() if keep == "memory" else None
        self.file = tempfile.TemporaryFile(buffering=0) if keep == "disk" else None
        self.size = 0

    def take(self, data):
        self.size += len(data)
        if self.kept is not None:
            self.kept += data
        elif self.file is not None:
            rest = memoryview(data)
            while rest:
                rest = rest[self.file.write(rest) :]


def in_order(record, lines):
    """The share of lines that are where they belong in a list of (stream, bytes)."""
    unfinished = [b"", b""]
    place = right = 0
    for stream, data in record:
        *whole, unfinished[stream] = (unfinished[stream] + data).split(b"\n")
        for line in whole:
            number = int(line)
            require(number % 2 == stream, "a line came from the wrong stream")
            right += number == place
            place += 1
    require(place == lines and unfinished == [b"", b""], f"{place} lines of {lines}")
    return right / lines


def numbered_text(size):
    """Text in which each line is another one, so that nothing is lost or swapped unnoticed."""
    text = bytearray()
    at_once = 10000
    first = 0
    while len(text) < size:
        text += b"".join(b"%d\n" % number for number in range(first, first + at_once))
        first += at_once
    del text[size:]
    return text


def third_pipe():
    """The reading end is descriptor 3, as the children are to have it."""
    reader, writer = os.pipe()
    if reader != 3:
        require(writer != 3, "descriptor 3 is taken")
        os.dup2(reader, 3)
        os.close(reader)
    return writer
