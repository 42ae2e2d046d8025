// SPDX-License-Identifier: MIT
#include "line_order.hpp"

#include <charconv>
#include <stdexcept>

namespace compare {

void LineOrder::add(std::size_t stream, std::string_view bytes) {
    for (;;) {
        const std::size_t end = bytes.find('\n');
        if (end == bytes.npos) {
            begun_[stream].append(bytes);
            return;
        }
        if (begun_[stream].empty()) {
            take(stream, bytes.substr(0, end));
        } else {
            begun_[stream].append(bytes.substr(0, end));
            take(stream, begun_[stream]);
            begun_[stream].clear();
        }
        bytes.remove_prefix(end + 1);
    }
}

void LineOrder::take(std::size_t stream, std::string_view line) {
    std::size_t number = 0;
    const auto parsed = std::from_chars(line.data(), line.data() + line.size(), number);
    const bool whole = parsed.ec == std::errc() && parsed.ptr == line.data() + line.size();
    if (!whole || number != next_of_stream_[stream]) {
        throw std::runtime_error("line '" + std::string(line) + "' came where " +
                                 std::to_string(next_of_stream_[stream]) + " was due");
    }
    next_of_stream_[stream] += 2;
    in_place_ += number == lines_ ? 1 : 0;
    ++lines_;
}

double LineOrder::in_order(std::size_t expected) const {
    if (lines_ != expected || !begun_[0].empty() || !begun_[1].empty()) {
        throw std::runtime_error(std::to_string(lines_) + " lines came of " + std::to_string(expected));
    }
    return static_cast<double>(in_place_) / static_cast<double>(expected);
}

}  // namespace compare
