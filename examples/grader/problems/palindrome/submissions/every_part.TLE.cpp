// SPDX-License-Identifier: MIT
// Right, but looks at every part of the line from end to end.
#include <algorithm>
#include <iostream>
#include <string>

int main() {
    std::string line;
    std::cin >> line;
    std::size_t longest = 0;
    for (std::size_t start = 0; start < line.size(); ++start) {
        for (std::size_t length = 1; start + length <= line.size(); ++length) {
            const std::string part = line.substr(start, length);
            if (std::string(part.rbegin(), part.rend()) == part) longest = std::max(longest, length);
        }
    }
    std::cout << longest << '\n';
}
