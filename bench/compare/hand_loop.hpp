// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>
#include <time.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace compare {

class HandChild;

using SteadyTime = std::chrono::steady_clock::time_point;

/// What a loop watches: one descriptor of one child.
struct HandSource {
    enum class Kind : unsigned char { output, error_output, input, death };

    HandChild* child = nullptr;
    Kind kind = Kind::output;
    int fd = -1;
    std::size_t place = 0;  ///< the loop's own
};

/// One child of a hand-written loop. What is told is told by the loop, never inside start().
class HandChild {
public:
    HandChild();
    HandChild(const HandChild&) = delete;
    HandChild& operator=(const HandChild&) = delete;
    virtual ~HandChild();

    /// Where the next bytes of a stream are to be read to; 0 is stdout.
    virtual std::span<char> room(std::size_t stream) = 0;
    /// So many bytes have come there.
    virtual void on_output(std::size_t stream, std::size_t count) = 0;
    /// Its stdin takes more, after HandLoop::watch_input().
    virtual void on_input_room() {}
    /// It is reaped, with this wait status, and its outputs are at their end.
    virtual void on_end(int status) = 0;

    std::array<HandSource, 4> sources{};  ///< by Kind
    pid_t pid = -1;
    std::optional<int> status{};

    [[nodiscard]] HandSource& source(HandSource::Kind kind) { return sources[static_cast<std::size_t>(kind)]; }
};

/// How a child is to be started: its outputs go to pipes, its stdin is empty or a pipe.
struct HandStart {
    const std::vector<std::string>* argv = nullptr;
    bool with_input = false;
    int extra = -1;  ///< the child's descriptor 3, if it is not negative
};

/// A loop over children, in one thread. What goes wrong is thrown as std::system_error.
class HandLoop {
public:
    HandLoop() = default;
    HandLoop(const HandLoop&) = delete;
    HandLoop& operator=(const HandLoop&) = delete;
    virtual ~HandLoop() = default;

    /// The child must outlive its end, and may be started again then, also from inside on_end().
    virtual void start(HandChild& child, const HandStart& how) = 0;
    /// Tells on_input_room() while the pipe takes more; false: does not any more.
    virtual void watch_input(HandChild& child, bool watched) = 0;
    virtual void close_input(HandChild& child) = 0;
    virtual void kill(HandChild& child) = 0;
    /// Waits until something happens or the time has come, and handles it.
    virtual void turn(std::optional<SteadyTime> until) = 0;

    void run_until(const std::function<bool()>& done);
    void run_until(SteadyTime time);
};

std::unique_ptr<HandLoop> make_epoll_loop();
std::unique_ptr<HandLoop> make_poll_loop();

/// How both loops read: up to so many pieces at once, so that a child that floods leaves the others their turn. True at
/// the end of the stream. `hung_up`: everything that is to come is there.
bool read_output(HandChild& child, std::size_t stream, int fd, bool hung_up);

/// The descriptors that a child is started with, and this process's ends of its pipes.
struct ChildPipes {
    std::array<int, 4> childs{-1, -1, -1, -1};
    std::array<int, 3> own{-1, -1, -1};  ///< not blocking; stdin's is -1 if it is empty
    std::size_t count = 3;

    ChildPipes(const HandStart& how, int null);  ///< throws std::system_error
    ChildPipes(const ChildPipes&) = delete;
    ChildPipes& operator=(const ChildPipes&) = delete;
    /// Closes the child's ends of the pipes, and this process's unless they were kept.
    ~ChildPipes();
    /// The ends are another's now.
    void keep_own() { own = {-1, -1, -1}; }

private:
    ChildPipes() = default;
    void make_pipe(std::size_t number, bool child_reads);

    std::array<int, 3> to_close_{-1, -1, -1};
};

/// Time left, as ppoll and epoll_pwait2 take it; none: for ever.
std::optional<timespec> time_left(std::optional<SteadyTime> until);

}  // namespace compare
