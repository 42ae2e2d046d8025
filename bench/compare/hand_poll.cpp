// SPDX-License-Identifier: MIT
//
// posix_spawn, ppoll, and wait4 when both outputs of a child are at their end.
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <utility>

#include "hand_loop.hpp"
#include "vfork_child.hpp"

namespace compare {

namespace {

using Kind = HandSource::Kind;

void require_success(int error_number, const char* what) {
    if (error_number != 0) {
        errno = error_number;
        throw_errno(what);
    }
}

class FileActions {
public:
    FileActions() { require_success(::posix_spawn_file_actions_init(&actions_), "posix_spawn_file_actions_init"); }
    FileActions(const FileActions&) = delete;
    FileActions& operator=(const FileActions&) = delete;
    ~FileActions() { ::posix_spawn_file_actions_destroy(&actions_); }

    void duplicate(int from, int to) {
        require_success(::posix_spawn_file_actions_adddup2(&actions_, from, to), "posix_spawn_file_actions_adddup2");
    }
    [[nodiscard]] const posix_spawn_file_actions_t* get() const { return &actions_; }

private:
    posix_spawn_file_actions_t actions_{};
};

class PollLoop final : public HandLoop {
public:
    PollLoop() : null_(::open("/dev/null", O_RDONLY | O_CLOEXEC)) {
        if (null_ < 0) {
            throw_errno("/dev/null");
        }
    }

    ~PollLoop() override { ::close(null_); }

    void start(HandChild& child, const HandStart& how) override {
        ChildPipes pipes(how, null_);
        FileActions actions;
        for (std::size_t to = 0; to < pipes.count; ++to) {
            actions.duplicate(pipes.childs[to], static_cast<int>(to));
        }
        const std::vector<char*> arguments = pointers_to(*how.argv);
        require_success(::posix_spawn(&child.pid, arguments[0], actions.get(), nullptr, arguments.data(), ::environ),
                        "posix_spawn");
        child.source(Kind::input).fd = pipes.own[STDIN_FILENO];
        add(child.source(Kind::output), pipes.own[STDOUT_FILENO], POLLIN);
        add(child.source(Kind::error_output), pipes.own[STDERR_FILENO], POLLIN);
        pipes.keep_own();
    }

    void watch_input(HandChild& child, bool watched) override {
        HandSource& source = child.source(Kind::input);
        if (watched) {
            add(source, source.fd, POLLOUT);
        } else {
            forget(source);
        }
    }

    void close_input(HandChild& child) override {
        HandSource& source = child.source(Kind::input);
        if (source.fd < 0) {
            return;
        }
        if (source.place < sources_.size() && sources_[source.place] == &source) {
            forget(source);
        }
        ::close(source.fd);
        source.fd = -1;
    }

    void kill(HandChild& child) override {
        if (child.pid > 0) {
            ::kill(child.pid, SIGKILL);
        }
    }

    void turn(std::optional<SteadyTime> until) override {
        const std::optional<timespec> left = time_left(until);
        int ready = ::ppoll(polled_.data(), polled_.size(), left ? &*left : nullptr, nullptr);
        if (ready < 0) {
            if (errno != EINTR) {
                throw_errno("ppoll");
            }
            return;
        }
        for (std::size_t place = 0; place < polled_.size() && ready > 0;) {
            HandSource* const source = sources_[place];
            const short events = std::exchange(polled_[place].revents, short{0});
            if (events != 0) {
                --ready;
                handle(*source, events);
            }
            // Where it was forgotten another one has taken its place.
            if (place < sources_.size() && sources_[place] == source) {
                ++place;
            }
        }
    }

private:
    void add(HandSource& source, int fd, short events) {
        source.fd = fd;
        source.place = polled_.size();
        polled_.push_back({fd, events, 0});
        sources_.push_back(&source);
    }

    // The last one takes its place.
    void forget(HandSource& source) {
        polled_[source.place] = polled_.back();
        sources_[source.place] = sources_.back();
        sources_[source.place]->place = source.place;
        polled_.pop_back();
        sources_.pop_back();
    }

    void handle(HandSource& source, short events) {
        HandChild& child = *source.child;
        if (source.kind == Kind::input) {
            child.on_input_room();
            return;
        }
        if (!read_output(child, static_cast<std::size_t>(source.kind), source.fd, (events & POLLHUP) != 0)) {
            return;
        }
        forget(source);
        ::close(source.fd);
        source.fd = -1;
        if (child.source(Kind::output).fd < 0 && child.source(Kind::error_output).fd < 0) {
            finish(child);
        }
    }

    // A child that has closed its outputs is about to end: waiting for it is simpler than a signal handler.
    void finish(HandChild& child) {
        close_input(child);
        int status = 0;
        rusage usage{};
        while (::wait4(child.pid, &status, 0, &usage) < 0) {
            if (errno != EINTR) {
                throw_errno("wait4");
            }
        }
        child.pid = -1;
        child.status = status;
        child.on_end(status);
    }

    int null_;
    std::vector<pollfd> polled_{};
    std::vector<HandSource*> sources_{};  // of each its owner
};

}  // namespace

std::unique_ptr<HandLoop> make_poll_loop() { return std::make_unique<PollLoop>(); }

}  // namespace compare
