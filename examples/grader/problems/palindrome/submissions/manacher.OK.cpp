// SPDX-License-Identifier: MIT
#include <algorithm>
#include <iostream>
#include <string>
#include <vector>

int main() {
    std::string line;
    std::cin >> line;
    std::string spaced = "^.";
    for (const char letter : line) spaced += {letter, '.'};
    spaced += '$';

    // radius[i]: how far the longest palindrome around i reaches, taken from its mirror image where one is known.
    std::vector<int> radius(spaced.size());
    int centre = 0;
    for (int i = 1; i + 1 < static_cast<int>(spaced.size()); ++i) {
        const int end = centre + radius[centre];
        if (i < end) radius[i] = std::min(end - i, radius[2 * centre - i]);
        while (spaced[i + radius[i] + 1] == spaced[i - radius[i] - 1]) ++radius[i];
        if (i + radius[i] > end) centre = i;
    }
    std::cout << *std::max_element(radius.begin(), radius.end()) << '\n';
}
