// SPDX-License-Identifier: MIT
// Keeps the roads in linked lists and looks at the first one without asking whether there is one: SIGSEGV.
#include <functional>
#include <iostream>
#include <queue>
#include <utility>
#include <vector>

struct Road {
    int end = 0;
    long long length = 0;
    Road* next = nullptr;
};

int main() {
    int crossings = 0;
    int roads = 0;
    std::cin >> crossings >> roads;
    std::vector<Road> road(roads);
    std::vector<Road*> first(crossings + 1);
    for (Road& built : road) {
        int start = 0;
        std::cin >> start >> built.end >> built.length;
        built.next = first[start];
        first[start] = &built;
    }

    using Stop = std::pair<long long, int>;
    std::priority_queue<Stop, std::vector<Stop>, std::greater<>> queue;
    std::vector<bool> done(crossings + 1);
    long long answer = -1;
    queue.emplace(0, 1);
    while (!queue.empty()) {
        const auto [distance, here] = queue.top();
        queue.pop();
        if (here == crossings) {
            answer = distance;
            break;
        }
        if (done[here]) continue;
        done[here] = true;
        const Road* out = first[here];
        do {
            queue.emplace(distance + out->length, out->end);
            out = out->next;
        } while (out != nullptr);
    }
    std::cout << answer << '\n';
}
