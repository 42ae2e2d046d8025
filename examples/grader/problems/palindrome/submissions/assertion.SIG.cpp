// SPDX-License-Identifier: MIT
// Right for short lines, and says so: its assertion fails on a long one, and the program ends by SIGABRT.
#include <algorithm>
#include <cassert>
#include <iostream>
#include <string>

int main() {
    std::string line;
    std::cin >> line;
    const int length = static_cast<int>(line.size());
    assert(length <= 1000);
    int longest = 0;
    for (int middle = 0; middle < length; ++middle) {
        for (int last : {middle, middle + 1}) {
            int first = middle;
            while (first >= 0 && last < length && line[first] == line[last]) {
                --first;
                ++last;
            }
            longest = std::max(longest, last - first - 1);
        }
    }
    std::cout << longest << '\n';
}
