// SPDX-License-Identifier: MIT
#include "capture_file.hpp"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <utility>

#include "output_descriptor.hpp"

namespace proctor::cli {

namespace {

constexpr std::size_t piece = std::size_t{64} * 1024;
constexpr std::size_t most_pending = std::size_t{1024} * 1024;

bool writable(int fd) {
    pollfd entry{fd, POLLOUT, 0};
    return ::poll(&entry, 1, 0) > 0;
}

// A set with the descriptor in it, which is readable when that is writable; -1 for a descriptor that never waits.
Result<int> make_epoll(int fd) {
    const int set = ::epoll_create1(EPOLL_CLOEXEC);
    epoll_event nothing_yet{.events = EPOLLONESHOT, .data = {}};
    if (set >= 0 && ::epoll_ctl(set, EPOLL_CTL_ADD, fd, &nothing_yet) == 0) {
        return set;
    }
    const int error_number = errno;
    if (set >= 0) {
        ::close(set);
        if (error_number == EPERM) {
            return -1;
        }
    }
    return Error{Stage::setup, error_number, "the room for the capture cannot be watched",
                 "raise the limit of open files (ulimit -n), or free memory"};
}

}  // namespace

Result<CaptureFile> CaptureFile::open(const std::string& path, const JSONCaptureOptions& options) {
    Result<JSONCaptureEncoder> encoder = JSONCaptureEncoder::create(options);
    if (!encoder) {
        return encoder.error();
    }
    if (path == "-") {
        return CaptureFile("standard output", STDOUT_FILENO, false, std::move(*encoder));
    }
    const Result<int> fd = open_for_writing("--capture", path);
    if (!fd) {
        return fd.error();
    }
    return CaptureFile(path, *fd, true, std::move(*encoder));
}

CaptureFile::CaptureFile(std::string name, int fd, bool owned, JSONCaptureEncoder encoder)
    : name_(std::move(name)), fd_(fd), owned_(owned), encoder_(std::move(encoder)) {}

CaptureFile::CaptureFile(CaptureFile&& other) noexcept
    : name_(std::move(other.name_)),
      fd_(std::exchange(other.fd_, -1)),
      owned_(other.owned_),
      epoll_(std::exchange(other.epoll_, -1)),
      encoder_(std::move(other.encoder_)) {}

CaptureFile::~CaptureFile() {
    watch_ = {};
    flush_watch_ = {};
    if (flush_timer_ >= 0) {
        ::close(flush_timer_);
    }
    if (owned_ && fd_ >= 0) {
        ::close(fd_);
    }
    if (epoll_ >= 0) {
        ::close(epoll_);
    }
}

Result<void> CaptureFile::attach(Reactor& reactor, const JobHandle& job) {
    job_ = job;
    flush_timer_ = ::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (flush_timer_ < 0) {
        return Error{Stage::setup, errno, "no timer for writing the capture",
                     "raise the limit of open files (ulimit -n)"};
    }
    Result<Watch> flush_watch = reactor.watch(flush_timer_, [this] { flush(); });
    if (!flush_watch) {
        return flush_watch.error();
    }
    flush_watch_ = std::move(*flush_watch);
    const Result<int> set = make_epoll(fd_);
    if (!set) {
        return set.error();
    }
    epoll_ = *set;
    if (epoll_ < 0) {
        return {};
    }
    Result<Watch> watch = reactor.watch(epoll_, [this] { go_on(); });
    if (!watch) {
        return watch.error();
    }
    watch_ = std::move(*watch);
    return {};
}

void CaptureFile::add(const CaptureRecord& record) {
    if (error_) {
        return;
    }
    encoder_.encode(record, text_);
    if (paused_) {
        return;
    }
    if (pending().size() < piece) {
        flush_later();
    } else {
        write_out();
    }
}

void CaptureFile::flush_later() {
    constexpr long delay_ns = 100'000'000;
    if (!std::exchange(flush_comes_, true)) {
        itimerspec once{};
        once.it_value.tv_nsec = delay_ns;
        ::timerfd_settime(flush_timer_, 0, &once, nullptr);
    }
}

void CaptureFile::flush() {
    std::uint64_t expirations = 0;
    (void)!::read(flush_timer_, &expirations, sizeof expirations);
    flush_comes_ = false;
    if (!paused_ && !error_) {
        write_out();
    }
}

void CaptureFile::write_out() {
    if (epoll_ < 0) {
        write_file();
    } else {
        write_without_waiting();
        if (pending().size() >= most_pending) {
            pause();
        }
    }
}

void CaptureFile::write_file() {
    while (!pending().empty() && !error_) {
        const ssize_t count = ::write(fd_, pending().data(), pending().size());
        if (count >= 0) {
            written_ += static_cast<std::size_t>(count);
        } else if (errno != EINTR) {
            fail(errno);
        }
    }
    text_.clear();
    written_ = 0;
}

void CaptureFile::write_without_waiting() {
    while (!pending().empty() && !error_ && writable(fd_)) {
        std::string_view rest = pending();
        if (const int error_number = write_some(fd_, rest); error_number != 0) {
            fail(error_number);
        }
        written_ = text_.size() - rest.size();
    }
    // Not at each piece, or most of the time would go into moving the rest.
    if (written_ == text_.size() || written_ >= most_pending) {
        text_.erase(0, written_);
        written_ = 0;
    }
}

void CaptureFile::pause() {
    paused_ = true;
    job_.pause_output(STDOUT);
    job_.pause_output(STDERR);
    job_.pause_input();
    epoll_event room{.events = EPOLLOUT | EPOLLONESHOT, .data = {}};
    ::epoll_ctl(epoll_, EPOLL_CTL_MOD, fd_, &room);
}

void CaptureFile::go_on() {
    epoll_event event{};
    ::epoll_wait(epoll_, &event, 1, 0);  // takes the event out of the set
    if (!paused_) {
        return;
    }
    write_without_waiting();
    if (pending().size() >= most_pending / 2 && !error_) {
        return pause();
    }
    paused_ = false;
    job_.resume_output(STDOUT);
    job_.resume_output(STDERR);
    job_.resume_input();
}

void CaptureFile::fail(int error_number) {
    error_ = not_written(name_, error_number);
    job_.cancel();
}

Result<void> CaptureFile::finish(int stop_descriptor) {
    watch_ = {};
    if (!error_) {
        encoder_.finish(text_);
        if (epoll_ < 0) {
            write_file();
        } else if (const Result<void> written = write_all(fd_, name_, pending(), stop_descriptor); !written) {
            error_ = written.error();
        }
    }
    // Some file systems tell only now that the disk is full.
    if (owned_ && ::close(std::exchange(fd_, -1)) != 0 && errno != EINTR && !error_) {
        error_ = not_written(name_, errno);
    }
    return error_ ? Result<void>(*error_) : Result<void>();
}

}  // namespace proctor::cli
