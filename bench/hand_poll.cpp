// SPDX-License-Identifier: MIT
#include "hand_poll.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

namespace bench {

namespace {

constexpr std::size_t stream_count = 2;  // stdout and stderr
constexpr int closed = -1;               // poll passes over negative descriptors

[[noreturn]] void throw_errno(int error_number, const char* what) {
    throw std::system_error(error_number, std::generic_category(), what);
}

void require(int error_number, const char* what) {
    if (error_number != 0) {
        throw_errno(error_number, what);
    }
}

class FileActions {
public:
    FileActions() { require(::posix_spawn_file_actions_init(&actions_), "posix_spawn_file_actions_init"); }
    FileActions(const FileActions&) = delete;
    FileActions& operator=(const FileActions&) = delete;
    ~FileActions() { ::posix_spawn_file_actions_destroy(&actions_); }

    void duplicate(int from, int to) {
        require(::posix_spawn_file_actions_adddup2(&actions_, from, to), "posix_spawn_file_actions_adddup2");
    }
    [[nodiscard]] const posix_spawn_file_actions_t* get() const { return &actions_; }

private:
    posix_spawn_file_actions_t actions_{};
};

class HandPoll final : public Contender {
public:
    explicit HandPoll(const Workload& workload)
        : workload_(workload),
          null_(::open("/dev/null", O_RDONLY | O_CLOEXEC)),
          children_(workload.at_once),
          polled_(workload.at_once * stream_count, pollfd{closed, POLLIN, 0}) {
        if (null_ < 0) {
            throw_errno(errno, "/dev/null");
        }
    }

    ~HandPoll() override {
        for (const pollfd& entry : polled_) {
            if (entry.fd != closed) {
                ::close(entry.fd);
            }
        }
        for (const Child& child : children_) {
            if (child.pid > 0) {
                ::waitpid(child.pid, nullptr, 0);
            }
        }
        ::close(null_);
    }

    void run(std::size_t jobs) override {
        std::size_t to_start = jobs;
        for (std::size_t index = 0; index < children_.size() && to_start > 0; ++index, --to_start) {
            start(index);
        }
        for (std::size_t to_end = jobs; to_end > 0;) {
            if (::poll(polled_.data(), polled_.size(), -1) < 0 && errno != EINTR) {
                throw_errno(errno, "poll");
            }
            for (std::size_t index = 0; index < children_.size(); ++index) {
                if (!drain(index)) {
                    continue;
                }
                finish(index);
                --to_end;
                if (to_start > 0) {
                    start(index);
                    --to_start;
                }
            }
        }
    }

private:
    struct Child {
        pid_t pid = -1;
        std::array<std::string, stream_count> output{};
        rusage usage{};
    };

    void start(std::size_t index) {
        Child& child = children_[index];
        FileActions actions;
        actions.duplicate(null_, STDIN_FILENO);
        std::array<int, stream_count> writers{};
        for (std::size_t stream = 0; stream < stream_count; ++stream) {
            int ends[2];
            if (::pipe2(ends, O_CLOEXEC) < 0) {
                throw_errno(errno, "pipe2");
            }
            polled_[index * stream_count + stream].fd = ends[0];
            writers[stream] = ends[1];
            actions.duplicate(ends[1], static_cast<int>(stream) + STDOUT_FILENO);
            child.output[stream].clear();
        }
        char* const arguments[] = {workload_.program.data(), nullptr};
        const int status = ::posix_spawn(&child.pid, arguments[0], actions.get(), nullptr, arguments, ::environ);
        for (const int writer : writers) {
            ::close(writer);
        }
        require(status, "posix_spawn");
    }

    // Reads what poll has announced; true when a child that had output open has closed all of it.
    bool drain(std::size_t index) {
        bool any_open = false;
        bool any_closed = false;
        for (std::size_t stream = 0; stream < stream_count; ++stream) {
            pollfd& entry = polled_[index * stream_count + stream];
            if (entry.fd != closed && entry.revents != 0) {
                char buffer[65536];
                const ssize_t count = ::read(entry.fd, buffer, sizeof buffer);
                if (count > 0) {
                    children_[index].output[stream].append(buffer, static_cast<std::size_t>(count));
                } else if (count == 0) {
                    ::close(entry.fd);
                    entry.fd = closed;
                    any_closed = true;
                } else if (errno != EINTR) {
                    throw_errno(errno, "read");
                }
            }
            entry.revents = 0;
            any_open = any_open || entry.fd != closed;
        }
        return any_closed && !any_open;
    }

    void finish(std::size_t index) {
        Child& child = children_[index];
        int status = 0;
        while (::wait4(child.pid, &status, 0, &child.usage) < 0) {
            if (errno != EINTR) {
                throw_errno(errno, "wait4");
            }
        }
        child.pid = -1;
        if (status != 0 || child.output[0] != workload_.expected_output || !child.output[1].empty()) {
            throw std::runtime_error("wait status " + std::to_string(status) + ", stdout '" + child.output[0] +
                                     "', stderr '" + child.output[1] + "'");
        }
    }

    Workload workload_;
    int null_;
    std::vector<Child> children_;
    std::vector<pollfd> polled_;  // stdout and stderr of each child in turn
};

}  // namespace

std::unique_ptr<Contender> make_hand_poll(const Workload& workload) { return std::make_unique<HandPoll>(workload); }

}  // namespace bench
