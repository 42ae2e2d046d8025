// SPDX-License-Identifier: MIT
//
// The control group of one job: what lives in it, how it ends, what it has used, and the limits that the kernel keeps.
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <string>
#include <vector>

#include "cgroup_ground.hpp"

using namespace std::chrono_literals;
using namespace proctor::literals;
using ground::acquire;
using ground::counts_for_good;
using ground::exists;
using ground::number_in;
using ground::Process;
using ground::Reactor;
using ground::was_killed;
using ground::what;
using proctor::detail::Cgroup;

namespace {

// Waits for an event of the group, as its owner would; there is no other way to learn of the last one's death.
void await_empty(Cgroup& group) {
    while (group.populated() == true) {
        pollfd entry{group.events(), POLLPRI, 0};
        poll(&entry, 1, -1);
    }
}

// After kill(), which is to be repeated as long as somebody is left.
void await_killed(Cgroup& group) {
    while (group.populated() == true) {
        CHECK(group.kill());
        pollfd entry{group.events(), POLLPRI, 0};
        poll(&entry, 1, 10);
    }
}

}  // namespace

TEST_CASE("a process is born into a group, seen in it, and killed with it") {
    const Reactor reactor;
    if (!reactor.pool) return;
    Cgroup& group = acquire(*reactor.pool);
    CHECK(group.populated() == false);
    CHECK(group.path().find(reactor.pool->path() + "/job-") == 0);

    Process main(group.directory(), "fork [ ready then pause ] then print x then pause");
    REQUIRE(main.error_number() == 0);
    REQUIRE(main.has_written());
    CHECK(group.populated() == true);
    std::vector<pid_t> pids;
    CHECK(group.processes(pids));
    CHECK(pids.size() == 2);
    CHECK(std::count(pids.begin(), pids.end(), main.pid()) == 1);
    std::vector<pid_t> tids{1};
    CHECK(group.threads(tids));
    CHECK(tids.size() == 3);

    CHECK(group.kill());
    CHECK(was_killed(main.wait()));
    await_killed(group);
    pids.clear();
    CHECK(group.processes(pids));
    CHECK(pids.empty());
    reactor.pool->give_back(group);
}

TEST_CASE("more processes than one read holds are all listed") {
    const Reactor reactor;
    if (!reactor.pool) return;
    Cgroup& group = acquire(*reactor.pool);
    const support::Pipe leash;
    std::set<pid_t> born;
    for (std::size_t bytes = 0; bytes < 10'000;) {
        clone_args clone{};
        clone.flags = CLONE_INTO_CGROUP;
        clone.exit_signal = SIGCHLD;
        clone.cgroup = static_cast<std::uint64_t>(group.directory());
        const long pid = syscall(SYS_clone3, &clone, sizeof clone);
        if (pid == 0) {
            for (;;) pause();
        }
        REQUIRE(pid > 0);
        bytes += std::to_string(pid).size() + 1;
        born.insert(static_cast<pid_t>(pid));
    }
    std::vector<pid_t> pids;
    CHECK(group.processes(pids));
    CHECK(std::set<pid_t>(pids.begin(), pids.end()) == born);
    CHECK(group.kill());
    for (const pid_t pid : born) {
        int status = 0;
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK(was_killed(status));
    }
    reactor.pool->give_back(group);
}

TEST_CASE("no process escapes the kill: other sessions, orphans, ignored signals, stopped, frozen") {
    const Reactor reactor;
    if (!reactor.pool) return;
    for (const bool frozen : {false, true}) {
        Cgroup& group = acquire(*reactor.pool);
        Process main(group.directory(),
                     "fork [ new-session then fork [ new-session then ignore 15 then ready then pause ] then ready "
                     "then exit 0 ] "
                     "then fork [ ignore 15 then ignore 1 then ready then pause ] "
                     "then fork [ ready then raise 19 ] then print x then pause");
        REQUIRE(main.has_written());
        if (frozen) {
            CHECK(group.freeze(true));
            while (group.frozen() != true) {
                pollfd entry{group.events(), POLLPRI, 0};
                poll(&entry, 1, -1);
            }
        }
        CHECK(group.kill());
        CHECK(was_killed(main.wait()));
        CHECK(main.is_silent());
        await_killed(group);
        reactor.pool->give_back(group);
    }
    // What was killed or frozen is not handed on: there the kernel might kill the next job at birth.
    Cgroup& next = acquire(*reactor.pool);
    CHECK(next.frozen() == false);
    Process alive(next.directory(), "print x");
    CHECK(alive.wait() == 0);
    await_empty(next);
    reactor.pool->give_back(next);
}

