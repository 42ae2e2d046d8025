# SPDX-License-Identifier: MIT
# Thinks of a number from 1 to 1000 and answers guesses with "higher", "lower" or "right". Ten must do. Its exit status is
# the verdict: 0 right, 1 wrong. A solution that is gone is met as the end of its words, or, if it goes while it is
# spoken to, as a broken pipe.
import os
import sys


secret = int(sys.argv[1])
for _ in range(10):
    line = sys.stdin.readline()
    if not line:
        print("the solution said nothing more", file=sys.stderr)
        sys.exit(1)
    try:
        guess = int(line)
    except ValueError:
        print("not a number:", line.strip(), file=sys.stderr)
        sys.exit(1)
    if guess == secret:
        print("right", flush=True)
        sys.exit(0)
    try:
        print("higher" if guess < secret else "lower", flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python complains when it ends
        print("the solution said nothing more", file=sys.stderr)
        sys.exit(1)
print("ten guesses were not enough", file=sys.stderr)
sys.exit(1)
