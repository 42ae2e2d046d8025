// SPDX-License-Identifier: MIT
#include "reactor/input_feed.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <cassert>
#include <cerrno>
#include <cstdio>
#include <utility>

namespace proctor::detail {

namespace {

// Another reading end of a pipe of which we hold the writing end; none without /proc.
UniqueFd open_reader(int writer) noexcept {
    char path[32];
    std::snprintf(path, sizeof path, "/proc/self/fd/%d", writer);
    return UniqueFd(::open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC));
}

}  // namespace

void InputFeed::begin(UniqueFd pipe) noexcept {
    assert(idle());
    pipe_ = std::move(pipe);
    stopped_ = false;
    held_ = false;
}

void InputFeed::open_text(UniqueFd pipe, std::string_view text) noexcept {
    begin(std::move(pipe));
    rest_ = text;
    if (rest_.empty()) {
        end();
    } else {
        write_next();
    }
}

void InputFeed::open_descriptor(UniqueFd pipe, int source, UniqueFd opened) noexcept {
    begin(std::move(pipe));
    source_ = source;
    opened_ = std::move(opened);
    struct stat status {};
    if (opened_ && ::fstat(source_, &status) == 0 && S_ISFIFO(status.st_mode)) {
        wait_for(source_, POLLIN);  // until somebody has opened it for writing, a read would say end of file
    } else {
        read_next();
    }
}

void InputFeed::wait_for(int fd, short events) noexcept {
    ready_.fd = fd;
    ready_.events = events;
    engine_.start(ready_);
}

void InputFeed::stop() noexcept {
    if (stopped_) {
        close_writer();  // one that was held open, or nothing
        return;
    }
    stopped_ = true;
    engine_.cancel(read_);
    engine_.cancel(write_);
    engine_.cancel(ready_);
    if (std::exchange(waits_, false)) {
        end();
    }
}

void InputFeed::release() noexcept {
    held_ = false;
    if (std::exchange(waits_, false)) {
        write_next();
    }
}

void InputFeed::read_next() noexcept {
    read_.fd = source_;
    engine_.start(read_);
}

void InputFeed::on_read(int result) noexcept {
    if (!stopped_ && result > 0) {
        piece_.assign(read_.data.data(), read_.data.size());
        rest_ = piece_;
        write_next();
    } else if (!stopped_ && (result == -EAGAIN || result == -EINTR)) {
        wait_for(source_, POLLIN);
    } else {
        if (!stopped_ && result < 0) {
            owner_.on_input_error(-result, true);
        }
        end();
    }
}

void InputFeed::write_next() noexcept {
    if (held_) {
        waits_ = true;
        return;
    }
    issued_ = now();
    write_.fd = pipe_.get();
    write_.data = rest_;
    engine_.start(write_);
}

void InputFeed::on_written(int result) noexcept {
    if (result > 0) {
        const auto accepted = static_cast<std::size_t>(result);
        const std::string_view data = rest_.substr(0, accepted);
        rest_.remove_prefix(accepted);
        owner_.on_input(data, issued_);
    }
    if (!stopped_ && (result == -EAGAIN || result == -EINTR)) {
        wait_for(pipe_.get(), POLLOUT);
    } else if (!stopped_ && result >= 0 && !rest_.empty()) {
        write_next();
    } else if (!stopped_ && result >= 0 && source_ >= 0) {
        read_next();
    } else {
        if (!stopped_ && result < 0 && result != -EPIPE) {
            owner_.on_input_error(-result, false);
        }
        end();
    }
}

void InputFeed::on_ready(int /*result*/) noexcept {
    if (stopped_) {
        end();
    } else if (ready_.events == POLLIN) {
        read_next();
    } else {
        write_next();
    }
}

bool InputFeed::idle() const noexcept { return !read_.in_flight() && !write_.in_flight() && !ready_.in_flight(); }

void InputFeed::close_writer() noexcept {
    if (pipe_) {
        reader_ = open_reader(pipe_.get());
        pipe_.reset();
    }
}

void InputFeed::end() noexcept {
    stopped_ = true;
    source_ = -1;
    opened_.reset();
    rest_ = {};
    close_writer();
    owner_.on_input_end();
}

std::optional<Bytes> InputFeed::take_unread() noexcept {
    assert(idle());
    close_writer();
    int held = 0;
    const bool known = reader_ && ::ioctl(reader_.get(), FIONREAD, &held) == 0;
    reader_.reset();
    return known ? std::optional<Bytes>(held) : std::nullopt;
}

}  // namespace proctor::detail
