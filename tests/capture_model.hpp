// SPDX-License-Identifier: MIT
//
// What a recorder has to make of pieces on three streams, by a model that looks at one byte after the other.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <proctor/capture.hpp>
#include <proctor/playback.hpp>
#include <proctor/recorder.hpp>

namespace capture_model {

struct Piece {
    proctor::Stream stream = proctor::STDOUT;
    std::string data{};
    std::chrono::nanoseconds time{};
};

struct Kept {
    std::chrono::nanoseconds time{};
    proctor::Stream stream = proctor::STDOUT;
    std::string data{};
    bool truncated = false;

    friend bool operator==(const Kept&, const Kept&) = default;
};

struct Case {
    proctor::CaptureLimits limits{};
    proctor::Bytes max_size = 1'000'000;
    std::vector<Piece> pieces{};
};

inline std::int64_t count_lines(std::string_view text) {
    return std::count(text.begin(), text.end(), '\n') + (!text.empty() && text.back() != '\n' ? 1 : 0);
}

// What one stream has come to, byte by byte.
struct Model {
    std::optional<std::int64_t> max_bytes{};
    std::optional<std::int64_t> max_lines{};
    std::string kept{};
    std::string all{};
    std::int64_t newlines = 0;  // kept
    std::optional<proctor::CaptureLimit> cut_by{};

    // Whether the byte is kept.
    bool take(char byte) {
        all += byte;
        if (cut_by) return false;
        if (max_bytes && static_cast<std::int64_t>(kept.size()) >= *max_bytes) cut_by = proctor::CaptureLimit::bytes;
        if (!cut_by && max_lines && newlines >= *max_lines) cut_by = proctor::CaptureLimit::lines;
        if (cut_by) return false;
        kept += byte;
        newlines += byte == '\n' ? 1 : 0;
        return true;
    }
};

using Streams = std::array<Model, 3>;

inline std::vector<Kept> expect(const Case& chosen, Streams& streams) {
    streams[proctor::STDOUT].max_bytes = chosen.limits.max_stdout_bytes;
    streams[proctor::STDOUT].max_lines = chosen.limits.max_stdout_lines;
    streams[proctor::STDERR].max_bytes = chosen.limits.max_stderr_bytes;
    streams[proctor::STDERR].max_lines = chosen.limits.max_stderr_lines;
    std::vector<Kept> records;
    std::chrono::nanoseconds latest{};
    for (const Piece& piece : chosen.pieces) {
        Model& stream = streams[piece.stream];
        const bool was_cut = stream.cut_by.has_value();
        if (!was_cut && !piece.data.empty()) latest = std::max(latest, piece.time);
        std::string kept;
        for (const char byte : piece.data) {
            if (stream.take(byte)) kept += byte;
        }
        if (!kept.empty()) records.push_back({latest, piece.stream, kept, false});
        if (stream.cut_by && !was_cut) records.push_back({latest, piece.stream, "", true});
    }
    return records;
}

// Takes what the playback has by now.
inline void play(proctor::CapturePlayback& playback, std::vector<Kept>& records) {
    while (const auto record = playback.next()) {
        records.push_back({record->time, record->stream, std::string(record->data), record->truncated});
    }
}

inline std::string compare(const proctor::Capture& capture, proctor::Stream stream, const Model& model) {
    const proctor::StreamTotals totals = capture.totals(stream);
    if (capture.text(stream) != model.kept) return "text differs";
    if (totals.bytes != static_cast<proctor::Bytes>(model.kept.size())) return "bytes differ";
    if (totals.lines != count_lines(model.kept)) return "lines differ";
    if (totals.total_bytes != static_cast<proctor::Bytes>(model.all.size())) return "total bytes differ";
    if (totals.total_lines != count_lines(model.all)) return "total lines differ";
    if (totals.truncated != model.cut_by.has_value()) return "truncated differs";
    if (totals.cut_by != model.cut_by) return "the limit that cut differs";
    return {};
}

// What is wrong, or nothing. Played back three times: as it is recorded, when all is, and when its file is complete.
inline std::string check(const Case& chosen) {
    Streams streams;
    const std::vector<Kept> expected = expect(chosen, streams);
    proctor::Capture capture(proctor::CaptureOptions{.limits = chosen.limits, .max_size = chosen.max_size});
    std::vector<Kept> meanwhile;
    std::vector<Kept> afterwards;
    std::vector<Kept> closed;
    {
        proctor::CaptureRecorder recorder = capture.record();
        auto playback = capture.playback();
        for (const Piece& piece : chosen.pieces) {
            (void)recorder.add(piece.stream, piece.data, piece.time);
            play(playback, meanwhile);
        }
        playback.rewind();
        play(playback, afterwards);
        if (recorder.error() || playback.error()) return "an error";
    }
    auto playback = capture.playback();
    play(playback, closed);
    if (meanwhile != expected) return "records differ while recording";
    if (afterwards != expected) return "records differ after recording";
    if (closed != expected) return "records differ in the end";
    if (capture.record_count() != expected.size()) return "record_count() differs";
    for (const proctor::Stream stream : {proctor::STDIN, proctor::STDOUT, proctor::STDERR}) {
        std::string wrong = compare(capture, stream, streams[stream]);
        if (!wrong.empty()) return wrong;
    }
    return {};
}

}  // namespace capture_model
