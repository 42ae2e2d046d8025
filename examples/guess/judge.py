# SPDX-License-Identifier: MIT
# Thinks of a number from 1 to 1000 and answers guesses with "higher", "lower" or "right". Ten must do. Its exit status is
# the verdict: 0 right, 1 wrong.
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
    print("higher" if guess < secret else "lower", flush=True)
print("ten guesses were not enough", file=sys.stderr)
sys.exit(1)
