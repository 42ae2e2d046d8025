// SPDX-License-Identifier: MIT
#include "input_replay.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace proctor::cli {

Result<InputReplay> InputReplay::open(const std::string& path) {
    if (path == "-") {
        return Error{Stage::setup, EINVAL, "--replay-input takes a file, and no standard input",
                     "write the capture to a file first"};
    }
    // A pipe could make the reactor wait for whoever writes into it.
    struct stat status {};
    if (::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
        return Error{Stage::setup, EINVAL, "the capture " + path + " is no regular file", "write it to a file first"};
    }
    InputReplay replay(std::unique_ptr<JSONCapturePlayback>(new auto(JSONCapturePlayback::file(path))));
    if (const auto record = replay.playback_->next()) {
        replay.take(*record);
    } else if (replay.playback_->error()) {
        return *replay.playback_->error();
    }
    return replay;
}

void InputReplay::attach(const JobHandle& job) {
    job_ = job;
    go_on();
}

void InputReplay::add(const CaptureRecord& record) {
    if (record.stream != STDIN) {
        Words& words = words_[record.stream];
        words.said += static_cast<Bytes>(record.data.size());
        words.cut = words.cut || record.truncated;
        if (!full_) {
            go_on();
        }
    }
}

void InputReplay::take(const CaptureRecord& record) {
    if (record.stream == STDIN) {
        piece_ = record.data;
        return;
    }
    Words& words = words_[record.stream];
    words.before += static_cast<Bytes>(record.data.size());
    words.cut = words.cut || record.truncated;
}

// Up to a piece of input, or the end.
void InputReplay::take_next() {
    while (!piece_ && !over_) {
        if (const auto record = playback_->next()) {
            take(*record);
            continue;
        }
        over_ = true;
        error_ = playback_->error();
        if (error_) {
            job_.cancel();
        } else {
            job_.close_input();
        }
    }
}

bool InputReplay::said_enough() const noexcept {
    return std::all_of(words_.begin(), words_.end(),
                       [](const Words& words) { return words.cut || words.said >= words.before; });
}

void InputReplay::go_on() {
    full_ = false;
    take_next();
    while (piece_ && !full_ && said_enough()) {
        const Result<bool> written = job_.write_input(std::move(*piece_));
        piece_.reset();
        if (!written) {
            over_ = true;  // it has closed its input, or ended
            return;
        }
        full_ = !*written;
        take_next();
    }
}

}  // namespace proctor::cli
