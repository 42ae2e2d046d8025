// SPDX-License-Identifier: MIT
//
// vfork, one epoll set, a pidfd for each child.
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include "hand_loop.hpp"
#include "vfork_child.hpp"

namespace compare {

namespace {

using Kind = HandSource::Kind;

class EpollLoop final : public HandLoop {
public:
    EpollLoop() : null_(::open("/dev/null", O_RDONLY | O_CLOEXEC)), set_(::epoll_create1(EPOLL_CLOEXEC)) {
        if (null_ < 0 || set_ < 0) {
            throw_errno("epoll_create1");
        }
    }

    ~EpollLoop() override {
        ::close(set_);
        ::close(null_);
    }

    void start(HandChild& child, const HandStart& how) override {
        ChildPipes pipes(how, null_);
        Launch launch{.argv = how.argv, .descriptor_count = pipes.count};
        std::copy(pipes.childs.begin(), pipes.childs.end(), launch.descriptors);
        const Launched launched = vfork_exec(launch);
        child.pid = launched.pid;
        child.status.reset();
        child.source(Kind::input).fd = pipes.own[STDIN_FILENO];
        adopt(child.source(Kind::output), pipes.own[STDOUT_FILENO]);
        adopt(child.source(Kind::error_output), pipes.own[STDERR_FILENO]);
        adopt(child.source(Kind::death), launched.pidfd);
        pipes.keep_own();
    }

    void watch_input(HandChild& child, bool watched) override {
        HandSource& source = child.source(Kind::input);
        epoll_event event{};
        event.events = EPOLLOUT;
        event.data.ptr = &source;
        if (::epoll_ctl(set_, watched ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, source.fd, &event) < 0) {
            throw_errno("epoll_ctl");
        }
    }

    void close_input(HandChild& child) override { close(child.source(Kind::input)); }

    void kill(HandChild& child) override {
        ::syscall(SYS_pidfd_send_signal, child.source(Kind::death).fd, SIGKILL, nullptr, 0);
    }

    void turn(std::optional<SteadyTime> until) override {
        std::array<epoll_event, 64> events;
        const std::optional<timespec> left = time_left(until);
        const int count =
            ::epoll_pwait2(set_, events.data(), static_cast<int>(events.size()), left ? &*left : nullptr, nullptr);
        if (count < 0 && errno != EINTR) {
            throw_errno("epoll_pwait2");
        }
        for (int i = 0; i < count; ++i) {
            const epoll_event& event = events[static_cast<std::size_t>(i)];
            handle(*static_cast<HandSource*>(event.data.ptr), event.events);
        }
    }

private:
    void adopt(HandSource& source, int fd) {
        source.fd = fd;
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.ptr = &source;
        if (::epoll_ctl(set_, EPOLL_CTL_ADD, fd, &event) < 0) {
            throw_errno("epoll_ctl");
        }
    }

    // Nobody else has the descriptor, so the set forgets it.
    static void close(HandSource& source) {
        if (source.fd >= 0) {
            ::close(source.fd);
            source.fd = -1;
        }
    }

    static void handle(HandSource& source, unsigned events) {
        if (source.fd < 0) {
            return;  // closed by what came before it in this turn
        }
        HandChild& child = *source.child;
        switch (source.kind) {
            case Kind::input: child.on_input_room(); return;
            case Kind::output:
            case Kind::error_output:
                if (read_output(child, static_cast<std::size_t>(source.kind), source.fd, (events & EPOLLHUP) != 0)) {
                    close(source);
                }
                break;
            case Kind::death: reap(child); break;
        }
        const bool open =
            child.source(Kind::output).fd >= 0 || child.source(Kind::error_output).fd >= 0 || child.pid >= 0;
        if (!open) {
            close(child.source(Kind::input));
            child.on_end(*child.status);
        }
    }

    static void reap(HandChild& child) {
        int status = 0;
        if (::waitpid(child.pid, &status, 0) != child.pid) {
            throw_errno("waitpid");
        }
        child.pid = -1;
        child.status = status;
        close(child.source(Kind::death));
    }

    int null_;
    int set_;
};

}  // namespace

std::unique_ptr<HandLoop> make_epoll_loop() { return std::make_unique<EpollLoop>(); }

}  // namespace compare
