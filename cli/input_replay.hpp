// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>

#include <proctor/capture_json.hpp>
#include <proctor/error.hpp>
#include <proctor/reactor.hpp>

namespace proctor::cli {

/// Gives a program the input of a capture again: each piece once the program has said as much on its two outputs as
/// stands before that piece in the capture. So a program that does the same as then has the same dialogue.
class InputReplay {
public:
    /// Its first record is read already: what is no capture is known before the program is started.
    [[nodiscard]] static Result<InputReplay> open(const std::string& path);

    /// Call it once, and do not move this any more, before the reactor runs. The job's input is Input::live(); the job
    /// is cancelled if the capture is damaged further on.
    void attach(const JobHandle& job);
    /// What the program has said.
    void add(const CaptureRecord& record);
    /// The pipe has room.
    void go_on();
    [[nodiscard]] const std::optional<Error>& error() const noexcept { return error_; }

private:
    /// Of one output stream.
    struct Words {
        Bytes said = 0;
        Bytes before = 0;  ///< what stands in the capture before the next piece
        bool cut = false;  ///< by a limit, now or then: how much more was said is not known
    };

    explicit InputReplay(std::unique_ptr<JSONCapturePlayback> playback) : playback_(std::move(playback)) {}
    void take_next();
    void take(const CaptureRecord& record);
    [[nodiscard]] bool said_enough() const noexcept;

    std::unique_ptr<JSONCapturePlayback> playback_;
    JobHandle job_{};
    std::array<Words, 3> words_{};
    std::optional<std::string> piece_{};
    bool over_ = false;
    bool full_ = false;  // the pipe
    std::optional<Error> error_{};
};

}  // namespace proctor::cli
