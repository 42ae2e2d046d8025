// SPDX-License-Identifier: MIT
// Floyd and Warshall's table, which has room for 100 crossings; gives up with status 3 if there are more.
#include <algorithm>
#include <iostream>

constexpr int room = 101;
constexpr long long unknown = 1'000'000'000'000'000;
long long distance[room][room];

int main() {
    int crossings = 0;
    int roads = 0;
    std::cin >> crossings >> roads;
    if (crossings >= room) {
        std::cerr << "no room for " << crossings << " crossings\n";
        return 3;
    }
    for (auto& row : distance) std::fill(std::begin(row), std::end(row), unknown);
    for (int i = 0; i < roads; ++i) {
        int start = 0;
        int end = 0;
        long long length = 0;
        std::cin >> start >> end >> length;
        distance[start][end] = std::min(distance[start][end], length);
    }
    for (int over = 1; over <= crossings; ++over)
        for (int start = 1; start <= crossings; ++start)
            for (int end = 1; end <= crossings; ++end)
                distance[start][end] = std::min(distance[start][end], distance[start][over] + distance[over][end]);
    std::cout << (distance[1][crossings] == unknown ? -1 : distance[1][crossings]) << '\n';
}
