# SPDX-License-Identifier: MIT
# Right, but calls itself once for every letter: RecursionError on a long line.
line = input()


def palindrome_around(first, last):
    if first < 0 or last == len(line) or line[first] != line[last]:
        return last - first - 1
    return palindrome_around(first - 1, last + 1)


def longest_from(start):
    if start == len(line):
        return 0
    return max(palindrome_around(start, start), palindrome_around(start, start + 1), longest_from(start + 1))


print(longest_from(0))
