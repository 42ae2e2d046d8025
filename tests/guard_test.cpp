// SPDX-License-Identifier: MIT
//
// A guard kills the control group of a host that is gone, and of no other.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <set>
#include <string>
#include <thread>

#include "forbid_calls.hpp"
#include "kept_job.hpp"
#include "process/guard.hpp"
#include "support.hpp"

using proctor::Stage;
using proctor::detail::Guard;
using proctor::detail::Launcher;
using support::keeper_path;
using support::readable;

namespace {

// A control group of its own for the test, where one can be made that can be killed.
class Group {
public:
    Group() {
        const char* const given = std::getenv("PROCTOR_ROOM_CGROUP");
        for (const std::string& parent :
             std::array<std::string, 3>{given != nullptr ? given : "", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"}) {
            const std::string path = parent + "/proctor-guard-test-" + std::to_string(getpid());
            if (parent.empty() || mkdir(path.c_str(), 0755) != 0) continue;
            if (access((path + "/cgroup.kill").c_str(), W_OK) == 0 ||
                access((path + "/cgroup.freeze").c_str(), W_OK) == 0) {
                path_ = path;
                return;
            }
            rmdir(path.c_str());
        }
    }
    Group(const Group&) = delete;
    Group& operator=(const Group&) = delete;
    ~Group() {
        // Those that have been killed leave it in their own time.
        while (!path_.empty() && rmdir(path_.c_str()) != 0 && errno == EBUSY) std::this_thread::yield();
    }

    explicit operator bool() const { return !path_.empty(); }
    [[nodiscard]] support::Fd directory() const {
        return support::open_file(path_, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    // Starts a process that waits for ever and holds `witness`, and sees it join the group.
    [[nodiscard]] pid_t start(const support::Fd& witness) const {
        support::Pipe joined;
        const pid_t pid = fork();
        if (pid != 0) {
            joined.write_end.reset();
            return support::await_byte(joined.read_end.get()) ? pid : -1;
        }
        const support::Fd members = support::open_file(path_ + "/cgroup.procs", O_WRONLY);
        support::write_all(members.get(), "0");
        support::write_all(joined.write_end.get(), "j");
        // Held by this number alone, so that the test's own ends tell of nothing else.
        dup2(witness.get(), 0);
        close_range(1, ~0U, 0);
        setsid();
        for (;;) pause();
    }

private:
    std::string path_{};
};

}  // namespace

TEST_CASE("the group of a host that is killed is killed, also with a forked copy of the host alive") {
    for (const bool with_copy : {false, true}) {
        CAPTURE(with_copy);
        const Group group;  // one that has been killed may be frozen
        if (!group) return support::skip("no cgroup v2 directory whose processes can be killed can be made here");
        support::Pipe witness;
        support::Pipe copy_goes;
        support::Pipe copy_lives;
        const std::string complaint = support::in_host([&]() -> std::string {
            HOST_CHECK(group.start(witness.write_end) > 0);
            witness.write_end.reset();
            Launcher launcher(false);
            const std::set<int> others = support::open_descriptors();
            auto guard = Guard::start(launcher, keeper_path(), group.directory().get());
            HOST_CHECK(guard.has_value());
            if (with_copy && fork() == 0) {
                // It holds the guard's lifeline, and nothing that would keep the test waiting.
                for (const int fd : others) {
                    if (fd != copy_goes.read_end.get() && fd != copy_lives.write_end.get()) close(fd);
                }
                (void)support::await_end(copy_goes.read_end.get());
                _exit(0);
            }
            kill(getpid(), SIGKILL);
            return "still alive";
        });
        CHECK(complaint == "the host was killed by signal 9");
        witness.write_end.reset();
        CHECK(support::await_end(witness.read_end.get()));
        copy_goes.write_end.reset();
        copy_lives.write_end.reset();
        CHECK(support::await_end(copy_lives.read_end.get()));
    }
}

TEST_CASE("a guard that is stopped leaves the group alone, and is reaped") {
    const Group group;
    if (!group) return support::skip("no cgroup v2 directory whose processes can be killed can be made here");
    support::Pipe witness;
    const std::string complaint = support::in_host([&]() -> std::string {
        const pid_t member = group.start(witness.write_end);
        HOST_CHECK(member > 0);
        Launcher launcher(false);
        auto guard = Guard::start(launcher, keeper_path(), group.directory().get());
        HOST_CHECK(guard.has_value());
        const pid_t pid = guard->pid();
        Guard moved = std::move(*guard);
        HOST_CHECK(moved.pid() == pid);
        moved.stop();
        HOST_CHECK(!moved);
        HOST_CHECK(kill(pid, 0) != 0 && errno == ESRCH);
        HOST_CHECK(kill(member, 0) == 0);
        HOST_CHECK(!readable(witness.read_end.get(), 0));
        kill(member, SIGKILL);
        return {};
    });
    CHECK(complaint == "");
    witness.write_end.reset();
    CHECK(support::await_end(witness.read_end.get()));
}

TEST_CASE("a guard ends with its host's reactor also where the host has forbidden itself to signal it") {
    const Group group;
    if (!group) return support::skip("no cgroup v2 directory whose processes can be killed can be made here");
    for (const int error_number : {EPERM, ENOSYS}) {
        CAPTURE(error_number);
        const std::string complaint = support::in_host([&]() -> std::string {
            constexpr unsigned patience_s = 60;
            alarm(patience_s);
            Launcher launcher(false);
            auto guard = Guard::start(launcher, keeper_path(), group.directory().get());
            HOST_CHECK(guard.has_value());
            const pid_t pid = guard->pid();
            if (!support::forbid_call(__NR_pidfd_send_signal, static_cast<unsigned>(error_number))) return "no filters";
            guard->stop();
            HOST_CHECK(kill(pid, 0) != 0 && errno == ESRCH);
            return {};
        });
        if (complaint == "no filters") return support::skip("this kernel has no seccomp filters");
        CHECK(complaint == "");
    }
}

TEST_CASE("a guard for which nothing is left is an error with its cure") {
    CHECK(support::in_host([]() -> std::string {
              Launcher launcher(false);
              const support::Fd elsewhere = support::open_file("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
              // Nothing; a pipe, and not the group; all but a pidfd.
              for (const int left : {0, 2, 3}) {
                  support::DescriptorsLeft only(left);
                  const auto guard = Guard::start(launcher, keeper_path(), elsewhere.get());
                  HOST_CHECK(!guard.has_value());
                  HOST_CHECK(guard.error().error_number == EMFILE);
                  HOST_CHECK(guard.error().cure.find("ulimit -n") != std::string::npos);
              }
              return {};
          }) == "");
}

TEST_CASE("a forked copy of the host stops no guard") {
    Launcher launcher(false);
    const support::Fd elsewhere = support::open_file("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    auto guard = Guard::start(launcher, keeper_path(), elsewhere.get());
    REQUIRE(guard.has_value());
    CHECK(support::in_host([&]() -> std::string {
              guard->stop();
              return {};
          }) == "");
    CHECK_FALSE(readable(guard->pidfd(), 0));
}

TEST_CASE("a guard holds nothing of the host's, heeds no signal, and is seen to be gone when it is killed") {
    Launcher launcher(false);
    const support::Fd elsewhere = support::open_file("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    support::Pipe held;
    auto guard = Guard::start(launcher, keeper_path(), elsewhere.get());
    REQUIRE(guard.has_value());
    held.write_end.reset();
    CHECK(support::await_end(held.read_end.get()));
    for (int number = 1; number <= 64; ++number) {
        if (number != SIGKILL && number != SIGSTOP) CHECK(kill(guard->pid(), number) == 0);
    }
    CHECK_FALSE(readable(guard->pidfd(), 0));
    CHECK(kill(guard->pid(), SIGKILL) == 0);
    CHECK(readable(guard->pidfd()));
}

TEST_CASE("a guard that cannot be run is an error of stage spawn") {
    Launcher launcher(false);
    const auto guard = Guard::start(launcher, "/nonexistent/proctor-keeper", AT_FDCWD);
    REQUIRE_FALSE(guard.has_value());
    CHECK(guard.error().stage == Stage::spawn);
    CHECK(guard.error().error_number == ENOENT);
    CHECK_FALSE(guard.error().cure.empty());
}
