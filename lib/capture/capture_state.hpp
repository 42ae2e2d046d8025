// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <utility>

#include <proctor/capture.hpp>
#include <proctor/recorder.hpp>

#include "capture/frame_store.hpp"

namespace proctor::detail {

/// What a Capture, its recorder and its playbacks have in common.
struct CaptureState {
    explicit CaptureState(CaptureOptions wanted)
        : options(std::move(wanted)), store(options.max_size, options.spool_directory) {}

    CaptureOptions options;
    std::array<StreamTotals, 3> totals{};
    FrameStore store;
    bool recorded = false;
};

/// Lets other rooms reach behind the public classes.
struct CaptureAccess {
    static FrameStore& store(CaptureRecorder& recorder) noexcept { return recorder.state_->store; }
};

/// Whether the options ask for that stream.
[[nodiscard]] inline bool records(const CaptureOptions& options, Stream stream) noexcept {
    switch (stream) {
        case STDIN: return options.input;
        case STDOUT: return options.output;
        case STDERR: return options.error_output;
    }
    return false;
}

}  // namespace proctor::detail
