// SPDX-License-Identifier: MIT
// Right, but walks every way through the town.
#include <algorithm>
#include <iostream>
#include <utility>
#include <vector>

struct Town {
    std::vector<std::vector<std::pair<int, long long>>> leaving;
    std::vector<bool> on_the_way;
    long long shortest = -1;

    void walk(int here, long long distance) {
        if (here + 1 == static_cast<int>(leaving.size())) {
            shortest = shortest < 0 ? distance : std::min(shortest, distance);
            return;
        }
        on_the_way[here] = true;
        for (const auto& [end, length] : leaving[here])
            if (!on_the_way[end]) walk(end, distance + length);
        on_the_way[here] = false;
    }
};

int main() {
    int crossings = 0;
    int roads = 0;
    std::cin >> crossings >> roads;
    Town town;
    town.leaving.resize(crossings + 1);
    town.on_the_way.resize(crossings + 1);
    for (int i = 0; i < roads; ++i) {
        int start = 0;
        int end = 0;
        long long length = 0;
        std::cin >> start >> end >> length;
        town.leaving[start].emplace_back(end, length);
    }
    town.walk(1, 0);
    std::cout << town.shortest << '\n';
}
