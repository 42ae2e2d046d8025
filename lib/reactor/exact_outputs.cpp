// SPDX-License-Identifier: MIT
#include "reactor/exact_outputs.hpp"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <new>
#include <span>
#include <utility>

namespace proctor::detail {

namespace {

// What one pass may take of a job, so that others and the timers have their turn: looks, of which a message takes
// about two, and bytes.
constexpr unsigned most_steps = 512;
constexpr std::size_t most_bytes = std::size_t{256} * 1024;

// Lines that follow each other on one stream are forwarded together, up to about so many bytes.
constexpr std::size_t enough_to_forward = std::size_t{64} * 1024;

// Less than what the kernel counts for the smallest message that waits in a socket.
constexpr std::size_t least_cost_of_message = 256;

Stamp real_now() noexcept {
    timespec time{};
    ::clock_gettime(CLOCK_REALTIME, &time);
    return std::chrono::seconds(time.tv_sec) + Nanoseconds(time.tv_nsec);
}

std::optional<Stamp> stamp_of(msghdr& header) noexcept {
    for (cmsghdr* each = CMSG_FIRSTHDR(&header); each != nullptr; each = CMSG_NXTHDR(&header, each)) {
        if (each->cmsg_level == SOL_SOCKET && each->cmsg_type == SCM_TIMESTAMPNS) {
            timespec time{};
            std::memcpy(&time, CMSG_DATA(each), sizeof time);
            return std::chrono::seconds(time.tv_sec) + Nanoseconds(time.tv_nsec);
        }
    }
    return std::nullopt;
}

std::size_t held_by(const UniqueFd& socket) noexcept {
    int held = 0;
    if (socket) {
        ::ioctl(socket.get(), FIONREAD, &held);  // of all messages together
    }
    return static_cast<std::size_t>(std::max(held, 0));
}

}  // namespace

bool ExactOutputs::open(UniqueFd output, HostDescriptor forward_output_to, UniqueFd error_output,
                        HostDescriptor forward_error_to, std::size_t largest_message) noexcept {
    assert(ended());
    output_.message.reset(new (std::nothrow) char[largest_message]);
    error_output_.message.reset(new (std::nothrow) char[largest_message]);
    if (!output_.message || !error_output_.message) {
        return false;
    }
    largest_message_ = largest_message;
    output_.socket = std::move(output);
    output_.forward_to = std::move(forward_output_to);
    error_output_.socket = std::move(error_output);
    error_output_.forward_to = std::move(forward_error_to);
    for (Side* const each : {&output_, &error_output_}) {
        each->at_end = false;
        each->ended = false;
    }
    (void)look_at_clock();
    go_on(Step::all_empty);
    return true;
}

void ExactOutputs::reset() noexcept {
    assert(ended() && !forwarding());
    for (Side* const each : {&output_, &error_output_}) {
        each->message.reset();
        each->paused = false;
    }
    order_ = {};
    offset_ = {};
    last_horizon_.reset();
    impatient_ = false;
    held_ = false;
}

void ExactOutputs::release() noexcept {
    held_ = false;
    drain_soon();
}

void ExactOutputs::forsake() noexcept {
    engine_.cancel(drain_timer_);
    output_ready_.forsake();
    error_ready_.forsake();
    forward_.forsake();
    forward_ready_.forsake();
}

void ExactOutputs::resume(Stream stream) noexcept {
    side(stream).paused = false;
    drain_soon();
}

void ExactOutputs::finish_up(bool impatient) noexcept {
    if (ended()) {
        return;
    }
    if (!last_horizon_) {
        last_horizon_ = real_now() + Nanoseconds(1);                    // what is stamped now too
        last_messages_ = 4 * largest_message_ / least_cost_of_message;  // two sockets, each with what it keeps twice
    }
    if (impatient) {
        impatient_ = true;
        engine_.cancel(forward_);
        engine_.cancel(forward_ready_);
    }
    drain_soon();
}

void ExactOutputs::deliver_until(Instant time) noexcept {
    if (ended() || draining_ || forwarding()) {
        return;
    }
    (void)look_at_clock();
    (void)drain(offset_.to_stamp(time));
    drain_soon();
}

void ExactOutputs::drain_soon() noexcept {
    if (!ended() && !draining_ && !drain_timer_.armed()) {
        engine_.start(drain_timer_, now());
    }
}

void ExactOutputs::on_drain_timer(int /*result*/) noexcept {
    if (!forwarding()) {
        go_on(drain(std::nullopt));
    }
}

// False if CLOCK_REALTIME has jumped since the last look.
bool ExactOutputs::look_at_clock() noexcept {
    const Nanoseconds before = now().since_boot;
    real_now_ = real_now();
    const bool steady = offset_.add(before, real_now_, now().since_boot);
    if (!steady) {
        order_.clock_jumped(held_by(output_.socket), held_by(error_output_.socket));
        if (last_horizon_) {
            last_horizon_ = real_now_ + Nanoseconds(1);
        }
    }
    return steady;
}

void ExactOutputs::begin_round(std::optional<Stamp> horizon) noexcept {
    (void)look_at_clock();
    order_.begin(horizon ? *horizon : last_horizon_ ? *last_horizon_ : real_now_);
    for (const Stream stream : {STDOUT, STDERR}) {
        // A stamp of the future is from before a jump back, and would be held until the clock is there again.
        if (order_.holds(stream) && order_.stamp(stream) > real_now_ + std::chrono::milliseconds(1)) {
            order_.clock_jumped(held_by(output_.socket), held_by(error_output_.socket));
        }
    }
}

ExactOutputs::Step ExactOutputs::drain(std::optional<Stamp> horizon) noexcept {
    draining_ = true;
    received_ = 0;
    begin_round(horizon);
    Step last = Step::done;
    for (unsigned steps = 0; steps < most_steps && received_ < most_bytes && last == Step::done; ++steps) {
        last = step();
        if (!horizon && wants_round_after(last)) {
            begin_round(std::nullopt);
            last = Step::done;
        }
    }
    draining_ = false;
    return last;
}

bool ExactOutputs::wants_round_after(Step last) const noexcept {
    if (last_horizon_) {
        return (last == Step::at_horizon || last == Step::all_empty) && order_.horizon() != *last_horizon_;
    }
    return last == Step::at_horizon;
}

ExactOutputs::Step ExactOutputs::step() noexcept {
    if (const auto wanted = order_.wants()) {
        receive(side(*wanted));
        return Step::done;
    }
    const auto stream = order_.next();
    if (!stream) {
        return order_.holds(STDOUT) || order_.holds(STDERR) ? Step::at_horizon : Step::all_empty;
    }
    Side& from = side(*stream);
    const bool forward_first =
        !to_forward_.empty() && (forwarded_side_ != &from || to_forward_.size() >= enough_to_forward);
    if (held_ || forward_first || (from.paused && !last_horizon_)) {
        return Step::stuck;
    }
    if (look_at_clock()) {
        deliver(from);
    }
    return Step::done;
}

// Room for the stamp alone is given for control data, so that descriptors which a child sends along are dropped by the
// kernel and never become ours.
void ExactOutputs::receive(Side& from) noexcept {
    if (from.at_end) {
        order_.found_empty(from.stream);
        return;
    }
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(timespec))];
    iovec piece{from.message.get(), largest_message_};
    msghdr header{};
    header.msg_iov = &piece;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    const ssize_t size = ::recvmsg(from.socket.get(), &header, MSG_DONTWAIT);
    if (size < 0) {
        if (errno == EAGAIN) {
            order_.found_empty(from.stream);
        } else if (errno != EINTR) {
            owner_.on_output_error(from.stream, errno, false);
            give_up(from);
        }
        return;
    }
    const auto stamp = stamp_of(header);
    if (size == 0 && !stamp) {
        from.at_end = true;  // a write of no bytes has a stamp
        order_.found_empty(from.stream);
    } else if ((header.msg_flags & MSG_TRUNC) != 0) {
        owner_.on_output_error(from.stream, EMSGSIZE, false);  // the child has enlarged its buffer
        give_up(from);
    } else {
        from.size = static_cast<std::size_t>(size);
        received_ += from.size;
        order_.offer(from.stream, stamp.value_or(order_.horizon()), from.size);
    }
}

