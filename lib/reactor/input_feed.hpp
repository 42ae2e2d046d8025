// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include <proctor/stdio.hpp>
#include <proctor/units.hpp>

#include "base/clock.hpp"
#include "base/failure.hpp"
#include "base/unique_fd.hpp"
#include "ring/engine.hpp"

namespace proctor::detail {

/// What an InputFeed tells its run.
class InputOwner {
public:
    /// The pipe accepted these bytes by a write that was issued at `issued`.
    virtual void on_input(std::string_view data, Instant issued) noexcept = 0;
    /// The source could not be read, or the pipe not be written. A child that closes its stdin early is no error.
    virtual void on_input_error(int error_number, bool reading) noexcept = 0;
    /// The feed has stopped and no request of it is in flight.
    virtual void on_input_end() noexcept = 0;

protected:
    ~InputOwner() = default;
};

/// Writes a child's stdin: from memory, or from a descriptor piece by piece. One request in flight at a time. The pipe
/// is closed right after the last byte; a reading end is then kept for asking what nobody has read.
class InputFeed {
public:
    InputFeed(Engine& engine, InputOwner& owner) noexcept : engine_(engine), owner_(owner) {}

    /// From memory that outlives the feed.
    void open_text(UniqueFd pipe, std::string_view text) noexcept;
    /// From `source`, which is borrowed unless `opened` holds it.
    void open_descriptor(UniqueFd pipe, int source, UniqueFd opened) noexcept;
    /// Nothing, and no end of file.
    void hold_open(UniqueFd pipe) noexcept { pipe_ = std::move(pipe); }

    /// No write is begun before the release: what was written before has first to be put away.
    void hold() noexcept { held_ = true; }
    void release() noexcept;

    /// The main process is dead: no more is written.
    void stop() noexcept;

    void forsake() noexcept {
        read_.forsake();
        write_.forsake();
        ready_.forsake();
    }

    [[nodiscard]] bool idle() const noexcept;

    /// Accepted by the pipe and not read by anybody; none if there is no pipe to ask. Ends the feed.
    [[nodiscard]] std::optional<Bytes> take_unread() noexcept;

private:
    void begin(UniqueFd pipe) noexcept;
    void read_next() noexcept;
    void write_next() noexcept;
    void on_read(int result) noexcept;
    void on_written(int result) noexcept;
    void on_ready(int result) noexcept;
    void wait_for(int fd, short events) noexcept;
    void close_writer() noexcept;
    void end() noexcept;

    Engine& engine_;
    InputOwner& owner_;
    UniqueFd pipe_{};    // the writing end
    UniqueFd reader_{};  // after it is closed: a reading end, to ask what is left
    UniqueFd opened_{};
    int source_ = -1;
    bool stopped_ = true;
    bool held_ = false;
    bool waits_ = false;  // for the release
    std::string piece_{};
    std::string_view rest_{};
    Instant issued_{};
    Bound<Read, InputFeed, &InputFeed::on_read> read_{*this};
    Bound<Write, InputFeed, &InputFeed::on_written> write_{*this};
    Bound<Ready, InputFeed, &InputFeed::on_ready> ready_{*this};
};

}  // namespace proctor::detail
