// SPDX-License-Identifier: MIT
//
// For the kinds of jobs: what all results of a sort have in common.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>

#include <proctor/proctor.hpp>

#include "soak_jobs.hpp"

namespace soak {

using namespace std::chrono_literals;
using proctor::Job;
using proctor::Outcome;
using proctor::Reason;
using proctor::RunResult;
using proctor::Stage;
using proctor::STDERR;
using proctor::STDIN;
using proctor::STDOUT;
using proctor::Stream;

#define SOAK_CHECK(condition)                                                     \
    do {                                                                          \
        if (!(condition)) return "not true: " #condition ": " + describe(result); \
    } while (false)

inline std::string text(std::size_t number) { return std::to_string(number); }

// Whether the stream holds the beginning of the pattern, so much of it and whole.
inline bool is_filled(const RunResult& result, Stream stream, std::size_t size) {
    auto playback = result.capture.playback();
    std::size_t at = 0;
    while (const auto record = playback.next(stream)) {
        if (record->data != pattern(size).substr(std::min(at, size), record->data.size())) return false;
        at += record->data.size();
    }
    const proctor::StreamTotals totals = result.capture.totals(stream);
    return at == size && !playback.error() && static_cast<std::size_t>(totals.bytes) == size;
}

inline bool is_whole(const RunResult& result, Stream stream, std::size_t size) {
    const proctor::StreamTotals totals = result.capture.totals(stream);
    return is_filled(result, stream, size) && static_cast<std::size_t>(totals.total_bytes) == size && !totals.truncated;
}

inline std::string check_exit(const RunResult& result, int status) {
    SOAK_CHECK(!result.error);
    SOAK_CHECK(!result.reason);
    SOAK_CHECK(result.outcome == (status == 0 ? Outcome::pass : Outcome::fail));
    SOAK_CHECK(result.returncode == status && result.exit_code == status && !result.signal);
    SOAK_CHECK(result.usage && result.usage->wctime > 0ns);
    return {};
}

inline std::string check_limit(const RunResult& result, Reason reason) {
    SOAK_CHECK(!result.error);
    SOAK_CHECK(result.outcome == Outcome::fail);
    SOAK_CHECK(result.reason == reason);
    SOAK_CHECK(result.usage);
    const auto& events = result.limit_events;
    SOAK_CHECK(events.crossed_at && events.ended_at && *events.crossed_at <= *events.ended_at);
    return {};
}

inline std::string check_cancelled(const RunResult& result) {
    SOAK_CHECK(result.outcome == Outcome::error);
    SOAK_CHECK(result.error && result.error->stage == Stage::cancelled);
    return {};
}

// A pipe whose write end is a job's descriptor 9: it shows whether any process of that job is left.
class Witness {
public:
    explicit Witness(Job& job) {
        if (pipe2(ends_.data(), O_CLOEXEC) == 0) job.descriptors.push_back({.from = ends_[1], .to = 9});
    }
    Witness(const Witness&) = delete;
    Witness& operator=(const Witness&) = delete;
    ~Witness() {
        drop(ends_[0]);
        drop(ends_[1]);
    }
    bool all_gone() {
        drop(ends_[1]);
        // One that is just being launched may hold a copy for a moment.
        pollfd entry{ends_[0], POLLIN, 0};
        return poll(&entry, 1, 10'000) == 1;
    }

private:
    static void drop(int& end) {
        if (end >= 0) close(end);
        end = -1;
    }
    std::array<int, 2> ends_{-1, -1};
};

}  // namespace soak
