# SPDX-License-Identifier: MIT
spaced = "^." + ".".join(input()) + ".$"

# radius[i]: how far the longest palindrome around i reaches, taken from its mirror image where one is known.
radius = [0] * len(spaced)
centre = end = 0
for i in range(1, len(spaced) - 1):
    reach = min(end - i, radius[2 * centre - i]) if i < end else 0
    while spaced[i + reach + 1] == spaced[i - reach - 1]:
        reach += 1
    radius[i] = reach
    if i + reach > end:
        centre, end = i, i + reach
print(max(radius))
