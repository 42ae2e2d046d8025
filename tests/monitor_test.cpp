// SPDX-License-Identifier: MIT
//
// Watching processes that somebody else has started.
#include "support.hpp"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using namespace proctor::literals;
using proctor::MonitorHandle;
using proctor::Outcome;
using proctor::Reactor;
using proctor::Reason;
using proctor::RunResult;

namespace {

/// The helper program, started by the test and not by proctor, and reaped at the end. It has said `ready`, which its
/// script begins with.
class Stranger {
public:
    explicit Stranger(const std::string& words) {
        std::vector<std::string> all = {support::child(), "print", "ready", "then"};
        std::istringstream rest(words);
        for (std::string word; rest >> word;) all.push_back(word);
        std::vector<char*> argv;
        argv.reserve(all.size() + 1);
        for (std::string& word : all) argv.push_back(word.data());
        argv.push_back(nullptr);
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, ready_.write_end.get(), 1);
        REQUIRE(posix_spawn(&pid_, all[0].c_str(), &actions, nullptr, argv.data(), environ) == 0);
        posix_spawn_file_actions_destroy(&actions);
        REQUIRE(support::await_byte(ready_.read_end.get()));
    }
    Stranger(const Stranger&) = delete;
    Stranger& operator=(const Stranger&) = delete;
    ~Stranger() {
        ::kill(pid_, SIGKILL);
        (void)reap();
    }

    [[nodiscard]] int pid() const { return pid_; }
    /// Its wait status, or -1 once it was reaped.
    int reap() {
        int status = -1;
        return ::waitpid(pid_, &status, 0) == pid_ ? status : -1;
    }

private:
    support::Pipe ready_{};  // its standard output, which it may go on writing to
    pid_t pid_ = -1;
};

// Whether a child of ours could be made with this number. It waits to be killed.
bool takes_number(pid_t number) {
    clone_args arguments{};
    arguments.exit_signal = SIGCHLD;
    arguments.set_tid = reinterpret_cast<std::uint64_t>(&number);
    arguments.set_tid_size = 1;
    const long pid = ::syscall(SYS_clone3, &arguments, sizeof arguments);
    if (pid == 0) {
        for (;;) ::pause();
    }
    return pid > 0;
}

}  // namespace

TEST_CASE("a stranger's end, status and usage are told, and it stays its parent's to reap") {
    Stranger stranger("burn 30 then exit 7");
    Reactor reactor = support::make_reactor();
    RunResult result;
    const auto handle = reactor.monitor(stranger.pid(), {}, [&](RunResult&& ended) { result = std::move(ended); });
    REQUIRE(handle);
    CHECK_FALSE(handle->ended());
    REQUIRE(reactor.run());
    CHECK(handle->ended());
    CHECK(result.outcome == Outcome::fail);
    CHECK(result.exit_code == 7);
    CHECK(result.sources.containment == "tree");
    CHECK(result.sources.cpu == "clock");
    REQUIRE(handle->usage());
    CHECK(handle->usage()->utime + handle->usage()->stime >= 25ms);
    const int status = stranger.reap();
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 7);
}

TEST_CASE("limits of every kind end a stranger and its descendants") {
    struct Wanted {
        const char* words;
        proctor::RunLimits limits;
        Reason reason;
    };
    for (const Wanted& wanted : {
             Wanted{"pause", {.time = 50ms}, Reason::time_limit},
             Wanted{"spin", {.time = 1min, .cpu_time = 50ms}, Reason::cpu_limit},
             Wanted{"fork [ ready then spin ] then pause", {.time = 1min, .cpu_time = 50ms}, Reason::cpu_limit},
             Wanted{"pause", {.time = 1min, .block = 100ms}, Reason::block_limit},
             Wanted{"touch-memory 67108864 then pause", {.time = 1min, .memory = 32_MiB}, Reason::memory_limit},
             Wanted{"fork [ ready then pause ] then fork [ ready then pause ] then pause",
                    {.time = 1min, .processes = 2},
                    Reason::process_limit},
             Wanted{
                 "fork [ exit 0 ] then fork [ exit 0 ] then pause", {.time = 1min, .tasks = 2}, Reason::process_limit},
         }) {
        CAPTURE(wanted.words);
        Stranger stranger(wanted.words);
        Reactor reactor = support::make_reactor();
        RunResult result;
        const auto handle = reactor.monitor(stranger.pid(), {.limits = wanted.limits},
                                            [&](RunResult&& end) { result = std::move(end); });
        REQUIRE(handle);
        REQUIRE(reactor.run());
        CHECK_MESSAGE(result.reason == wanted.reason, support::describe(result));
        CHECK(handle->reason() == wanted.reason);
        CHECK(result.outcome == Outcome::fail);
        CHECK(result.signal == 9);
        CHECK(WTERMSIG(stranger.reap()) == 9);
    }
}

