# SPDX-License-Identifier: MIT
def ways(queens):
    """In how many ways queens in further rows can join these (one column number for each row)."""
    row = len(queens)
    if row == 8:
        return 1
    return sum(
        ways([*queens, column])
        for column in range(8)
        if all(column != queen and abs(column - queen) != row - above for above, queen in enumerate(queens))
    )


print(ways([]))
