# SPDX-License-Identifier: MIT
# Right, but starts anew around every letter and every gap.
line = "^" + input() + "$"

longest = 0
for first in range(1, len(line) - 1):
    for last in (first, first + 1):
        left, right = first, last
        while line[left] == line[right]:
            left -= 1
            right += 1
        longest = max(longest, right - left - 1)
print(longest)
