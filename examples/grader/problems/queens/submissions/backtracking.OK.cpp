// SPDX-License-Identifier: MIT
#include <iostream>

constexpr unsigned board = 0xff;

// The bits are the columns that queens in the rows above attack: straight, and along the two diagonals.
int ways(unsigned straight, unsigned left, unsigned right) {
    if (straight == board) return 1;
    int sum = 0;
    for (unsigned free = board & ~(straight | left | right); free != 0; free &= free - 1) {
        const unsigned queen = free & -free;
        sum += ways(straight | queen, (left | queen) << 1, (right | queen) >> 1);
    }
    return sum;
}

int main() { std::cout << ways(0, 0, 0) << '\n'; }