TEST_CASE("the host's own process group is not signalled") {
    // The stranger is in the group of this test, which would die with it.
    Stranger stranger("fork [ ready then pause ] then pause");
    REQUIRE(::getpgid(stranger.pid()) == ::getpgrp());
    Reactor reactor = support::make_reactor();
    const auto handle = reactor.monitor(stranger.pid(), {.limits = {.time = 50ms}});
    REQUIRE(handle);
    REQUIRE(reactor.run());
    CHECK(handle->reason() == Reason::time_limit);
}

TEST_CASE("live usage and processes; stop() ends it; wait() waits") {
    Stranger stranger("fork [ ready then pause ] then touch-memory 8388608 then pause");
    Reactor reactor = support::make_reactor();
    RunResult result;
    const auto handle = reactor.monitor(stranger.pid(), {}, [&](RunResult&& ended) { result = std::move(ended); });
    REQUIRE(handle);
    const auto waited = handle->wait(10ms);
    REQUIRE(waited);
    CHECK_FALSE(*waited);
    CHECK(handle->processes().size() <= 2);
    CHECK(handle->processes().at(0).pid == stranger.pid());
    CHECK(handle->usage().has_value());
    handle->stop();
    const auto ended = handle->wait();
    REQUIRE(ended);
    CHECK(*ended);
    CHECK(result.outcome == Outcome::error);
    CHECK(result.error->stage == proctor::Stage::cancelled);
    CHECK(handle->processes().empty());
}

TEST_CASE("wait() waits to the end however long it may, and no longer than there is a reactor") {
    Stranger stranger("sleep 1");
    auto reactor = std::make_unique<Reactor>(support::make_reactor());
    const auto handle = reactor->monitor(stranger.pid(), {}, [](RunResult&&) {});
    REQUIRE(handle);
    SUBCASE("for ever") {
        const auto waited = handle->wait(std::chrono::nanoseconds::max());
        REQUIRE(waited);
        CHECK(*waited);
        CHECK(handle->ended());
    }
    SUBCASE("a handler destroys the reactor") {
        Stranger other("pause");
        const auto watched = reactor->monitor(other.pid(), {}, [](RunResult&&) { FAIL("it was destroyed"); });
        REQUIRE(watched);
        reactor->submit(support::script("exit 0"), [&](RunResult&&) { reactor.reset(); });
        const auto waited = watched->wait();
        REQUIRE(waited);
        CHECK(*waited);
        CHECK(watched->ended());
    }
}

TEST_CASE("kill_after asks a stranger first") {
    Stranger stranger("on-signal-exit 15 bye 3 then pause");
    Reactor reactor = support::make_reactor();
    RunResult result;
    const auto handle = reactor.monitor(stranger.pid(), {.limits = {.block = 100ms}, .kill_after = 1min},
                                        [&](RunResult&& ended) { result = std::move(ended); });
    REQUIRE(handle);
    REQUIRE(reactor.run());
    CHECK(result.reason == Reason::block_limit);
    CHECK(result.exit_code == 3);
}

TEST_CASE("by a pidfd, which stays the caller's") {
    Stranger stranger("pause");
    const support::Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, stranger.pid(), 0)));
    Reactor reactor = support::make_reactor();
    const auto handle = reactor.monitor_descriptor(pidfd.get(), {.limits = {.time = 20ms}});
    REQUIRE(handle);
    REQUIRE(reactor.run());
    CHECK(handle->reason() == Reason::time_limit);
    CHECK(::fcntl(pidfd.get(), F_GETFD) >= 0);
}

