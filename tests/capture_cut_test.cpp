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

#include "support.hpp"

using proctor::Capture;
using proctor::CaptureLimits;
using proctor::CaptureRecord;
using proctor::STDERR;
using proctor::STDIN;
using proctor::STDOUT;
using proctor::Stream;
using std::chrono::nanoseconds;

namespace {

struct Piece {
    Stream stream = STDOUT;
    std::string data{};
    nanoseconds time{};
};

struct Kept {
    nanoseconds time{};
    Stream stream = STDOUT;
    std::string data{};
    bool truncated = false;

    friend bool operator==(const Kept&, const Kept&) = default;
};

struct Case {
    CaptureLimits limits{};
    std::vector<Piece> pieces{};
};

// What one stream has come to, byte by byte.
struct Reference {
    std::optional<std::int64_t> max_bytes{};
    std::optional<std::int64_t> max_lines{};
    std::string kept{};
    std::string all{};
    bool cut = false;

    // Whether the byte is kept.
    bool take(char byte) {
        const std::int64_t newlines = std::count(kept.begin(), kept.end(), '\n');
        const bool fits = (!max_bytes || static_cast<std::int64_t>(kept.size()) < *max_bytes) &&
                          (!max_lines || newlines < *max_lines);
        all += byte;
        cut = cut || !fits;
        if (!cut) kept += byte;
        return !cut;
    }
};

std::int64_t count_lines(const std::string& text) {
    return std::count(text.begin(), text.end(), '\n') + (!text.empty() && text.back() != '\n' ? 1 : 0);
}

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

std::vector<Kept> expect(const Case& chosen, std::array<Reference, 3>& streams) {
    streams[STDOUT].max_bytes = chosen.limits.max_stdout_bytes;
    streams[STDOUT].max_lines = chosen.limits.max_stdout_lines;
    streams[STDERR].max_bytes = chosen.limits.max_stderr_bytes;
    streams[STDERR].max_lines = chosen.limits.max_stderr_lines;
    std::vector<Kept> records;
    nanoseconds latest{};
    for (const Piece& piece : chosen.pieces) {
        Reference& stream = streams[piece.stream];
        const bool was_cut = stream.cut;
        if (!was_cut && !piece.data.empty()) latest = std::max(latest, piece.time);
        std::string kept;
        for (const char byte : piece.data) {
            if (stream.take(byte)) kept += byte;
        }
        if (!kept.empty()) records.push_back({latest, piece.stream, kept, false});
        if (stream.cut && !was_cut) records.push_back({latest, piece.stream, "", true});
    }
    return records;
}

// What is wrong, or nothing.
std::string check(const Case& chosen, proctor::Bytes max_size) {
    std::array<Reference, 3> streams;
    const std::vector<Kept> expected = expect(chosen, streams);
    Capture capture(proctor::CaptureOptions{.limits = chosen.limits, .max_size = max_size});
    proctor::CaptureRecorder recorder = capture.record();
    for (const Piece& piece : chosen.pieces) (void)recorder.add(piece.stream, piece.data, piece.time);
    std::vector<Kept> records;
    for (const CaptureRecord& record : capture.playback()) {
        records.push_back({record.time, record.stream, std::string(record.data), record.truncated});
    }
    if (records != expected) return "records differ";
    if (capture.record_count() != expected.size()) return "record_count() differs";
    for (const Stream stream : {STDIN, STDOUT, STDERR}) {
        const Reference& reference = streams[stream];
        const proctor::StreamTotals totals = capture.totals(stream);
        if (capture.text(stream) != reference.kept) return "text differs";
        if (totals.bytes != static_cast<proctor::Bytes>(reference.kept.size())) return "bytes differ";
        if (totals.lines != count_lines(reference.kept)) return "lines differ";
        if (totals.total_bytes != static_cast<proctor::Bytes>(reference.all.size())) return "total bytes differ";
        if (totals.total_lines != count_lines(reference.all)) return "total lines differ";
        if (totals.truncated != reference.cut) return "truncated differs";
    }
    return {};
}

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
        const Case chosen = generator.make();
        // A few of them through the temporary file, from some record on.
        const proctor::Bytes max_size =
            generator.below(100) == 0 ? static_cast<proctor::Bytes>(generator.below(80)) : 1'000'000;
        const std::string wrong = check(chosen, max_size);
        if (!wrong.empty()) {
            MESSAGE("repeat it with PROCTOR_SEED=" << own_seed);
            REQUIRE(wrong == "");
        }
    }
}
