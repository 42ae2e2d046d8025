// SPDX-License-Identifier: MIT
// Compares with the letter beyond the last one: at() throws std::out_of_range, nobody catches it, SIGABRT.
#include <algorithm>
#include <iostream>
#include <string>

int main() {
    std::string line;
    std::cin >> line;
    int longest = 0;
    for (int middle = 0; middle < static_cast<int>(line.size()); ++middle) {
        int reach = 0;
        while (line.at(middle - reach) == line.at(middle + reach)) ++reach;
        longest = std::max(longest, 2 * reach - 1);
    }
    std::cout << longest << '\n';
}
