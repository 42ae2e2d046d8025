# SPDX-License-Identifier: MIT
# Manacher's algorithm in awk.
exec awk '
    {
        letter[1] = "^"
        for (i = 1; i <= length($0); ++i) letter[2 * i + 1] = substr($0, i, 1)
        for (i = 0; i <= length($0); ++i) letter[2 * i + 2] = "."
        letter[last = 2 * length($0) + 3] = "$"

        # radius[i]: how far the longest palindrome around i reaches, taken from its mirror image where one is known.
        for (i = 2; i < last; ++i) {
            reach = 0
            if (i < end) {
                reach = radius[2 * centre - i]
                if (reach > end - i) reach = end - i
            }
            while (letter[i + reach + 1] == letter[i - reach - 1]) ++reach
            radius[i] = reach
            if (i + reach > end) { centre = i; end = i + reach }
            if (reach > longest) longest = reach
        }
        print longest
    }'
