// SPDX-License-Identifier: MIT
#include "replay_command.hpp"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>

#include <proctor/capture_json.hpp>

#include "exit_status.hpp"
#include "messages.hpp"
#include "replay_output.hpp"

namespace proctor::cli {

namespace {

using std::chrono::nanoseconds;

nanoseconds now() {
    timespec time{};
    ::clock_gettime(CLOCK_MONOTONIC, &time);
    return std::chrono::seconds(time.tv_sec) + nanoseconds(time.tv_nsec);
}

void sleep_until(nanoseconds instant) {
    const auto whole = std::chrono::duration_cast<std::chrono::seconds>(instant);
    const timespec time{.tv_sec = whole.count(), .tv_nsec = (instant - whole).count()};
    while (::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nullptr) == EINTR) {
    }
}

// When, counted from the replay's start, a record is due.
nanoseconds due(nanoseconds time, std::optional<double> speed) {
    constexpr std::int64_t most = 1'000'000'000'000'000'000;  // thirty years
    if (!speed) {
        return std::min(time, nanoseconds(most));
    }
    const double scaled = static_cast<double>(time.count()) / *speed;
    return nanoseconds(scaled < static_cast<double>(most) ? static_cast<std::int64_t>(scaled) : most);
}

bool wanted(const ReplayRequest& request, Stream stream) {
    return request.streams.empty() ? stream != STDIN : request.streams.contains(stream);
}

JSONCapturePlayback open(const std::string& path) {
    return path == "-" ? JSONCapturePlayback::descriptor(STDIN_FILENO, "standard input")
                       : JSONCapturePlayback::file(path);
}

Result<void> play(const ReplayRequest& request, JSONCapturePlayback& playback, ReplayOutput& output) {
    const nanoseconds start = now();
    // What somebody sends us may pause for long.
    const bool whole_file = request.path != "-";
    for (const CaptureRecord& record : playback) {
        if (!wanted(request, record.stream)) {
            continue;
        }
        const nanoseconds instant = start + due(record.time, request.speed);
        if (!request.instant && instant > now()) {
            if (const Result<void> flushed = output.flush(); !flushed) {
                return flushed.error();
            }
            sleep_until(instant);
        }
        Result<void> shown = output.show(record);
        if (shown && !whole_file) {
            shown = output.flush();
        }
        if (!shown) {
            return shown.error();
        }
    }
    return output.flush();
}

}  // namespace

int replay_command(const ReplayRequest& request) {
    ReplayOutput output;
    end_replay_on_signals();
    JSONCapturePlayback playback = open(request.path);
    const Result<void> played = play(request, playback, output);
    if (!played && played.error().error_number == EPIPE) {
        return signal_status_base + SIGPIPE;
    }
    if (!played) {
        tell_failure(played.error());
        return failure_status;
    }
    if (playback.error()) {
        tell_failure(*playback.error());
        return failure_status;
    }
    return 0;
}

}  // namespace proctor::cli
