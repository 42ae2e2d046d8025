// SPDX-License-Identifier: MIT
#include "reactor/output_stream.hpp"

#include <poll.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <utility>

namespace proctor::detail {

namespace {

// How long a read of what the pipe was seen to hold may wait. A program can open its own output for reading, and take
// it back.
constexpr Nanoseconds longest_last_read = std::chrono::milliseconds(10);

}  // namespace

void OutputStream::open(UniqueFd pipe, HostDescriptor forward_to, bool lingers, PipeGrowth* growth) noexcept {
    assert(state_ == State::ended && idle());
    pipe_ = std::move(pipe);
    forward_to_ = std::move(forward_to);
    lingers_ = lingers;
    growing_.begin(growth);
    state_ = State::open;
    read_next();
}

void OutputStream::reset() noexcept {
    assert(state_ == State::ended && idle());
    paused_ = false;
    held_ = false;
    impatient_ = false;
    beside_ = nullptr;
    unproven_ = false;
    budget_.reset();
}

void OutputStream::resume() noexcept {
    paused_ = false;
    if (state_ != State::ended && idle()) {
        read_next();
    }
}

void OutputStream::release() noexcept {
    held_ = false;
    if (state_ != State::ended && idle()) {
        read_next();
    }
}

void OutputStream::finish_up(bool impatient) noexcept {
    if (state_ == State::ended) {
        return;
    }
    state_ = State::ending;
    // A read in flight need not have seen what the pipe holds: it may be waiting for a buffer, or data may have come
    // since. So whatever becomes of it, the pipe is asked afterwards.
    engine_.cancel(read_);
    if (impatient || ready_.events == POLLIN) {
        engine_.cancel(ready_);
    }
    if (impatient) {
        impatient_ = true;
        engine_.cancel(forward_);
    }
    if (idle()) {
        read_next();
    }
}

void OutputStream::read_next() noexcept {
    if (state_ == State::ending) {
        const std::optional<std::size_t> left = held();
        if (!left) {
            owner_.on_output_error(stream_, errno, false);
            return end();
        }
        budget_ = std::min(budget_.value_or(*left), *left);
    }
    if (budget_ == std::size_t{0}) {
        end();
    } else if (!held_ && (!paused_ || state_ == State::ending)) {
        read_.fd = pipe_.get();
        engine_.start(read_);
        if (state_ == State::ending) {
            engine_.start(last_read_timer_, now() + longest_last_read);
        }
    }
}

void OutputStream::on_last_read_timer(int /*result*/) noexcept { engine_.cancel(read_); }

void OutputStream::on_read(int result) noexcept {
    engine_.cancel(last_read_timer_);
    if (result == -ECANCELED || (is_passing(result) && state_ == State::ending)) {
        read_next();
        return;
    }
    if (is_passing(result)) {
        wait_for(pipe_.get(), POLLIN);
        return;
    }
    if (result <= 0) {
        if (result < 0) {
            owner_.on_output_error(stream_, -result, false);
        }
        end();
        return;
    }
    const std::string_view data(read_.data.data(), read_.data.size());
    if (data.size() == Read::most) {
        growing_.note_full(pipe_.get());
    }
    if (budget_) {
        *budget_ -= std::min(*budget_, data.size());
    }
    const Arrival arrival{now(), is_ambiguous()};  // before anybody is told, who could make the child write more
    delivering_ = true;
    std::string_view passed_on = owner_.on_output(stream_, data, arrival);
    if (lingers_ && !passed_on.empty() && !impatient_) {
        passed_on.remove_prefix(forward_at_once(passed_on));
    }
    delivering_ = false;
    if (forward_to_.fd() >= 0 && !passed_on.empty() && !impatient_) {
        to_forward_.assign(passed_on);
        forwarded_ = 0;
        forward_next();
    } else {
        read_next();
    }
}

std::optional<std::size_t> OutputStream::held() const noexcept {
    int held = 0;
    if (::ioctl(pipe_.get(), FIONREAD, &held) != 0) {
        return std::nullopt;
    }
    return static_cast<std::size_t>(std::max(held, 0));
}

bool OutputStream::may_hold_data() const noexcept {
    return state_ != State::ended && (read_.arriving || held().value_or(1) > 0);
}

bool OutputStream::is_ambiguous() noexcept {
    if (beside_ == nullptr) {
        return false;
    }
    const bool after_unproven = beside_->unproven_;
    if (after_unproven) {
        beside_->unproven_ = may_hold_data();  // what comes when it has been emptied is later
    }
    unproven_ = beside_->may_hold_data();
    return after_unproven || unproven_;
}

// Straight from the buffer that was read into, if the pipe takes it.
std::size_t OutputStream::forward_at_once(std::string_view data) noexcept {
    const int written = engine_.write_at_once(forward_to_.fd(), data);
    if (written <= 0) {
        return 0;
    }
    const auto accepted = static_cast<std::size_t>(written);
    owner_.on_passed_on(data.substr(0, accepted));
    return accepted;
}

void OutputStream::forward_next() noexcept {
    if (impatient_) {
        read_next();
        return;
    }
    forward_.fd = forward_to_.fd();
    forward_.manner = forward_to_.manner();
    forward_.data = std::span<const char>(to_forward_).subspan(forwarded_);
    engine_.start(forward_);
}

void OutputStream::on_forwarded(int result) noexcept {
    if (result >= 0) {
        const auto accepted = static_cast<std::size_t>(result);
        owner_.on_passed_on(std::string_view(to_forward_).substr(forwarded_, accepted));
        forwarded_ += accepted;
        if (forwarded_ < to_forward_.size()) {
            forward_next();
        } else {
            read_next();
        }
    } else if (impatient_ && (result == -ECANCELED || is_passing(result))) {
        read_next();  // given up; what the pipe holds is still recorded
    } else if (is_passing(result)) {
        wait_for(forward_to_.fd(), POLLOUT);
    } else if (is_deaf(result) && lingers_) {
        if (impatient_) {
            read_next();
        } else {
            impatient_ = true;
            owner_.on_forward_closed();
        }
    } else {
        if (!is_deaf(result)) {
            owner_.on_output_error(stream_, -result, true);
        }
        end();  // closes the pipe: the child meets SIGPIPE, as it would if it wrote there itself
    }
}

void OutputStream::wait_for(int fd, short events) noexcept {
    ready_.fd = fd;
    ready_.events = events;
    engine_.start(ready_);
}

void OutputStream::on_ready(int /*result*/) noexcept {
    if (ready_.events == POLLOUT) {
        forward_next();
    } else {
        read_next();
    }
}

bool OutputStream::idle() const noexcept {
    return !delivering_ && !read_.in_flight() && !forward_.in_flight() && !ready_.in_flight();
}

void OutputStream::end() noexcept {
    assert(idle());
    state_ = State::ended;
    pipe_.reset();
    forward_to_ = {};
    growing_.end();
    owner_.on_output_end(stream_);
}

}  // namespace proctor::detail