TEST_CASE("who gets the number of one that was watched, and has ended unseen, is not taken for it") {
    Stranger stranger("pause");
    Reactor reactor = support::make_reactor();
    const auto handle = reactor.monitor(stranger.pid(), {});
    REQUIRE(handle);
    ::kill(stranger.pid(), SIGKILL);
    REQUIRE(WTERMSIG(stranger.reap()) == SIGKILL);
    // Processes are told apart by the clock tick in which they began.
    const auto next_tick = std::chrono::steady_clock::now() + 30ms;
    while (std::chrono::steady_clock::now() < next_tick) sched_yield();
    if (!takes_number(stranger.pid())) return support::skip("nobody may choose the number of a process here");
    CHECK(handle->processes().empty());
    REQUIRE(reactor.run());
    CHECK(handle->ended());
    CHECK(::kill(stranger.pid(), 0) == 0);
}

TEST_CASE("what cannot be watched is an error") {
    CHECK(Reactor::create()->monitor(getpid(), {}).error().error_number == EINVAL);
    Reactor reactor = support::make_reactor();
    CHECK(reactor.monitor(0, {}).error().error_number == EINVAL);
    CHECK(reactor.monitor(-5, {}).error().error_number == EINVAL);
    CHECK(reactor.monitor(999'999'999, {}).error().stage == proctor::Stage::setup);
    CHECK(reactor.monitor_descriptor(-1, {}).error().error_number == EBADF);
    const support::Fd null = support::open_file("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK(reactor.monitor_descriptor(null.get(), {}).error().error_number == EINVAL);
    Stranger stranger("pause");
    CHECK(reactor.monitor(stranger.pid(), {.limits = {.time = 0ns}}).error().error_number == EINVAL);
    CHECK(reactor.size() == 0);
}

TEST_CASE("a forked copy of the host that ends its reactor lets a stranger live who is being asked to end") {
    const support::Pipe question;
    support::Pipe answer;
    const pid_t stranger = fork();
    REQUIRE(stranger >= 0);
    if (stranger == 0) {
        std::signal(SIGTERM, SIG_IGN);
        do {
            support::write_all(answer.write_end.get(), "a");
        } while (support::await_byte(question.read_end.get()));
        _exit(0);
    }
    answer.write_end.reset();
    REQUIRE(support::await_byte(answer.read_end.get()));
    Reactor reactor = support::make_reactor();
    const auto handle = reactor.monitor(stranger, {.kill_after = 1h});
    REQUIRE(handle);
    REQUIRE(reactor.run_once(0ns));
    handle->stop();
    const pid_t copy = fork();
    REQUIRE(copy >= 0);
    if (copy == 0) {
        { const Reactor gone = std::move(reactor); }
        _exit(0);
    }
    int status = -1;
    REQUIRE(waitpid(copy, &status, 0) == copy);
    CHECK(status == 0);
    support::write_all(question.write_end.get(), "q");
    CHECK(support::await_byte(answer.read_end.get()));
    ::kill(stranger, SIGKILL);
    CHECK(waitpid(stranger, &status, 0) == stranger);
}

TEST_CASE("want of descriptors is not taken for a process that cannot be watched") {
    CHECK(support::in_host([]() -> std::string {
              const support::Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, getppid(), 0)));
              Reactor reactor = support::make_reactor();
              for (const int left : {0, 1}) {
                  const support::DescriptorsLeft few(left);
                  const auto handle =
                      left == 0 ? reactor.monitor(getppid(), {}) : reactor.monitor_descriptor(pidfd.get(), {});
                  HOST_CHECK(!handle);
                  HOST_CHECK(handle.error().error_number == EMFILE);
                  HOST_CHECK(handle.error().cure.find("ulimit -n") != std::string::npos);
              }
              HOST_CHECK(reactor.size() == 0);
              return {};
          }) == "");
}

TEST_CASE("a reactor's end lets a stranger live, and leaks nothing") {
    Stranger stranger("pause");
    const auto descriptors = support::open_descriptors();
    MonitorHandle handle;
    bool called = false;
    for (const int passes : {0, 1, 3}) {
        Reactor reactor = support::make_reactor();
        const auto made = reactor.monitor(stranger.pid(), {.limits = {.time = 1h, .cpu_time = 1h, .block = 1h}},
                                          [&](RunResult&&) { called = true; });
        REQUIRE(made);
        handle = *made;
        for (int i = 0; i < passes; ++i) REQUIRE(reactor.run_once(0ns));
    }
    CHECK_FALSE(called);
    CHECK(handle.ended());
    CHECK_FALSE(handle.usage().has_value());
    CHECK(::kill(stranger.pid(), 0) == 0);
    CHECK(support::open_descriptors() == descriptors);
}
