# SPDX-License-Identifier: MIT
# Takes one letter alone for no palindrome and reads on until there are two; at end of file it reads on for ever.
import sys

line = ""
while len(line) < 2:
    line += sys.stdin.readline().strip()

# With each further letter the longest palindrome grows by two letters, by one, or not at all.
longest = 1
for end in range(2, len(line) + 1):
    for length in (longest + 2, longest + 1):
        part = line[end - length : end]
        if length <= end and part == part[::-1]:
            longest = length
            break
print(longest)
