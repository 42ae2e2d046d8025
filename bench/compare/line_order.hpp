// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace compare {

/// Finds which lines of LinesWork are in their right place in a merged record of both streams: the one that is the
/// n-th to be complete should be line n.
class LineOrder {
public:
    /// The next bytes of the record; stream 0 is stdout. Throws std::runtime_error if a line is missing or damaged.
    void add(std::size_t stream, std::string_view bytes);

    /// The share of `expected` lines that were in place. Throws std::runtime_error if there were more or fewer.
    [[nodiscard]] double in_order(std::size_t expected) const;

private:
    void take(std::size_t stream, std::string_view line);

    std::array<std::string, 2> begun_{};               // of each stream the line that is not complete
    std::array<std::size_t, 2> next_of_stream_{0, 1};  // the number of its next line
    std::size_t lines_ = 0;
    std::size_t in_place_ = 0;
};

}  // namespace compare
