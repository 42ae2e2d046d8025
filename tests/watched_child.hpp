// SPDX-License-Identifier: MIT
//
// A process tree to look at: the helper program in a session of its own, told what to do by its script.
#pragma once

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "support.hpp"

namespace support {

/// Standard input is a pipe that nothing comes out of until told, so `await-end 0` keeps a process of the tree,
/// wherever it has escaped to, until end(). Standard output is a pipe for saying that something has happened.
class WatchedChild {
public:
    explicit WatchedChild(std::string_view words) : WatchedChild(split(words)) {}
    explicit WatchedChild(const std::vector<std::string>& words) {
        std::vector<const char*> arguments{child().c_str()};
        for (const std::string& word : words) arguments.push_back(word.c_str());
        arguments.push_back(nullptr);
        // Both ends are closed by execve: what is looked at has to be the helper, in its own session, and not yet a
        // copy of this process.
        Pipe executed;
        pid_ = fork();
        REQUIRE(pid_ >= 0);
        if (pid_ == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            setsid();
            dup2(input_.read_end.get(), 0);
            dup2(output_.write_end.get(), 1);
            execv(arguments[0], const_cast<char* const*>(arguments.data()));
            _exit(127);
        }
        input_.read_end.reset();
        output_.write_end.reset();
        executed.write_end.reset();
        CHECK(await_end(executed.read_end.get()));
    }
    WatchedChild(const WatchedChild&) = delete;
    WatchedChild& operator=(const WatchedChild&) = delete;
    ~WatchedChild() {
        input_.write_end.reset();
        kill_group();
        reap();
    }

    [[nodiscard]] pid_t pid() const { return pid_; }
    /// Waits until it has written so many bytes more.
    bool await(int count = 1) {
        while (count > 0 && await_byte(output_.read_end.get())) --count;
        return count == 0;
    }
    /// One of those that read standard input gets a byte.
    void tell() { write_all(input_.write_end.get(), "."); }
    /// Those that read standard input get the end of it.
    void tell_end() { input_.write_end.reset(); }
    /// The same. True when all that held standard output have gone.
    bool end() {
        input_.write_end.reset();
        return await_end(output_.read_end.get());
    }
    void kill_group() const {
        if (pid_ > 0) kill(-pid_, SIGKILL);
    }
    /// Waits until the main process is dead, and leaves it so.
    void await_death() const {
        siginfo_t info{};
        while (waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT) < 0 && errno == EINTR) {
        }
    }
    rusage reap() {
        rusage usage{};
        while (pid_ > 0 && wait4(pid_, nullptr, 0, &usage) < 0 && errno == EINTR) {
        }
        pid_ = -1;
        return usage;
    }

private:
    static std::vector<std::string> split(std::string_view words) {
        std::istringstream in{std::string(words)};
        std::vector<std::string> parts;
        for (std::string word; in >> word;) parts.push_back(word);
        return parts;
    }

    Pipe input_{};
    Pipe output_{};
    pid_t pid_ = -1;
};

/// Asks again and again until the answer is true, or a minute has passed.
template <typename Question>
bool eventually(Question question) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (!question()) {
        if (std::chrono::steady_clock::now() > until) return false;
        std::this_thread::yield();
    }
    return true;
}

}  // namespace support
