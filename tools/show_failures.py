# SPDX-License-Identifier: MIT
"""show_failures.py TESTLOG...: the end of what each suite printed that failed, from Meson's testlog.json.

For the end of a long log, of which often nothing else is kept.
"""
import json
import sys
from pathlib import Path

LINES = 60


def main(paths):
    for path in paths:
        if not Path(path).exists():
            continue
        for test in map(json.loads, Path(path).read_text(encoding="utf-8").splitlines()):
            if test["result"] in ("OK", "SKIP"):
                continue
            print(f"== {path}: {test['name']}, {test['result']}, the end of its output:")
            print(*(test.get("stdout", "") + test.get("stderr", "")).splitlines()[-LINES:], sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
