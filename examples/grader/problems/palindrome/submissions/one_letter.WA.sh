# SPDX-License-Identifier: MIT
# Takes the longest run of one letter for the longest palindrome.
exec awk '{
    for (i = 1; i <= length($0); ++i) {
        run = substr($0, i, 1) == substr($0, i - 1, 1) ? run + 1 : 1
        if (run > longest) longest = run
    }
    print longest
}'
