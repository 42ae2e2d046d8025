# SPDX-License-Identifier: MIT
"""count_tests.py LABEL TESTLOG: what Meson's testlog.json tells, in lines of passed, failed, skipped and a name.

A doctest suite counts by its test cases, everything else as one. A case that cannot run here prints a line
"SKIPPED: reason" and returns; doctest takes it for passed, this does not. A suite that ends badly although none of its
cases failed (a crash, a time limit, a leak found at the end) is one more failure, and so is one that ends as if it had
been skipped and gives no reason.
"""
import json
import re
import sys

CASES = re.compile(r"^\[doctest\] test cases:\s*\d+ \|\s*(\d+) passed \|\s*(\d+) failed \|\s*(\d+) skipped", re.M)
SKIPPED = re.compile(r"^SKIPPED: (.*)$", re.M)


def count(name, test):
    output = test.get("stdout", "")
    reasons = SKIPPED.findall(output)
    cases = CASES.search(output)
    if cases:
        passed, failed, left_out = map(int, cases.groups())
        passed = max(0, passed - len(reasons))
        reasons += ["left out by the suite"] * left_out
    else:
        passed, failed = int(test["result"] == "OK" and not reasons), int(test["result"] == "SKIP" and not reasons)
    if test["result"] not in ("OK", "SKIP") and failed == 0:
        failed = 1
    yield passed, failed, 0, name
    for reason in reasons:
        yield 0, 0, 1, f"{name}: {reason}"


def main(label, path):
    with open(path, encoding="utf-8") as log:
        tests = [json.loads(line) for line in log]
    for test in tests:
        for line in count(f"{label}: {test['name']}", test):
            print(*line)
    return 0 if tests else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
