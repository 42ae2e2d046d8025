// SPDX-License-Identifier: MIT
#include <iostream>

int main() {
    int crossings = 0;
    int roads = 0;
    std::cin >> crossings >> roads;
    std::cout << shortest_way(crossings, roads) << '\n';
}