void ExactOutputs::deliver(Side& from) noexcept {
    const Stamp stamp = order_.stamp(from.stream);
    const Instant time = order_.in_doubt(from.stream) ? now() : offset_.to_instant(stamp);
    const bool ambiguous = order_.take(from.stream);
    if (last_horizon_) {
        last_messages_ -= std::min<std::size_t>(last_messages_, 1);
    }
    if (from.size == 0) {
        return;
    }
    const std::string_view data(from.message.get(), from.size);
    const std::string_view passed_on = owner_.on_output(from.stream, data, {time, ambiguous});
    if (from.forward_to.fd() >= 0 && !passed_on.empty() && !impatient_) {
        to_forward_.append(passed_on);
        forwarded_side_ = &from;
    }
}

// What follows when a drain has come to its end.
void ExactOutputs::go_on(Step last) noexcept {
    if (last_horizon_ && (last == Step::at_horizon || last == Step::all_empty || last_messages_ == 0)) {
        give_up(output_);
        give_up(error_output_);
    }
    if (!to_forward_.empty()) {
        if (!impatient_) {
            forward_next();
            return;
        }
        to_forward_.clear();
        last = Step::done;
    }
    end_if_idle(output_);
    end_if_idle(error_output_);
    if (ended()) {
        engine_.cancel(drain_timer_);
    } else if (last == Step::all_empty) {
        await(output_);
        await(error_output_);
    } else if (last != Step::stuck) {  // who goes on then, or ends, drains
        drain_soon();
    }
}

