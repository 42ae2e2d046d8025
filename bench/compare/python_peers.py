#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Does the work of one measurement by asyncio, or by threads and psutil, and prints its figures as one JSON object.

Started by python_peer.cpp:  python_peers.py PEER WORKLOAD OPTIONS… -- ARGV…
"""
import argparse
import json
import os
import sys

sys.dont_write_bytecode = True  # the source tree stays as it is

from python_tools import Unavailable, third_pipe  # noqa: E402


def parse_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("peer", choices=["asyncio", "python_psutil"])
    parser.add_argument("workload")
    for name in "host-mib jobs at-once bytes lines count warm-up milliseconds runs sleepers children".split():
        parser.add_argument("--" + name, type=int, default=0)
    parser.add_argument("--keep", choices=["nothing", "memory", "disk"])
    parser.add_argument("--expected-output", type=os.fsencode)
    parser.add_argument("--sleeper", action="append", default=[])
    parser.add_argument("argv", nargs="+")
    return parser.parse_args()


def make_peer(name):
    if name == "asyncio":
        from python_asyncio import Asyncio

        return Asyncio()
    try:
        from python_psutil import PythonPsutil
    except ImportError as failure:
        raise Unavailable(f"{failure} (Debian: python3-psutil)") from failure
    return PythonPsutil()


def main():
    work = parse_arguments()
    work.host = b"x" * (work.host_mib << 20) if work.host_mib >= 64 else b""
    if work.workload == "burst":
        work.writer = third_pipe()
    try:
        figures = make_peer(work.peer).measure(work)
    except Unavailable as reason:
        # At once: threads that look at children would keep the interpreter, and the children die with it.
        print(json.dumps({"unavailable": str(reason)}), flush=True)
        os._exit(0)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
