#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the tests beside this file; the same ones each time."""
import pathlib
import random

TESTS = pathlib.Path(__file__).parent / "tests"


def longest_palindrome(line):
    """One longer by one or two letters must end at the next letter, or the longest does not change."""
    longest = 0
    for end in range(1, len(line) + 1):
        for length in (longest + 2, longest + 1):
            part = line[end - length : end]
            if length <= end and part == part[::-1]:
                longest = length
                break
    return longest


def write(name, line):
    (TESTS / f"{name}.in").write_text(line + "\n")
    (TESTS / f"{name}.out").write_text(f"{longest_palindrome(line)}\n")


chance = random.Random(5)
half = "".join(chance.choices("ab", k=150))

write("01", "bananas")
write("02", "afternoon")  # an even number of letters
write("03", "x")
write("04", "ab" * 20 + "c")
write("05", "".join(chance.choices("cde", k=400)) + half + half[::-1] + "".join(chance.choices("cde", k=800)))
write("06", "a" * 12000 + "b" + "a" * 17999)  # a palindrome of some length wherever one looks
