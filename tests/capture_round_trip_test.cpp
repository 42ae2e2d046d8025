// SPDX-License-Identifier: MIT
//
// Nothing is lost on the way to JSON Lines and back, whatever the bytes and wherever they are cut.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <proctor/capture_json.hpp>

#include "capture_lines.hpp"
#include "support.hpp"

using namespace std::chrono_literals;
using namespace capture_lines;
using proctor::JSONCapturePlayback;

namespace {

bool continues(std::string_view text, std::size_t at) {
    return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80;
}

// By what each character's number is, and not by tables of bytes.
bool is_utf8(std::string_view text) {
    for (std::size_t at = 0; at < text.size();) {
        const auto lead = static_cast<unsigned char>(text[at]);
        const std::size_t length = lead < 0x80 ? 1 : lead >> 5 == 6 ? 2 : lead >> 4 == 14 ? 3 : lead >> 3 == 30 ? 4 : 0;
        if (length == 0) return false;
        std::uint32_t number = length == 1 ? lead : lead & (0x7fU >> length);
        for (std::size_t i = 1; i < length; ++i) {
            if (!continues(text, at + i)) return false;
            number = number << 6 | (static_cast<unsigned char>(text[at + i]) & 0x3fU);
        }
        constexpr std::array<std::uint32_t, 5> least = {0, 0, 0x80, 0x800, 0x10000};
        if (number < least[length] || number > 0x10ffff || (number >= 0xd800 && number <= 0xdfff)) return false;
        at += length;
    }
    return true;
}

// Whether bytes can still be added that make it one character.
bool begins_character(const std::string& bytes) {
    if (is_utf8(bytes)) return false;
    for (const char* filler : {"\x80", "\x90", "\xa0"}) {
        for (std::size_t count = 0; bytes.size() + 1 + count <= 4; ++count) {
            if (is_utf8(bytes + filler + std::string(count, '\x80'))) return true;
        }
    }
    return false;
}

/// What the records become by the rule that incomplete characters move.
std::vector<Kept> with_whole_characters(const std::vector<Kept>& records) {
    std::vector<Kept> moved;
    std::array<Kept, 3> left;
    const auto release = [&](Stream stream, nanoseconds time) {
        if (!left[stream].data.empty()) {
            moved.emplace_back(time, stream, left[stream].data, false, left[stream].ambiguous);
        }
        left[stream] = {};
    };
    for (const Kept& record : records) {
        if (record.truncated) {
            release(record.stream, record.time);
        }
        if (record.truncated || record.data.empty()) {
            moved.push_back(record);
            continue;
        }
        Kept whole = record;
        whole.data = left[record.stream].data + record.data;
        whole.ambiguous = whole.ambiguous || left[record.stream].ambiguous;
        left[record.stream] = {};
        for (std::size_t length = 1; length <= std::min<std::size_t>(3, whole.data.size()); ++length) {
            const std::string tail = whole.data.substr(whole.data.size() - length);
            if (begins_character(tail)) {
                whole.data.resize(whole.data.size() - length);
                left[record.stream].data = tail;
                left[record.stream].ambiguous = whole.data.empty() && whole.ambiguous;
                break;
            }
        }
        if (!whole.data.empty()) {
            moved.push_back(whole);
        }
    }
    for (const Stream stream : {STDIN, STDOUT, STDERR}) {
        release(stream, records.empty() ? 0ns : records.back().time);
    }
    return moved;
}

using Random = std::mt19937_64;

std::size_t below(Random& random, std::size_t bound) { return random() % bound; }

// A stretch of one of the kinds that the encoder treats differently.
void append_stretch(Random& random, std::string& bytes) {
    static const std::array<std::string, 18> pieces = {
        "é",        "€",  "😀",  "\xc3", "\xe2\x82",           "\xf0\x9f\x98", "\xed\xa0\x80", "\xed\xb0\x80", "\xff",
        "\x80\x80", "\n", "\"", "\\",   std::string(1, '\0'), "\x1b[0m",      "\xf4\x90",     "\xc0\x80",     "\u2028"};
    switch (below(random, 5)) {
        case 0: bytes.append(below(random, 40), static_cast<char>(' ' + below(random, 95))); break;
        case 1: bytes += static_cast<char>(random()); break;
        default: bytes += pieces[below(random, pieces.size())]; break;
    }
}

// The bytes of each stream are made as a whole and cut anywhere.
std::vector<Kept> random_records(Random& random) {
    std::array<std::string, 3> bytes;
    for (std::string& each : bytes) {
        for (std::size_t stretches = below(random, 8); stretches > 0; --stretches) {
            append_stretch(random, each);
        }
    }
    if (below(random, 500) == 0) {
        bytes[1] += support::pattern(below(random, 70'000));
    }
    std::vector<Kept> records;
    nanoseconds time{};
    const std::size_t most = 1 + below(random, 12);
    while (!bytes[0].empty() || !bytes[1].empty() || !bytes[2].empty()) {
        const auto stream = static_cast<Stream>(below(random, 3));
        const std::size_t size =
            std::min(below(random, 4) == 0 ? bytes[stream].size() : below(random, most + 1), bytes[stream].size());
        time += nanoseconds(below(random, 3) == 0 ? 0 : static_cast<std::int64_t>(below(random, 10'000'000'000)));
        records.emplace_back(time, stream, bytes[stream].substr(0, size), false, below(random, 5) == 0);
        bytes[stream].erase(0, size);
        if (below(random, 20) == 0) {
            records.emplace_back(time, stream, "", true, below(random, 5) == 0);
            bytes[stream].clear();
        }
    }
    return records;
}

std::array<std::string, 3> bytes_of(const std::vector<Kept>& records) {
    std::array<std::string, 3> bytes;
    for (const Kept& record : records) {
        bytes[record.stream] += record.data;
    }
    return bytes;
}

}  // namespace

TEST_CASE("nothing is lost on the way to JSON Lines and back") {
    const std::uint64_t seed = std::random_device{}();
    INFO("seed ", seed);
    Random random(seed);
    const int cases = support::rounds(120'000);
    for (int number = 0; number < cases; ++number) {
        const std::vector<Kept> records = random_records(random);
        const bool ascii = below(random, 2) == 0;
        const std::string lines = lines_of(records, {.precision = 9, .ensure_ascii = ascii});
        JSONCapturePlayback playback = JSONCapturePlayback::text(lines);
        const std::vector<Kept> read = records_of(playback);
        const bool plain = !ascii || std::all_of(lines.begin(), lines.end(),
                                                 [](char byte) { return static_cast<unsigned char>(byte) < 0x80; });
        if (playback.error() || !plain || bytes_of(read) != bytes_of(records) ||
            read != with_whole_characters(records)) {
            CAPTURE(number);
            CAPTURE(lines);
            CHECK_FALSE(playback.error());
            CHECK(plain);
            CHECK(bytes_of(read) == bytes_of(records));
            CHECK(read == with_whole_characters(records));
            break;
        }
    }
}

TEST_CASE("with a lower precision a time is read as what it was truncated to") {
    for (int precision = 0; precision <= 9; ++precision) {
        std::int64_t unit = 1'000'000'000;
        for (int i = 0; i < precision; ++i) {
            unit /= 10;
        }
        for (const std::int64_t time : {0LL, 1LL, 999'999'999LL, 1'234'567'891LL, 987'654'321'987'654'321LL}) {
            const std::vector<Kept> read =
                records_of(line_of({nanoseconds(time), STDOUT, "x"}, {.precision = precision}));
            REQUIRE(read.size() == 1);
            CHECK(read[0].time.count() == time / unit * unit);
        }
    }
}
