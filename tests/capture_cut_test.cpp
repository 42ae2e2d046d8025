// SPDX-License-Identifier: MIT
//
// The cutter against a reference that looks at one byte after the other: random texts in random pieces, on all streams
// in turn, under every limit that lies at an edge.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "capture_model.hpp"
#include "support.hpp"

using capture_model::Case;
using capture_model::check;
using capture_model::count_lines;
using proctor::STDERR;
using proctor::STDIN;
using proctor::STDOUT;
using proctor::Stream;
using std::chrono::nanoseconds;

namespace {

class Generator {
public:
    explicit Generator(std::uint64_t seed) : random_(seed) {}

    Case make() {
        std::array<std::string, 3> texts{make_text(), make_text(), make_text()};
        Case made;
        made.limits = {.max_stdout_lines = make_limit(count_lines(texts[STDOUT])),
                       .max_stdout_bytes = make_limit(static_cast<std::int64_t>(texts[STDOUT].size())),
                       .max_stderr_lines = make_limit(count_lines(texts[STDERR])),
                       .max_stderr_bytes = make_limit(static_cast<std::int64_t>(texts[STDERR].size()))};
        nanoseconds time{};
        while (!texts[STDIN].empty() || !texts[STDOUT].empty() || !texts[STDERR].empty()) {
            const auto stream = static_cast<Stream>(below(3));
            std::string& text = texts[stream];
            const std::size_t size = below(4) == 0 ? text.size() : std::min<std::size_t>(below(6), text.size());
            time += nanoseconds(static_cast<std::int64_t>(below(1000)) - 100);  // now and then, back
            made.pieces.push_back({stream, text.substr(0, size), time});
            text.erase(0, size);
        }
        return made;
    }

    std::size_t below(std::size_t end) { return random_() % end; }

private:
    std::string make_text() {
        static const std::array<std::string, 8> parts = {"a",    "bc",     "\n",        "\n\n", std::string(1, '\0'),
                                                         "\r\n", "\u00e9", "\U0001d11e"};
        std::string text;
        for (std::size_t count = below(4) == 0 ? 0 : below(16); count > 0; --count) text += parts[below(parts.size())];
        return text;
    }

    std::optional<std::int64_t> make_limit(std::int64_t size) {
        switch (below(8)) {
            case 0: return 0;
            case 1: return 1;
            case 2: return std::max<std::int64_t>(size - 1, 0);
            case 3: return size;
            case 4: return size + 1;
            default: return std::nullopt;
        }
    }

    std::mt19937_64 random_;
};

std::uint64_t first_seed() {
    const char* const chosen = std::getenv("PROCTOR_SEED");
    return chosen != nullptr ? std::strtoull(chosen, nullptr, 10) : std::random_device{}() * std::uint64_t{1'000'000};
}

}  // namespace

TEST_CASE("limits cut any text in any pieces exactly where the reference does") {
    const std::uint64_t seed = first_seed();
    const int cases = support::rounds(120'000);
    for (int i = 0; i < cases; ++i) {
        const std::uint64_t own_seed = seed + static_cast<std::uint64_t>(i);
        Generator generator(own_seed);
        Case chosen = generator.make();
        // A few of them through the temporary file, from some record on.
        if (generator.below(100) == 0) chosen.max_size = static_cast<proctor::Bytes>(generator.below(80));
        const std::string wrong = check(chosen);
        if (!wrong.empty()) {
            MESSAGE("repeat it with PROCTOR_SEED=" << own_seed);
            REQUIRE(wrong == "");
        }
    }
}
