// SPDX-License-Identifier: MIT
//
// Lines a second from both streams of one child, by pipes and in exact order, beside each other in one run; and how
// much of the order is right, and known.
//
//     order_report [LINES]     default: 200,000
//
// The child writes each line by a write(2) of its own, for a run of 1 to N lines on one stream and then on the other.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <proctor/proctor.hpp>

using proctor::CaptureRecord;
using proctor::Order;
using proctor::RunResult;
using proctor::Stream;

namespace {

constexpr int rounds = 7;

// The child: this program itself.
int write_lines(std::int64_t count, unsigned seed, unsigned longest) {
    std::uint64_t state = seed * 2U + 1;
    int fd = 1;
    for (std::int64_t line = 0; line < count; fd = 3 - fd) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        for (std::uint64_t left = 1 + (state >> 33) % longest; left > 0 && line < count; --left, ++line) {
            char text[24];
            char* const end = std::to_chars(text, text + 20, line).ptr;
            *end = '\n';
            if (::write(fd, text, static_cast<std::size_t>(end + 1 - text)) < 0) return 1;
        }
    }
    return 0;
}

struct Measured {
    double lines_per_second = 0;
    double in_place = 0;  // share of the lines that are the next one
    double proven = 0;    // share of the pairs of neighbours on different streams that are not marked
    std::size_t records = 0;
};

Measured examine(const RunResult& result, std::int64_t count) {
    Measured found;
    std::int64_t next = 0;
    std::int64_t in_place = 0;
    std::size_t pairs = 0;
    std::size_t proven = 0;
    found.records = result.capture.record_count();
    std::optional<CaptureRecord> before;
    auto playback = result.capture.playback();
    for (const CaptureRecord& record : playback) {
        const bool pair = before && record.stream != before->stream;
        pairs += pair;
        proven += pair && !(record.ambiguous && before->ambiguous);
        before = record;
        const char* const end = record.data.data() + record.data.size();
        for (const char* at = record.data.data(); at < end; ++at, ++next) {
            std::int64_t value = -1;
            at = std::from_chars(at, end, value).ptr;
            in_place += value == next;
        }
    }
    found.lines_per_second = static_cast<double>(count) / std::chrono::duration<double>(result.usage->wctime).count();
    found.in_place = static_cast<double>(in_place) / static_cast<double>(count);
    found.proven = pairs == 0 ? 1 : static_cast<double>(proven) / static_cast<double>(pairs);
    return found;
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

}  // namespace

int main(int count, char** words) {
    if (count == 5 && std::string_view(words[1]) == "write") {
        return write_lines(std::atoll(words[2]), static_cast<unsigned>(std::atoi(words[3])),
                           static_cast<unsigned>(std::atoi(words[4])));
    }
    const std::int64_t lines = count > 1 ? std::max<std::int64_t>(std::atoll(words[1]), 1) : 200'000;
    std::printf("%lld lines, medians of %d runs, the two orders in turn\n\n", static_cast<long long>(lines), rounds);
    std::printf("| lines in a run | order | lines/s | least – most | records | lines in place | pairs proven |\n");
    std::printf("|---|---|---|---|---|---|---|\n");
    for (const char* const longest : {"1", "8", "50"}) {
        std::array<std::vector<Measured>, 2> found;
        for (int round = 0; round < rounds; ++round) {
            for (const Order order : {Order::pipe, Order::exact}) {
                const RunResult result = proctor::run(
                    {.argv = {"/proc/self/exe", "write", std::to_string(lines), std::to_string(round), longest},
                     .order = order});
                if (!result.passed()) {
                    std::fprintf(stderr, "the child failed\n");
                    return 1;
                }
                found[order == Order::exact].push_back(examine(result, lines));
            }
        }
        for (const Order order : {Order::pipe, Order::exact}) {
            const auto& runs = found[order == Order::exact];
            const auto all = [&](auto member) {
                std::vector<double> values;
                for (const Measured& each : runs) values.push_back(static_cast<double>(each.*member));
                return values;
            };
            const std::vector<double> rates = all(&Measured::lines_per_second);
            std::printf("| 1 to %s | %s | %.0f | %.0f – %.0f | %.0f | %.2f %% | %.2f %% |\n", longest,
                        order == Order::exact ? "exact" : "pipe", median(rates),
                        *std::min_element(rates.begin(), rates.end()), *std::max_element(rates.begin(), rates.end()),
                        median(all(&Measured::records)), 100 * median(all(&Measured::in_place)),
                        100 * median(all(&Measured::proven)));
        }
    }
    return 0;
}
