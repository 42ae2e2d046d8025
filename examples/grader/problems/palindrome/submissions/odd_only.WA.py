# SPDX-License-Identifier: MIT
# Manacher's algorithm without the dots between the letters: only palindromes with a letter in the middle.
line = "^" + input() + "$"

radius = [0] * len(line)
centre = end = 0
for i in range(1, len(line) - 1):
    reach = min(end - i, radius[2 * centre - i]) if i < end else 0
    while line[i + reach + 1] == line[i - reach - 1]:
        reach += 1
    radius[i] = reach
    if i + reach > end:
        centre, end = i, i + reach
print(2 * max(radius) + 1)
