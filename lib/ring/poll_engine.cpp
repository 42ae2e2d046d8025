// SPDX-License-Identifier: MIT
#include "ring/poll_engine.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <new>

#include "ring/sigpipe_guard.hpp"

namespace proctor::detail {

namespace {

constexpr std::uint32_t always_told = EPOLLERR | EPOLLHUP;
constexpr std::uint64_t of_the_clock = static_cast<std::uint64_t>(-1);

int descriptor_of(const Operation& operation) noexcept {
    switch (operation.kind()) {
        case Operation::Kind::read: return static_cast<const Read&>(operation).fd;
        case Operation::Kind::write: return static_cast<const Write&>(operation).fd;
        case Operation::Kind::ready: return static_cast<const Ready&>(operation).fd;
    }
    return -1;
}

std::uint32_t wanted_by(const Operation& operation) noexcept {
    switch (operation.kind()) {
        case Operation::Kind::read: return EPOLLIN;
        case Operation::Kind::write: return EPOLLOUT;
        case Operation::Kind::ready: return static_cast<std::uint16_t>(static_cast<const Ready&>(operation).events);
    }
    return 0;
}

bool blocks(int fd) noexcept {
    const int flags = ::fcntl(fd, F_GETFL);
    return flags >= 0 && (flags & O_NONBLOCK) == 0;
}

// What a descriptor answers that cannot be asked not to wait: a terminal, a file of a file system that does not know
// it.
bool is_unknown(int error_number) noexcept { return error_number == EOPNOTSUPP; }

timespec to_timespec(Nanoseconds duration) noexcept {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(duration);
    return {seconds.count(), (duration - seconds).count()};
}

int answer(ssize_t count) noexcept { return count >= 0 ? static_cast<int>(count) : -errno; }

}  // namespace

void PollEngine::Line::push(Operation& operation) noexcept {
    operation.next_waiting = nullptr;
    (last_ != nullptr ? last_->next_waiting : first_) = &operation;
    last_ = &operation;
}

Operation* PollEngine::Line::pop() noexcept {
    Operation* const first = first_;
    if (first != nullptr) {
        first_ = first->next_waiting;
        last_ = first_ != nullptr ? last_ : nullptr;
    }
    return first;
}

bool PollEngine::Line::remove(Operation& operation) noexcept {
    Operation* before = nullptr;
    for (Operation* each = first_; each != nullptr; before = each, each = each->next_waiting) {
        if (each == &operation) {
            (before != nullptr ? before->next_waiting : first_) = each->next_waiting;
            last_ = last_ != each ? last_ : before;
            return true;
        }
    }
    return false;
}

PollEngine::PollEngine(const KernelFeatures& kernel)
    : kernel_(kernel), buffer_(std::make_unique_for_overwrite<char[]>(Read::most)) {}

Expected<std::unique_ptr<PollEngine>> PollEngine::create(const KernelFeatures& kernel) {
    auto engine = std::unique_ptr<PollEngine>(new PollEngine(kernel));
    engine->epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
    if (!engine->epoll_) {
        return failure(Stage::setup, errno, "the epoll set cannot be made",
                       "close some descriptors, or raise the limit of open files (ulimit -n)");
    }
    engine->clock_.reset(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    if (!engine->clock_) {
        return failure(Stage::setup, errno, "the engine's timerfd cannot be made",
                       "close some descriptors, or raise the limit of open files (ulimit -n)");
    }
    // A filter's EPERM would else be taken for that of a file, which epoll does not wait for.
    epoll_event nothing{};
    const int clock = engine->clock_.get();
    if (::epoll_ctl(engine->epoll_.get(), EPOLL_CTL_ADD, clock, &nothing) != 0 ||
        ::epoll_ctl(engine->epoll_.get(), EPOLL_CTL_DEL, clock, nullptr) != 0) {
        return failure(Stage::setup, errno, "epoll cannot watch anything", usual_cure(errno));
    }
    return engine;
}

PollEngine::~PollEngine() { close(); }

void PollEngine::close() noexcept {
    epoll_.reset();
    clock_.reset();
    places_.clear();
    started_ = {};
    current_ = {};
    given_up_ = {};
}

void PollEngine::start(Operation& operation) noexcept {
    operation.begin();
    started_.push(operation);
}

void PollEngine::cancel(Operation& operation) noexcept {
    if (!operation.in_flight() || operation.cancelled() || fork_.is_copy()) {
        return;
    }
    operation.mark_cancelled();
    const auto fd = static_cast<std::size_t>(descriptor_of(operation));
    [[maybe_unused]] const bool found = (fd < places_.size() && places_[fd].waiting.remove(operation)) ||
                                        started_.remove(operation) || current_.remove(operation);
    assert(found);
    given_up_.push(operation);
}

int PollEngine::write_at_once(int fd, std::span<const char> data) noexcept {
    if (!kernel_.write_without_signal || !kernel_.pipe_without_nonblock || fork_.is_copy()) {
        return -EAGAIN;
    }
    const int written = try_write(fd, data);
    return written >= 0 ? written : -EAGAIN;
}

Expected<void> PollEngine::pass(Nanoseconds timeout) {
    // What is done here has happened, so the wait that follows only looks.
    const bool any_given_up = complete_given_up();
    const bool done = try_started() || any_given_up;
    if (fork_.is_copy()) {
        return still_ours();
    }
    const int count = wait_for_events(done || has_work() ? Nanoseconds::zero() : wait_at_most(timeout));
    if (count < 0 && errno != EINTR) {
        return failure(Stage::io, errno, "the epoll set cannot be waited for", usual_cure(errno));
    }
    for (int i = 0; i < count && !fork_.is_copy(); ++i) {
        dispatch(events_[static_cast<std::size_t>(i)]);
    }
    fire_timers();
    return still_ours();
}

// epoll_wait(2) counts in milliseconds, which would make limits that late; epoll_pwait2 came with 5.11, and an old
// seccomp profile may refuse it.
int PollEngine::wait_for_events(Nanoseconds timeout) noexcept {
    const int most = static_cast<int>(events_.size());
    if (timeout == Nanoseconds::zero() || timeout == wait_for_ever) {
        return ::epoll_wait(epoll_.get(), events_.data(), most, timeout == Nanoseconds::zero() ? 0 : -1);
    }
    const timespec time = to_timespec(timeout);
    if (waits_exactly_) {
        const int count = ::epoll_pwait2(epoll_.get(), events_.data(), most, &time, nullptr);
        if (count >= 0 || (errno != ENOSYS && errno != EPERM)) {
            return count;
        }
        waits_exactly_ = false;
    }
    pollfd polled{epoll_.get(), POLLIN, 0};
    const int ready = ::ppoll(&polled, 1, &time, nullptr);
    return ready > 0 ? ::epoll_wait(epoll_.get(), events_.data(), most, 0) : ready;
}

bool PollEngine::complete_given_up() noexcept {
    const bool any = !given_up_.empty();
    Line line = given_up_;
    given_up_ = {};
    for (Operation* operation = line.pop(); operation != nullptr && !fork_.is_copy(); operation = line.pop()) {
        operation->finish(-ECANCELED);
    }
    return any;
}

// Those that are started meanwhile have their turn in the next pass.
bool PollEngine::try_started() noexcept {
    bool any = false;
    current_ = started_;
    started_ = {};
    for (Operation* operation = current_.pop(); operation != nullptr && !fork_.is_copy(); operation = current_.pop()) {
        int result = try_without_waiting(*operation);
        if (result == -EAGAIN || result == unasked) {
            result = wait_or_perform(*operation);
        }
        if (result != not_yet) {
            any = true;
            operation->finish(result);
        }
    }
    return any;
}

int PollEngine::try_without_waiting(Operation& operation) noexcept {
    switch (operation.kind()) {
        case Operation::Kind::read: {
            const int result = kernel_.pipe_without_nonblock ? try_read(static_cast<Read&>(operation)) : unasked;
            return is_unknown(-result) ? unasked : result;
        }
        case Operation::Kind::write: {
            auto& write = static_cast<Write&>(operation);
            if (write.offset != Write::at_position) {
                const int result =
                    answer(::pwrite(write.fd, write.data.data(), write.data.size(), static_cast<off_t>(write.offset)));
                return result == -EAGAIN ? -EIO : result;  // waiting would write at the position of the file instead
            }
            const int result = kernel_.pipe_without_nonblock ? try_write(write.fd, write.data) : unasked;
            return is_unknown(-result) ? unasked : result;
        }
        case Operation::Kind::ready: break;
    }
    return unasked;
}

int PollEngine::try_read(Read& read) noexcept {
    const iovec piece{buffer_.get(), Read::most};
    return note_data(read, answer(::preadv2(read.fd, &piece, 1, -1, RWF_NOWAIT)));
}

int PollEngine::read_out(Read& read) noexcept {
    return note_data(read, answer(::read(read.fd, buffer_.get(), Read::most)));
}

int PollEngine::note_data(Read& read, int result) noexcept {
    if (result >= 0) {
        read.data = {buffer_.get(), static_cast<std::size_t>(result)};
    }
    return result;
}

int PollEngine::try_write(int fd, std::span<const char> data) noexcept {
    SigpipeGuard guard(!kernel_.write_without_signal);
    const iovec piece{const_cast<char*>(data.data()), data.size()};
    const int flags = RWF_NOWAIT | (kernel_.write_without_signal ? rwf_nosignal : 0);
    const int result = answer(::pwritev2(fd, &piece, 1, -1, flags));
    guard.consume();
    return result;
}

int PollEngine::write_out(const Write& write, std::size_t most) noexcept {
    SigpipeGuard guard(true);
    const int result = answer(::write(write.fd, write.data.data(), std::min(write.data.size(), most)));
    guard.consume();
    return result;
}

// After epoll has told `events` of its descriptor.
int PollEngine::perform(Operation& operation, std::uint32_t events) noexcept {
    int result = try_without_waiting(operation);
    if (result != unasked) {
        return result == -EAGAIN ? not_yet : result;  // somebody else was quicker
    }
    switch (operation.kind()) {
        case Operation::Kind::read: result = read_out(static_cast<Read&>(operation)); break;
        case Operation::Kind::write: {
            const auto& write = static_cast<Write&>(operation);
            result = write_out(write, blocks(write.fd) ? PIPE_BUF : SIZE_MAX);
            break;
        }
        case Operation::Kind::ready: return static_cast<int>(events & (wanted_by(operation) | always_told));
    }
    return result == -EAGAIN ? not_yet : result;
}

// What no epoll set takes is always ready, and its system call may wait for a disk and nothing else.
int PollEngine::perform_on_file(Operation& operation) noexcept {
    switch (operation.kind()) {
        case Operation::Kind::read: return read_out(static_cast<Read&>(operation));
        case Operation::Kind::write: return write_out(static_cast<Write&>(operation), SIZE_MAX);
        case Operation::Kind::ready: break;
    }
    return static_cast<int>(wanted_by(operation) & (EPOLLIN | EPOLLOUT));
}

int PollEngine::wait_or_perform(Operation& operation) noexcept {
    const int error_number = wait_in_set(operation);
    if (error_number == 0) {
        return not_yet;
    }
    return error_number == EPERM ? perform_on_file(operation) : -error_number;
}

// 0, or the errno value for which it does not wait there.
int PollEngine::wait_in_set(Operation& operation) noexcept {
    const int fd = descriptor_of(operation);
    if (fd < 0) {
        return EBADF;
    }
    const auto index = static_cast<std::size_t>(fd);
    try {
        places_.resize(std::max(places_.size(), index + 1));
    } catch (const std::bad_alloc&) {
        return ENOMEM;
    }
    places_[index].waiting.push(operation);
    const int error_number = arm(fd);
    if (error_number != 0) {
        places_[index].waiting.remove(operation);
    }
    return error_number;
}

// Has epoll tell, once, what those who wait at this number want. 0, or the errno value.
int PollEngine::arm(int fd) noexcept {
    Place& place = places_[static_cast<std::size_t>(fd)];
    std::uint32_t events = EPOLLONESHOT;
    for (const Operation* each = place.waiting.first(); each != nullptr; each = each->next_waiting) {
        events |= wanted_by(*each);
    }
    if (place.registered) {
        if (control(EPOLL_CTL_MOD, fd, events) == 0) {
            return 0;
        }
        if (errno != ENOENT) {
            return errno;
        }
    }
    // A file that was not here before: what comes late for another one of this number is no longer believed.
    ++place.registration;
    place.registered = control(EPOLL_CTL_ADD, fd, events) == 0;
    return place.registered ? 0 : errno;
}

int PollEngine::control(int action, int fd, std::uint32_t events) noexcept {
    epoll_event event{};
    event.events = events;
    const std::uint64_t registration = places_[static_cast<std::size_t>(fd)].registration;
    event.data.u64 = registration << 32 | static_cast<std::uint32_t>(fd);
    return ::epoll_ctl(epoll_.get(), action, fd, &event);
}

void PollEngine::dispatch(const epoll_event& event) noexcept {
    if (event.data.u64 == of_the_clock) {
        return silence_clock();  // it only wakes: timers are fired by the pass
    }
    const int fd = static_cast<int>(event.data.u64 & 0xffffffff);
    const auto registration = static_cast<std::uint32_t>(event.data.u64 >> 32);
    if (places_[static_cast<std::size_t>(fd)].registration == registration) {
        serve(fd, event.events);
    }
}

void PollEngine::serve(int fd, std::uint32_t events) noexcept {
    const auto index = static_cast<std::size_t>(fd);
    current_ = places_[index].waiting;
    places_[index].waiting = {};
    for (Operation* operation = current_.pop(); operation != nullptr && !fork_.is_copy(); operation = current_.pop()) {
        const bool concerned = (events & (wanted_by(*operation) | always_told)) != 0;
        if (const int result = concerned ? perform(*operation, events) : not_yet; result != not_yet) {
            operation->finish(result);
        } else {
            places_[index].waiting.push(*operation);
        }
    }
    if (places_[index].waiting.empty() || fork_.is_copy()) {
        return;
    }
    if (const int error_number = arm(fd); error_number != 0) {
        current_ = places_[index].waiting;
        places_[index].waiting = {};
        while (Operation* const operation = current_.pop()) {
            operation->finish(-error_number);
        }
    }
}

Expected<void> PollEngine::flush() {
    if (fork_.is_copy()) {
        return still_ours();
    }
    if (wakes_by_fd_) {
        // Whatever was started has its descriptor in the set then, or keeps the clock at "now".
        Line line = started_;
        started_ = {};
        while (Operation* const operation = line.pop()) {
            if (wait_in_set(*operation) != 0) {
                started_.push(*operation);
            }
        }
        aim_clock();
    }
    return {};
}

int PollEngine::fd() noexcept {
    if (!wakes_by_fd_) {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.u64 = of_the_clock;
        wakes_by_fd_ = ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, clock_.get(), &event) == 0;
    }
    return wakes_by_fd_ ? epoll_.get() : -1;
}

// Or every pass would end at once that is not followed by a new aim.
void PollEngine::silence_clock() noexcept {
    const itimerspec never{};
    ::timerfd_settime(clock_.get(), TFD_TIMER_ABSTIME, &never, nullptr);
    aim_.reset();
}

// Setting a timerfd also takes back that it has expired.
void PollEngine::aim_clock() noexcept {
    constexpr Instant at_once{Nanoseconds(1)};
    const std::optional<Instant> aim = has_work() ? at_once : timers_.earliest();
    if (aim == aim_ && (!aim || *aim > now())) {
        return;
    }
    aim_ = aim;
    itimerspec time{};
    time.it_value = to_timespec(aim ? std::max(aim->since_boot, at_once.since_boot) : Nanoseconds::zero());
    ::timerfd_settime(clock_.get(), TFD_TIMER_ABSTIME, &time, nullptr);
}

}  // namespace proctor::detail
