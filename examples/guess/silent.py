# SPDX-License-Identifier: MIT
# The guess never leaves its buffer: it is not flushed, and the answer is waited for.
import sys

print(500)
sys.stdin.readline()
