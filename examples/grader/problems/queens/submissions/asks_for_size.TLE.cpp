// SPDX-License-Identifier: MIT
// Wants to be told the size of the board, and waits for it.
#include <iostream>

int ways(unsigned board, unsigned straight, unsigned left, unsigned right) {
    if (straight == board) return 1;
    int sum = 0;
    for (unsigned free = board & ~(straight | left | right); free != 0; free &= free - 1) {
        const unsigned queen = free & -free;
        sum += ways(board, straight | queen, (left | queen) << 1, (right | queen) >> 1);
    }
    return sum;
}

int main() {
    unsigned size = 0;
    std::cin >> size;
    std::cout << ways((1U << size) - 1, 0, 0, 0) << '\n';
}
