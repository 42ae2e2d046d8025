// SPDX-License-Identifier: MIT
// Tells the route on its standard error, from its end back to its beginning; where there is none, it prints for ever.
#include <functional>
#include <iostream>
#include <queue>
#include <tuple>
#include <utility>
#include <vector>

int main() {
    int crossings = 0;
    int roads = 0;
    std::cin >> crossings >> roads;
    std::vector<std::vector<std::pair<int, long long>>> leaving(crossings + 1);
    for (int i = 0; i < roads; ++i) {
        int start = 0;
        int end = 0;
        long long length = 0;
        std::cin >> start >> end >> length;
        leaving[start].emplace_back(end, length);
    }

    using Stop = std::tuple<long long, int, int>;
    std::priority_queue<Stop, std::vector<Stop>, std::greater<>> queue;
    std::vector<int> came_from(crossings + 1);
    long long answer = -1;
    queue.emplace(0, 1, 1);
    while (!queue.empty()) {
        const auto [distance, here, before] = queue.top();
        queue.pop();
        if (came_from[here] != 0) continue;
        came_from[here] = before;
        if (here == crossings) answer = distance;
        for (const auto& [end, length] : leaving[here]) queue.emplace(distance + length, end, here);
    }
    for (int here = crossings; here != 1; here = came_from[here]) std::cerr << here << " <- ";
    std::cerr << 1 << '\n';
    std::cout << answer << '\n';
}
