// SPDX-License-Identifier: MIT
#include "hand_loop.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "vfork_child.hpp"

namespace compare {

namespace {

void close_if_open(int fd) {
    if (fd >= 0) {
        ::close(fd);
    }
}

}  // namespace

HandChild::HandChild() {
    for (std::size_t i = 0; i < sources.size(); ++i) {
        sources[i] = {this, static_cast<HandSource::Kind>(i), -1, 0};
    }
}

HandChild::~HandChild() {
    for (const HandSource& each : sources) {
        close_if_open(each.fd);
    }
}

void HandLoop::run_until(const std::function<bool()>& done) {
    while (!done()) {
        turn(std::nullopt);
    }
}

void HandLoop::run_until(SteadyTime time) {
    while (std::chrono::steady_clock::now() < time) {
        turn(time);
    }
}

bool read_output(HandChild& child, std::size_t stream, int fd, bool hung_up) {
    constexpr int most_pieces = 16;
    for (int piece = 0; piece < most_pieces; ++piece) {
        const std::span<char> room = child.room(stream);
        const ssize_t count = ::read(fd, room.data(), room.size());
        if (count == 0) {
            return true;
        }
        if (count < 0) {
            if (errno == EINTR) {
                continue;
            }
            if (errno == EAGAIN) {
                return false;
            }
            throw_errno("read");
        }
        child.on_output(stream, static_cast<std::size_t>(count));
        // Less than was asked for: the pipe is empty.
        if (!hung_up && static_cast<std::size_t>(count) < room.size()) {
            return false;
        }
    }
    return false;
}

// The delegation makes the destructor run also where this throws.
ChildPipes::ChildPipes(const HandStart& how, int null) : ChildPipes() {
    if (how.with_input) {
        make_pipe(STDIN_FILENO, true);
    } else {
        childs[STDIN_FILENO] = null;
    }
    make_pipe(STDOUT_FILENO, false);
    make_pipe(STDERR_FILENO, false);
    if (how.extra >= 0) {
        childs[3] = how.extra;
        count = 4;
    }
}

ChildPipes::~ChildPipes() {
    std::for_each(to_close_.begin(), to_close_.end(), close_if_open);
    std::for_each(own.begin(), own.end(), close_if_open);
}

void ChildPipes::make_pipe(std::size_t number, bool child_reads) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
        throw_errno("pipe2");
    }
    childs[number] = to_close_[number] = ends[child_reads ? 0 : 1];
    own[number] = ends[child_reads ? 1 : 0];
    // Programs expect to wait at their ends.
    if (::fcntl(childs[number], F_SETFL, 0) < 0) {
        throw_errno("fcntl");
    }
}

std::optional<timespec> time_left(std::optional<SteadyTime> until) {
    if (!until) {
        return std::nullopt;
    }
    using std::chrono::nanoseconds;
    const nanoseconds left = std::max(nanoseconds(*until - std::chrono::steady_clock::now()), nanoseconds(0));
    constexpr std::int64_t second = 1'000'000'000;
    return timespec{static_cast<time_t>(left.count() / second), static_cast<long>(left.count() % second)};
}

}  // namespace compare
