// SPDX-License-Identifier: MIT
#include "reactor/input_feed.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstdio>
#include <utility>

#include <proctor/reactor.hpp>

namespace proctor::detail {

namespace {

constexpr auto high_water = static_cast<std::size_t>(JobHandle::input_high_water);

// A line is held back until its end is there, but not beyond this.
constexpr std::size_t longest_held_line = std::size_t{64} * 1024;

// Another reading end of a pipe of which we hold the writing end; none without /proc.
UniqueFd open_reader(int writer) noexcept {
    char path[32];
    std::snprintf(path, sizeof path, "/proc/self/fd/%d", writer);
    return UniqueFd(::open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC));
}

bool has_room(int pipe) noexcept {
    pollfd entry{pipe, POLLOUT, 0};
    return ::poll(&entry, 1, 0) == 1;
}

}  // namespace

void InputFeed::begin(UniqueFd pipe, Source source) noexcept {
    assert(idle());
    pipe_ = std::move(pipe);
    source_ = source;
    stopped_ = false;
}

void InputFeed::open_text(UniqueFd pipe, std::string_view text) noexcept {
    begin(std::move(pipe), Source::memory);
    rest_ = text;
    exhausted_ = true;
    go_on();
}

void InputFeed::open_descriptor(UniqueFd pipe, HostDescriptor source, bool awaits_writer) noexcept {
    begin(std::move(pipe), Source::descriptor);
    read_from_ = std::move(source);
    struct stat status {};
    if (awaits_writer && ::fstat(read_from_.fd(), &status) == 0 && S_ISFIFO(status.st_mode)) {
        wait_for(read_from_.fd(), POLLIN);  // until somebody has opened it for writing, a read would say end of file
    } else {
        go_on();
    }
}

void InputFeed::open_pieces(UniqueFd pipe) noexcept {
    begin(std::move(pipe), Source::pieces);
    go_on();
}

void InputFeed::open_live(UniqueFd pipe) noexcept {
    begin(std::move(pipe), Source::live);
    watch_closing();
    go_on();
}

void InputFeed::lend(UniqueFd pipe) noexcept {
    begin(std::move(pipe), Source::memory);
    lent_ = true;
    watch_closing();
}

void InputFeed::end_loan() noexcept {
    if (lent_) {
        lent_ = false;
        end();
    }
}

bool InputFeed::writing_or_waiting() const noexcept {
    return write_.in_flight() || ready_.in_flight() || due_timer_.armed() || waits_;
}

bool InputFeed::push(std::string bytes) noexcept {
    if (pushed_.empty()) {
        pushed_ = std::move(bytes);
    } else {
        pushed_.append(bytes);
    }
    if (!stopped_ && !calling_ && !writing_or_waiting()) {
        go_on();
    }
    wants_room_ = pending() >= high_water;
    return !wants_room_;
}

void InputFeed::finish() noexcept {
    const bool waits = takes_more();
    exhausted_ = true;
    if (waits && !stopped_ && !calling_ && !writing_or_waiting()) {
        go_on();
    }
}

// With nothing in flight: what comes next.
void InputFeed::go_on() noexcept {
    if (stopped_) {
        end();
    } else if (!find_line()) {
        fetch();
    } else if (is_due()) {
        write_line();
    }
}

bool InputFeed::find_line() noexcept {
    if (!pace_) {
        line_ = rest_.size();
    } else if (const std::size_t newline = rest_.find('\n', searched_); newline != std::string_view::npos) {
        line_ = newline + 1;
    } else {
        searched_ = rest_.size();
        const bool whole = (exhausted_ && pushed_.empty()) || rest_.size() >= longest_held_line;
        line_ = whole ? rest_.size() : 0;
    }
    return line_ > 0;
}

// Else the timer is set.
bool InputFeed::is_due() noexcept {
    if (!pace_ || !at_line_start_) {
        return true;
    }
    const Instant time = now();
    if (at_first_line_) {
        at_first_line_ = false;
        planned_ = time;
        return true;
    }
    const Instant due = pace_->pacing == Pacing::quiet ? last_byte_ + pace_->delay : planned_;
    if (due <= time) {
        planned_ = time;  // the source was late: what follows is planned from here
        return true;
    }
    engine_.start(due_timer_, due);
    return false;
}

void InputFeed::on_due(int /*result*/) noexcept {
    if (pace_->pacing == Pacing::quiet && last_byte_ + pace_->delay > now()) {
        engine_.start(due_timer_, last_byte_ + pace_->delay);
    } else {
        write_line();
    }
}

// The pipe has accepted a line.
void InputFeed::plan_next() noexcept {
    const Instant accepted = now();
    const bool late = was_full_ || accepted - planned_ >= pace_->delay;
    planned_ = (late ? accepted : planned_) + pace_->delay;
    last_byte_ = accepted;
    was_full_ = false;
}

void InputFeed::fetch() noexcept {
    if (!pushed_.empty()) {
        refill(pushed_);
        pushed_.clear();
        go_on();
    } else if (exhausted_) {
        end();
    } else if (broken_) {
        break_off();
    } else if (source_ == Source::descriptor) {
        read_next();
    } else if (source_ == Source::pieces) {
        asks_ = true;
        wait_for(pipe_.get(), POLLOUT);
    }
}

void InputFeed::ask() noexcept {
    calling_ = true;
    std::optional<std::string> more = owner_.next_piece();
    calling_ = false;
    if (more) {
        refill(*more);
    } else {
        exhausted_ = true;
    }
    go_on();
}

