# SPDX-License-Identifier: MIT
# Counts positions that are reflections or rotations of each other once.
import itertools


def images(queens):
    for _ in range(4):
        yield queens
        yield queens[::-1]
        queens = tuple(queens.index(7 - row) for row in range(8))


solutions = {
    queens
    for queens in itertools.permutations(range(8))
    if len({row + column for row, column in enumerate(queens)}) == 8
    and len({row - column for row, column in enumerate(queens)}) == 8
}
print(len({min(images(queens)) for queens in solutions}))
