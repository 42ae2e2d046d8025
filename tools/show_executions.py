# SPDX-License-Identifier: MIT
"""show_executions.py LOG: how many inputs each fuzz target has tried, from the log of Meson's tests (one JSON a line)."""
import json
import re
import sys


def main():
    with open(sys.argv[1], encoding='utf-8') as log:
        for line in log:
            test = json.loads(line)
            text = test.get('stdout', '') + test.get('stderr', '')
            tried = re.search(r'stat::number_of_executed_units: +(\d+)', text)
            count = f'{int(tried.group(1)):,} inputs' if tried else 'did not tell'
            print(f"{test['name']}: {count}")


main()