void InputFeed::refill(std::string& more) noexcept {
    if (rest_.empty()) {
        piece_.swap(more);
    } else {
        make_room_in_piece();
        piece_.append(more);
    }
    rest_ = piece_;
}

// Before something is put behind the beginning of a line.
void InputFeed::make_room_in_piece() noexcept { piece_.erase(0, piece_.size() - rest_.size()); }

void InputFeed::wait_for(int fd, short events) noexcept {
    ready_.fd = fd;
    ready_.events = events;
    engine_.start(ready_);
}

// A poll for no event still completes at the closing of the other end, and costs nothing until then.
void InputFeed::watch_closing() noexcept {
    closing_watch_.fd = pipe_.get();
    closing_watch_.events = 0;
    engine_.start(closing_watch_);
}

void InputFeed::stop() noexcept {
    if (lent_) {
        return;
    }
    if (stopped_) {
        close_writer();  // one that was held open, or nothing
        return;
    }
    stopped_ = true;
    engine_.cancel(due_timer_);
    engine_.cancel(read_);
    engine_.cancel(write_);
    engine_.cancel(ready_);
    waits_ = false;
    if (!read_.in_flight() && !write_.in_flight() && !ready_.in_flight() && !calling_) {
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
    read_.fd = read_from_.fd();
    read_.manner = read_from_.manner();
    engine_.start(read_);
}

void InputFeed::on_read(int result) noexcept {
    if (stopped_) {
        end();
    } else if (result == -EAGAIN || result == -EINTR) {
        wait_for(read_from_.fd(), POLLIN);
    } else if (result < 0) {
        owner_.on_input_error(-result, true);
        end();
    } else {
        if (result > 0) {
            make_room_in_piece();
            piece_.append(read_.data.data(), read_.data.size());
            rest_ = piece_;
        }
        exhausted_ = result == 0;
        go_on();
    }
}

// Whether the pipe was full is asked only where it matters: the plan of a pace changes by it.
void InputFeed::write_line() noexcept {
    if (pace_ && !has_room(pipe_.get())) {
        was_full_ = true;
        wait_for(pipe_.get(), POLLOUT);
    } else {
        write_next();
    }
}

void InputFeed::write_next() noexcept {
    if (held_) {
        waits_ = true;
        return;
    }
    issued_ = now();
    write_.fd = pipe_.get();
    write_.data = rest_.substr(0, line_);
    engine_.start(write_);
}

void InputFeed::on_written(int result) noexcept {
    if (result > 0) {
        take_accepted(static_cast<std::size_t>(result));
    }
    if (stopped_) {
        end();
    } else if (result == -EAGAIN || result == -EINTR) {
        wait_for(pipe_.get(), POLLOUT);
    } else if (result == -EPIPE) {
        break_off();
    } else if (result < 0) {
        owner_.on_input_error(-result, false);
        end();
    } else if (line_ > 0) {
        write_next();
    } else {
        go_on();
    }
}

void InputFeed::take_accepted(std::size_t count) noexcept {
    const std::string_view data = rest_.substr(0, count);
    rest_.remove_prefix(count);
    line_ -= count;
    searched_ = 0;
    if (pace_) {
        at_line_start_ = data.back() == '\n';
        was_full_ = was_full_ || line_ > 0;
        if (line_ == 0) {
            plan_next();
        }
    }
    calling_ = true;
    owner_.on_input(data, issued_);
    if (wants_room_ && pending() < high_water) {
        wants_room_ = false;
        owner_.on_input_room();
    }
    calling_ = false;
}

void InputFeed::on_ready(int result) noexcept {
    if (stopped_) {
        end();
    } else if (ready_.events == POLLIN) {
        read_next();
    } else if (!std::exchange(asks_, false)) {
        write_next();
    } else if (result >= 0 && (result & POLLERR) != 0) {
        break_off();
    } else {
        ask();
    }
}

void InputFeed::on_closed(int result) noexcept {
    if (stopped_) {
        owner_.on_input_end();  // it was cancelled, and was the last in flight
    } else if (result >= 0) {
        broken_ = true;
        if (lent_) {
            owner_.on_input_closed();
        } else if (!write_.in_flight() && !ready_.in_flight()) {
            break_off();
        }
    }
}

void InputFeed::break_off() noexcept {
    broken_ = true;
    calling_ = true;
    owner_.on_input_closed();
    calling_ = false;
    end();
}

bool InputFeed::idle() const noexcept {
    return !lent_ && !read_.in_flight() && !write_.in_flight() && !ready_.in_flight() && !closing_watch_.in_flight();
}

void InputFeed::close_writer() noexcept {
    if (pipe_) {
        reader_ = open_reader(pipe_.get());
        pipe_.reset();
    }
}

void InputFeed::end() noexcept {
    stopped_ = true;
    exhausted_ = true;
    waits_ = false;
    engine_.cancel(due_timer_);
    // Its request holds the pipe open, so the child sees the end when it is gone: at the next entry into the kernel.
    engine_.cancel(closing_watch_);
    read_from_ = {};
    rest_ = {};
    pushed_.clear();
    close_writer();
    owner_.on_input_end();
}

void InputFeed::reset() noexcept {
    assert(idle() && !due_timer_.armed());
    stopped_ = true;
    held_ = false;
    asks_ = false;
    exhausted_ = false;
    broken_ = false;
    wants_room_ = false;
    pushed_.clear();
    searched_ = 0;
    at_first_line_ = true;
    at_line_start_ = true;
    was_full_ = false;
    last_byte_ = {};
}

void InputFeed::forsake() noexcept {
    read_.forsake();
    write_.forsake();
    ready_.forsake();
    closing_watch_.forsake();
    engine_.cancel(due_timer_);
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