TEST_CASE("the events' descriptor tells of the last one's death") {
    const Reactor reactor;
    if (!reactor.pool) return;
    Cgroup& group = acquire(*reactor.pool);
    Process main(group.directory(), "print x then pause");
    REQUIRE(main.has_written());
    // Two changes may come as one notice, so all that has happened is read first.
    CHECK(group.populated() == true);
    pollfd entry{group.events(), POLLPRI, 0};
    while (poll(&entry, 1, 0) != 0) CHECK(group.populated() == true);
    CHECK(group.kill());
    do {
        REQUIRE(poll(&entry, 1, 60'000) == 1);
        CHECK((entry.revents & POLLPRI) != 0);
    } while (group.populated() != false);
    main.wait();
    reactor.pool->give_back(group);
}

TEST_CASE("CPU time includes the dead that nobody waited for, and starts anew for each job") {
    const Reactor reactor;
    if (!reactor.pool) return;
    Cgroup& first = acquire(*reactor.pool);
    CHECK(first.cpu().has_value());
    Process main(first.directory(), "fork [ burn 30 ] then burn 50");
    CHECK(main.wait() == 0);
    await_empty(first);
    const auto used = first.cpu();
    REQUIRE(used.has_value());
    CHECK(used->usage >= 80ms);
    CHECK(used->user + used->system <= used->usage + 1us);
    CHECK(used->user + used->system >= used->usage - 2us);
    reactor.pool->give_back(first);

    Cgroup& second = acquire(*reactor.pool);
    CHECK((&second == &first) == !counts_for_good(*reactor.pool));
    // Nobody has been in it since.
    CHECK(second.cpu()->usage < 40ms);
    Process again(second.directory(), "burn 20");
    CHECK(again.wait() == 0);
    await_empty(second);
    CHECK(second.cpu()->usage >= 20ms);
    CHECK(second.cpu()->usage < used->usage + 20ms);
    reactor.pool->give_back(second);
}

TEST_CASE("what has no controller has no readings, and no limit: the error names the controller") {
    const Reactor reactor;
    if (!reactor.pool) return;
    if (reactor.pool->controllers().memory || reactor.pool->controllers().pids) {
        return support::skip("the memory or pids controller is there");
    }
    CHECK_FALSE(reactor.pool->cure().empty());
    Cgroup& group = acquire(*reactor.pool);
    CHECK_FALSE(group.memory_peak().has_value());
    CHECK_FALSE(group.memory_current().has_value());
    CHECK_FALSE(group.memory_anon().has_value());
    CHECK_FALSE(group.memory_events().has_value());
    CHECK_FALSE(group.pids_refused().has_value());
    CHECK_FALSE(group.pids_peak().has_value());
    CHECK(what(group.limit_memory(1_MiB)).find("has no memory controller") != std::string::npos);
    CHECK(what(group.limit_tasks(1)).find("has no pids controller") != std::string::npos);
    reactor.pool->give_back(group);
}

TEST_CASE("a memory limit is kept by the kernel, and the group's events say that it was") {
    const Reactor reactor;
    if (!reactor.pool) return;
    if (!reactor.pool->controllers().memory) return support::skip("there is no memory controller here");
    Cgroup& modest = acquire(*reactor.pool);
    REQUIRE(modest.limit_memory(64_MiB).has_value());
    Process holder(modest.directory(), "touch-memory 16777216 then print x then pause");
    REQUIRE(holder.has_written());
    CHECK(modest.memory_anon() >= 15_MiB);  // before 5.15 some pages of each processor are not in it yet
    CHECK(modest.memory_anon() <= 64_MiB);
    CHECK(modest.memory_current() >= 16_MiB);
    if (exists(modest.path() + "/memory.peak")) {
        CHECK(modest.memory_peak() >= 16_MiB);
        CHECK(modest.memory_peak() <= 64_MiB);
    }
    CHECK(modest.memory_events()->oom_kill == 0);
    CHECK(modest.kill());
    holder.wait();
    CHECK(modest.memory_events()->oom_kill == 0);
    reactor.pool->give_back(modest);

    // A grandchild wants too much: all of the group is killed.
    Cgroup& greedy = acquire(*reactor.pool);
    REQUIRE(greedy.limit_memory(32_MiB).has_value());
    Process main(greedy.directory(), "fork [ ready then touch-memory 67108864 ] then pause");
    CHECK(was_killed(main.wait()));
    REQUIRE(greedy.memory_events().has_value());
    CHECK(greedy.memory_events()->oom_kill >= 1);
    CHECK(greedy.memory_events()->oom >= 1);
    CHECK(greedy.memory_events()->max >= 1);
    CHECK(greedy.memory_events()->oom_group_kill ==
          (number_in(greedy.path() + "/memory.events", "oom_group_kill") < 0 ? 0 : 1));
    await_empty(greedy);
    reactor.pool->give_back(greedy);
}

TEST_CASE("a limit of tasks is kept by the kernel, and what it refused is counted") {
    const Reactor reactor;
    if (!reactor.pool) return;
    if (!reactor.pool->controllers().pids) return support::skip("there is no pids controller here");
    Cgroup& group = acquire(*reactor.pool);
    REQUIRE(group.limit_tasks(2).has_value());
    CHECK(group.pids_refused() == 0);
    Process main(group.directory(), "fork [ ready then pause ] then fork [ ready then pause ]");
    CHECK(WEXITSTATUS(main.wait()) == 98);
    CHECK(group.pids_refused() == 1);
    if (exists(group.path() + "/pids.peak")) CHECK(group.pids_peak() == 2);
    CHECK(group.kill());
    await_killed(group);
    reactor.pool->give_back(group);
}
