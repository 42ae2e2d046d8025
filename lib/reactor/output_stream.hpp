// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include <proctor/capture.hpp>

#include "base/unique_fd.hpp"
#include "reactor/host_descriptor.hpp"
#include "reactor/pipe_growth.hpp"
#include "ring/engine.hpp"

namespace proctor::detail {

/// What is known of when a piece of output came.
struct Arrival {
    Instant time{};
    bool ambiguous = false;
};

/// What an OutputStream tells its run.
class OutputOwner {
public:
    /// Data came; gives the part that is to be forwarded.
    virtual std::string_view on_output(Stream stream, std::string_view data, Arrival arrival) noexcept = 0;
    /// Where it is forwarded to has accepted these bytes.
    virtual void on_passed_on(std::string_view data) noexcept = 0;
    /// Of a stream that lingers: nobody reads any more where it is forwarded to. finish_up() is to follow.
    virtual void on_forward_closed() noexcept = 0;
    /// The pipe could not be read, or not be forwarded. The end follows.
    virtual void on_output_error(Stream stream, int error_number, bool forwarding) noexcept = 0;
    /// No more will come, and no request is in flight.
    virtual void on_output_end(Stream stream) noexcept = 0;

protected:
    ~OutputOwner() = default;
};

/// Drains one output pipe of a child: read, hand over, forward if asked, read again. At most one request of each kind
/// is in flight, and no read while a forward is: that is the back-pressure.
///
/// Of two such pipes beside each other it is told which records have no known order. After a record the other pipe is
/// looked at: if it is empty, and no read of it has brought data meanwhile, all that comes from it later is later.
class OutputStream {
public:
    OutputStream(Engine& engine, OutputOwner& owner, Stream stream) noexcept
        : engine_(engine), owner_(owner), stream_(stream) {}

    /// When nobody reads any more where it is forwarded to, the stream ends, or, if it lingers, reads
    /// nothing before it is told to finish up. `growth`, if given, may make the pipe larger, and outlives it.
    void open(UniqueFd pipe, HostDescriptor forward_to, bool lingers = false, PipeGrowth* growth = nullptr) noexcept;
    /// The run's other output, which is open too.
    void set_beside(OutputStream& other) noexcept { beside_ = &other; }
    /// May come before open(), and from inside on_output().
    void pause() noexcept { paused_ = true; }
    void resume() noexcept;
    /// As pause and resume, but apart from them, and for what is read at the end too: what was read before has first to
    /// be put away.
    void hold() noexcept { held_ = true; }
    void release() noexcept;

    /// Only strangers can hold the pipe any more: take what it holds now, paused or not, then end. If `impatient`,
    /// forward no more. May come again, in more haste, and from inside on_output().
    void finish_up(bool impatient) noexcept;
    /// Ready for another run.
    void reset() noexcept;

    void forsake() noexcept {
        read_.forsake();
        forward_.forsake();
        ready_.forsake();
        engine_.cancel(last_read_timer_);
    }

    [[nodiscard]] bool ended() const noexcept { return state_ == State::ended; }

private:
    enum class State : unsigned char { ended, open, ending };

    void read_next() noexcept;
    [[nodiscard]] std::size_t forward_at_once(std::string_view data) noexcept;
    void forward_next() noexcept;
    void on_read(int result) noexcept;
    void on_forwarded(int result) noexcept;
    void on_ready(int result) noexcept;
    void on_last_read_timer(int result) noexcept;
    void wait_for(int fd, short events) noexcept;
    [[nodiscard]] std::optional<std::size_t> held() const noexcept;
    [[nodiscard]] bool may_hold_data() const noexcept;
    [[nodiscard]] bool is_ambiguous() noexcept;
    [[nodiscard]] bool idle() const noexcept;
    void end() noexcept;

    Engine& engine_;
    OutputOwner& owner_;
    Stream stream_;
    State state_ = State::ended;
    bool paused_ = false;
    bool held_ = false;
    bool impatient_ = false;
    bool lingers_ = false;     // of a pair: forwards into another run's pipe
    bool delivering_ = false;  // inside on_output(), which may call anything but must start nothing here
    HostDescriptor forward_to_{};
    UniqueFd pipe_{};
    GrowingPipe growing_{};
    OutputStream* beside_ = nullptr;
    bool unproven_ = false;                // the other pipe has not been seen empty since the last record
    std::optional<std::size_t> budget_{};  // what may still be read, once finishing up
    std::string to_forward_{};
    std::size_t forwarded_ = 0;
    Bound<Read, OutputStream, &OutputStream::on_read> read_{*this};
    Bound<Write, OutputStream, &OutputStream::on_forwarded> forward_{*this};
    Bound<Ready, OutputStream, &OutputStream::on_ready> ready_{*this};
    Bound<Timer, OutputStream, &OutputStream::on_last_read_timer> last_read_timer_{*this};
};

}  // namespace proctor::detail
