// SPDX-License-Identifier: MIT
#include "shaken_engine.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "ring/sigpipe_guard.hpp"

namespace support {

using proctor::detail::Expected;
using proctor::detail::Nanoseconds;
using proctor::detail::Operation;
using proctor::detail::Read;
using proctor::detail::Ready;
using proctor::detail::SigpipeGuard;
using proctor::detail::Write;

namespace {

pollfd as_polled(const Operation& operation) {
    switch (operation.kind()) {
        case Operation::Kind::read: return {static_cast<const Read&>(operation).fd, POLLIN, 0};
        case Operation::Kind::write: return {static_cast<const Write&>(operation).fd, POLLOUT, 0};
        case Operation::Kind::ready: {
            const auto& ready = static_cast<const Ready&>(operation);
            return {ready.fd, ready.events, 0};
        }
    }
    return {};
}

int answer(ssize_t count) { return count >= 0 ? static_cast<int>(count) : -errno; }

}  // namespace

void ShakenEngine::start(Operation& operation) noexcept {
    operation.begin();
    in_flight_.push_back(&operation);
}

void ShakenEngine::cancel(Operation& operation) noexcept {
    if (operation.in_flight()) {
        operation.mark_cancelled();
    }
}

int ShakenEngine::write_at_once(int fd, std::span<const char> data) noexcept {
    if (one_in(3)) {
        return note("at once: not now", -EAGAIN);
    }
    SigpipeGuard guard(true);
    const int result = answer(::write(fd, data.data(), up_to(data.size())));
    guard.consume();
    return result >= 0 ? result : -EAGAIN;
}

Expected<void> ShakenEngine::pass(Nanoseconds timeout) {
    std::vector<Operation*> ready = find_ready(timeout);
    std::shuffle(ready.begin(), ready.end(), random_);
    if (ready.size() > 1 && !one_in(4)) {
        const std::size_t some = up_to(ready.size());
        deeds_["left for later"] += ready.size() - some;
        ready.resize(some);
    }
    for (Operation* const operation : ready) {
        complete(*operation);
    }
    if (one_in(4)) {
        note("timers late", 0);
    } else {
        fire_timers();
    }
    return {};
}

std::vector<Operation*> ShakenEngine::find_ready(Nanoseconds timeout) {
    std::vector<pollfd> polled;
    bool any_cancelled = false;
    for (const Operation* const each : in_flight_) {
        polled.push_back(as_polled(*each));
        any_cancelled = any_cancelled || each->cancelled();
    }
    const Nanoseconds wait = any_cancelled ? Nanoseconds::zero() : wait_at_most(timeout);
    const timespec time{wait.count() / 1'000'000'000, wait.count() % 1'000'000'000};
    ::ppoll(polled.data(), polled.size(), wait == wait_for_ever ? nullptr : &time, nullptr);
    std::vector<Operation*> ready;
    for (std::size_t i = 0; i < polled.size(); ++i) {
        if (polled[i].revents != 0 || in_flight_[i]->cancelled()) {
            ready.push_back(in_flight_[i]);
        }
    }
    return ready;
}

void ShakenEngine::complete(Operation& operation) {
    constexpr int not_yet = -0x10000;
    const bool cancelled = operation.cancelled();
    int result = cancelled && !one_in(3) ? -ECANCELED : result_of(operation);
    const bool is_ready = operation.kind() == Operation::Kind::ready;
    if (result == -EAGAIN && (is_ready || !one_in(8))) {
        result = cancelled ? -ECANCELED : not_yet;  // somebody else was quicker
    }
    if (result == -ECANCELED) {
        note("cancelled", 0);
    }
    if (result != not_yet) {
        std::erase(in_flight_, &operation);
        operation.finish(result);
    }
}

int ShakenEngine::result_of(Operation& operation) {
    if (operation.kind() != Operation::Kind::ready) {
        if (one_in(12)) {
            return note("EINTR", -EINTR);
        }
        if (one_in(12)) {
            return note("EAGAIN", -EAGAIN);
        }
    }
    return perform(operation);
}

int ShakenEngine::perform(Operation& operation) {
    switch (operation.kind()) {
        case Operation::Kind::read: {
            auto& read = static_cast<Read&>(operation);
            // A timerfd is read in one piece.
            const std::size_t most = one_in(2) ? std::max<std::size_t>(8, up_to(200)) : buffer_.size();
            const int result = answer(::read(read.fd, buffer_.data(), most));
            if (result >= 0) {
                read.data = {buffer_.data(), static_cast<std::size_t>(result)};
            }
            return note(most == buffer_.size() ? "read" : "short read", result);
        }
        case Operation::Kind::write: {
            const auto& write = static_cast<Write&>(operation);
            const std::size_t most = one_in(2) ? up_to(write.data.size()) : write.data.size();
            SigpipeGuard guard(true);
            const int result = answer(write.offset == Write::at_position ? ::write(write.fd, write.data.data(), most)
                                                                         : ::pwrite(write.fd, write.data.data(), most,
                                                                                    static_cast<off_t>(write.offset)));
            guard.consume();
            return note(most == write.data.size() ? "write" : "short write", result);
        }
        case Operation::Kind::ready: break;
    }
    pollfd polled = as_polled(operation);
    ::poll(&polled, 1, 0);
    return polled.revents != 0 ? note("ready", polled.revents) : -EAGAIN;
}

}  // namespace support
