// SPDX-License-Identifier: MIT
//
// Records with bytes of their own, and their way to JSON Lines and back.
#pragma once

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <proctor/capture_json.hpp>

namespace capture_lines {

using proctor::CaptureRecord;
using proctor::STDERR;
using proctor::STDIN;
using proctor::STDOUT;
using proctor::Stream;
using std::chrono::nanoseconds;

struct Kept {
    nanoseconds time{};
    Stream stream = STDOUT;
    std::string data{};
    bool truncated = false;
    bool ambiguous = false;

    Kept() = default;
    Kept(nanoseconds when, Stream where, std::string bytes, bool cut = false, bool unordered = false)
        : time(when), stream(where), data(std::move(bytes)), truncated(cut), ambiguous(unordered) {}
    explicit Kept(const CaptureRecord& record)
        : Kept(record.time, record.stream, std::string(record.data), record.truncated, record.ambiguous) {}

    [[nodiscard]] CaptureRecord record() const { return {time, stream, data, truncated, ambiguous}; }
    bool operator==(const Kept&) const = default;
};

inline std::ostream& operator<<(std::ostream& out, const Kept& record) {
    out << '[' << record.time.count() << ' ' << int{record.stream} << (record.truncated ? " cut" : "")
        << (record.ambiguous ? " ambiguous" : "");
    for (const char byte : record.data) {
        out << ' ' << int{static_cast<unsigned char>(byte)};
    }
    return out << ']';
}

inline std::string lines_of(const std::vector<Kept>& records, const proctor::JSONCaptureOptions& options = {}) {
    auto encoder = proctor::JSONCaptureEncoder::create(options);
    REQUIRE(encoder);
    std::string lines;
    for (const Kept& record : records) {
        encoder->encode(record.record(), lines);
    }
    encoder->finish(lines);
    return lines;
}

inline std::string line_of(const Kept& record, const proctor::JSONCaptureOptions& options = {}) {
    return lines_of({record}, options);
}

inline std::vector<Kept> records_of(proctor::CapturePlaybackBase& playback) {
    std::vector<Kept> records;
    for (const CaptureRecord& record : playback) {
        records.emplace_back(record);
    }
    return records;
}

inline std::vector<Kept> records_of(std::string_view lines) {
    auto playback = proctor::JSONCapturePlayback::text(lines);
    std::vector<Kept> records = records_of(playback);
    INFO(lines);
    INFO((playback.error() ? playback.error()->message : std::string()));
    REQUIRE_FALSE(playback.error());
    return records;
}

}  // namespace capture_lines
