// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include <proctor/capture_json.hpp>
#include <proctor/error.hpp>
#include <proctor/reactor.hpp>

namespace proctor::cli {

/// Where --capture goes: takes the records of one job as they happen and writes them in large pieces, or a tenth of a
/// second later. What is not a
/// file, such as a pipe, is written only as far as it takes it without waiting, so that limits go on meanwhile; when
/// too much has piled up, the job's streams are paused.
class CaptureFile {
public:
    /// "-" is standard output.
    [[nodiscard]] static Result<CaptureFile> open(const std::string& path, const JSONCaptureOptions& options);

    CaptureFile(CaptureFile&& other) noexcept;
    CaptureFile& operator=(CaptureFile&&) = delete;
    ~CaptureFile();

    /// Call it once, and do not move this any more, before the reactor runs. The job is cancelled if its records cannot
    /// be written.
    [[nodiscard]] Result<void> attach(Reactor& reactor, const JobHandle& job);
    void add(const CaptureRecord& record);
    /// Writes what is left, and no more after it; `stop_descriptor` (-1: none) breaks the wait for a reader off. Tells
    /// also what has failed before.
    [[nodiscard]] Result<void> finish(int stop_descriptor);

private:
    CaptureFile(std::string name, int fd, bool owned, JSONCaptureEncoder encoder);

    [[nodiscard]] std::string_view pending() const { return std::string_view(text_).substr(written_); }
    void write_out();
    void flush_later();
    void flush();
    void write_file();
    void write_without_waiting();
    void pause();
    void go_on();
    void fail(int error_number);

    std::string name_;
    int fd_;
    bool owned_;
    int epoll_ = -1;  // what is watched while the job is paused; -1 for a file
    JSONCaptureEncoder encoder_;
    std::string text_{};
    std::size_t written_ = 0;  // of text_
    JobHandle job_{};
    Watch watch_{};
    int flush_timer_ = -1;
    bool flush_comes_ = false;
    Watch flush_watch_{};
    bool paused_ = false;
    std::optional<Error> error_{};
};

}  // namespace proctor::cli