Ready& ExactOutputs::ready_of(const Side& which) noexcept {
    if (which.stream == STDERR) {
        return error_ready_;
    }
    return output_ready_;
}

void ExactOutputs::await(Side& from) noexcept {
    if (Ready& ready = ready_of(from); !from.at_end && !ready.in_flight()) {
        ready.fd = from.socket.get();
        ready.events = POLLIN;
        engine_.start(ready);
    }
}

void ExactOutputs::on_ready(int /*result*/) noexcept { drain_soon(); }

// A socket that is closed with something in it gives its writer ECONNRESET; one that is empty EPIPE, as a pipe does.
void ExactOutputs::give_up(Side& from) noexcept {
    if (from.ended) {
        return;
    }
    ::shutdown(from.socket.get(), SHUT_RD);
    char first = 0;
    while (held_by(from.socket) > 0 && ::recv(from.socket.get(), &first, 1, MSG_DONTWAIT) >= 0) {
    }
    from.at_end = true;
    order_.drop(from.stream);
    order_.found_empty(from.stream);
}

void ExactOutputs::end_if_idle(Side& from) noexcept {
    if (from.ended || !from.at_end || order_.holds(from.stream)) {
        return;
    }
    if (Ready& ready = ready_of(from); ready.in_flight()) {
        engine_.cancel(ready);  // its completion leads here again
        return;
    }
    from.socket.reset();
    from.forward_to = {};
    from.ended = true;
    owner_.on_output_end(from.stream);
}

void ExactOutputs::forward_next() noexcept {
    forward_.fd = forwarded_side_->forward_to.fd();
    forward_.manner = forwarded_side_->forward_to.manner();
    forward_.data = std::span<const char>(to_forward_).subspan(forwarded_);
    engine_.start(forward_);
}

void ExactOutputs::on_forwarded(int result) noexcept {
    if (result >= 0) {
        forwarded_ += static_cast<std::size_t>(result);
        if (forwarded_ < to_forward_.size() && !impatient_) {
            forward_next();
            return;
        }
    } else if (is_passing(result) && !impatient_) {
        forward_ready_.fd = forwarded_side_->forward_to.fd();
        forward_ready_.events = POLLOUT;
        engine_.start(forward_ready_);
        return;
    } else if (!impatient_ || (result != -ECANCELED && !is_passing(result))) {
        if (!is_deaf(result)) {
            owner_.on_output_error(forwarded_side_->stream, -result, true);
        }
        give_up(*forwarded_side_);  // its socket is closed: the child's writes fail
    }
    stop_forwarding();  // what the sockets hold is still recorded
}

void ExactOutputs::on_forward_ready(int /*result*/) noexcept {
    if (impatient_) {
        stop_forwarding();
    } else {
        forward_next();
    }
}

void ExactOutputs::stop_forwarding() noexcept {
    to_forward_.clear();
    forwarded_ = 0;
    drain_soon();
}

}  // namespace proctor::detail
