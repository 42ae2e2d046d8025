// SPDX-License-Identifier: MIT
//
// The control groups of a reactor: made, reused and removed, lost to somebody else, and swept after a dead host.
#include <dirent.h>
#include <poll.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "cgroup/group_members.hpp"
#include "cgroup_ground.hpp"

using namespace proctor::literals;
using ground::acquire;
using ground::counts_for_good;
using ground::exists;
using ground::Group;
using ground::groups_in;
using ground::make_pool;
using ground::number_in;
using ground::Pool;
using ground::Process;
using ground::Reactor;
using ground::was_killed;
using ground::what;
using proctor::Stage;
using proctor::detail::Cgroup;
using proctor::detail::CgroupPool;
using proctor::detail::Expected;
using proctor::detail::kill_members;

namespace {

void tidy_up(CgroupPool& pool) {
    while (pool.needs_tidying()) {
        if (!pool.tidy()) sched_yield();
    }
}

unsigned repeats(unsigned count) {
    const char* const divisor = std::getenv("PROCTOR_REPEAT_DIVISOR");
    return divisor != nullptr ? std::max(1U, count / static_cast<unsigned>(std::stoul(divisor))) : count;
}

}  // namespace

TEST_CASE("a group is used again only where nothing of its last job is left in it") {
    const Reactor reactor;
    if (!reactor.pool) return;
    CgroupPool& pool = *reactor.pool;
    Cgroup& plain = acquire(pool);
    const std::string plain_path = plain.path();
    pool.give_back(plain);
    Cgroup& once = acquire(pool, true);
    const std::string once_path = once.path();
    CHECK(once_path != plain_path);
    Cgroup& next = acquire(pool);
    CHECK((next.path() == plain_path) == !counts_for_good(pool));
    pool.give_back(once);
    Cgroup& other = acquire(pool);
    CHECK(other.path() != once_path);
    // A job may have made groups of its own.
    const std::string nested = next.path() + "/a/b";
    REQUIRE(mkdir((next.path() + "/a").c_str(), 0755) == 0);
    REQUIRE(mkdir(nested.c_str(), 0755) == 0);
    pool.give_back(next);
    Cgroup& last = acquire(pool);
    CHECK(nested.find(last.path()) != 0);
    pool.give_back(last);
    pool.give_back(other);
    tidy_up(pool);
    CHECK_FALSE(exists(nested));
    CHECK_FALSE(exists(once_path));
}

TEST_CASE("tidying makes as many groups ahead as were used at once, and removes the used ones") {
    const std::optional<Group> ground = Group::make();
    if (!ground) return;
    const Pool pool = make_pool(*ground, 5);
    CHECK_FALSE(pool->needs_tidying());
    CHECK(groups_in(pool->path()).empty());
    std::vector<Cgroup*> taken;
    taken.reserve(9);
    for (int i = 0; i < 3; ++i) taken.push_back(&acquire(*pool, true));
    CHECK(pool->needs_tidying());
    tidy_up(*pool);
    CHECK(groups_in(pool->path()).size() == 6);
    for (int i = 0; i < 6; ++i) taken.push_back(&acquire(*pool, true));
    tidy_up(*pool);
    CHECK(groups_in(pool->path()).size() == 9 + 5);
    for (Cgroup* const group : taken) pool->give_back(*group);
    tidy_up(*pool);
    CHECK(groups_in(pool->path()).size() == 5);
    CHECK_FALSE(pool->tidy());
}

TEST_CASE("a group that is given back with somebody in it waits for no one, and goes when he has gone") {
    const Reactor reactor;
    if (!reactor.pool) return;
    CgroupPool& pool = *reactor.pool;
    Cgroup& busy = acquire(pool);
    Process inhabitant(busy.directory(), "print x then pause");
    REQUIRE(inhabitant.has_written());
    const std::string path = busy.path();
    pool.give_back(busy);
    // The first try cannot succeed: he lives until then.
    CHECK_FALSE(pool.tidy());
    CHECK(pool.needs_tidying());
    tidy_up(pool);
    CHECK_FALSE(exists(path));
    CHECK(was_killed(inhabitant.wait()));
}

TEST_CASE("two reactors in one place leave each other alone") {
    const Reactor reactor;
    if (!reactor.pool) return;
    Cgroup& group = acquire(*reactor.pool);
    Process main(group.directory(), "print x then pause");
    REQUIRE(main.has_written());
    {
        const Pool second = make_pool(*reactor.group);
        CHECK(second->path() != reactor.pool->path());
        CHECK(groups_in(reactor.group->path()).size() == 2);
        tidy_up(*second);
        second->shut_down();
        CHECK_FALSE(exists(second->path()));
    }
    CHECK(support::in_host([&]() -> std::string {
              const Expected<Pool> third = CgroupPool::create(reactor.group->place(), 0);
              return third ? std::string() : what(third);
          }) == "");
    CHECK(group.populated() == true);
    CHECK(groups_in(reactor.group->path()).size() == 1);
    CHECK(group.kill());
    main.wait();
    reactor.pool->give_back(group);
}

TEST_CASE("reactors that start and end at the same time never sweep one that lives") {
    const std::optional<Group> ground = Group::make();
    if (!ground) return;
    const auto start_many = [&]() -> std::string {
        for (unsigned i = 0; i < repeats(200); ++i) {
            const Expected<Pool> pool = CgroupPool::create(ground->place(), 0);
            if (!pool) return what(pool);
            const Expected<Cgroup*> group = (*pool)->acquire(true);
            if (!group) return what(group);
            HOST_CHECK(exists((*group)->path()));
        }
        return {};
    };
    CHECK(support::in_host([&]() -> std::string {
              const pid_t other = fork();
              HOST_CHECK(other >= 0);
              std::string wrong = start_many();
              if (other == 0) _exit(wrong.empty() ? 0 : 1);
              int status = -1;
              HOST_CHECK(waitpid(other, &status, 0) == other);
              HOST_CHECK(status == 0);
              return wrong;
          }) == "");
    CHECK(groups_in(ground->path()).empty());
}

TEST_CASE("what a killed host has left is killed and removed by the next") {
    const std::optional<Group> ground = Group::make();
    if (!ground) return;
    support::Pipe report;
    support::Pipe held_by_jobs;
    const pid_t host = fork();
    REQUIRE(host >= 0);
    if (host == 0) {
        Expected<Pool> pool = CgroupPool::create(ground->place(), 4);
        if (!pool) _exit(1);
        // The jobs have it, and the host has not.
        const int held = fcntl(held_by_jobs.write_end.get(), F_DUPFD, 20);
        std::vector<Process> jobs;
        for (int i = 0; i < 3; ++i) {
            const Expected<Cgroup*> group = (*pool)->acquire(true);
            if (!group || mkdir(((*group)->path() + "/nested").c_str(), 0755) != 0) _exit(2);
            jobs.emplace_back((*group)->directory(), "new-session then ignore 15 then print x then pause");
            if (!jobs.back().has_written()) _exit(3);
        }
        (*pool)->tidy();
        close(held);
        support::write_all(report.write_end.get(), (*pool)->path());
        close(report.write_end.get());
        for (;;) pause();
    }
    held_by_jobs.write_end.reset();
    report.write_end.reset();
    const std::string left = support::read_to_end(report.read_end.get());
    kill(host, SIGKILL);
    int status = 0;
    REQUIRE(waitpid(host, &status, 0) == host);
    CHECK(was_killed(status));
    CHECK(groups_in(left).size() >= 3);
    pollfd held{held_by_jobs.read_end.get(), POLLIN, 0};
    CHECK(poll(&held, 1, 0) == 0);

    const Pool next = make_pool(*ground);
    CHECK(support::await_end(held_by_jobs.read_end.get()));
    // They have closed all, and have yet to leave the group.
    while (number_in(left + "/cgroup.events", "populated") == 1) sched_yield();
    tidy_up(*next);
    CHECK_FALSE(exists(left));
    CHECK(groups_in(ground->path()).size() == 1);
}

TEST_CASE("a forked copy of the host removes nothing") {
    const std::optional<Group> ground = Group::make();
    if (!ground) return;
    Pool pool = make_pool(*ground);
    Cgroup& group = acquire(*pool);
    CHECK(support::in_host([&]() -> std::string {
              pool.reset();
              return {};
          }) == "");
    CHECK(exists(group.path()));
    // Nor has it dropped the lock, which it shares with us.
    static_cast<void>(make_pool(*ground));
    CHECK(exists(group.path()));
    pool->give_back(group);
}

TEST_CASE("shutting down ends all jobs and leaves nothing") {
    const std::optional<Group> ground = Group::make();
    if (!ground) return;
    const Pool pool = make_pool(*ground, 3);
    Process first(acquire(*pool).directory(), "print x then pause");
    Process second(acquire(*pool).directory(), "fork [ new-session then ready then pause ] then print x then pause");
    tidy_up(*pool);
    REQUIRE(first.has_written());
    REQUIRE(second.has_written());
    pool->shut_down();
    CHECK(groups_in(ground->path()).empty());
    CHECK(pool->directory() == -1);
    CHECK_FALSE(pool->needs_tidying());
    CHECK_FALSE(pool->tidy());
    CHECK(was_killed(first.wait()));
    CHECK(was_killed(second.wait()));
    CHECK(second.is_silent());
    pool->shut_down();
}

TEST_CASE("who kills the reactor's group ends all its jobs") {
    const Reactor reactor;
    if (!reactor.pool) return;
    Cgroup& group = acquire(*reactor.pool);
    Process main(group.directory(), "print x then pause");
    REQUIRE(main.has_written());
    CHECK((fcntl(reactor.pool->directory(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK(kill_members(reactor.pool->directory()) == 0);
    CHECK(was_killed(main.wait()));
    reactor.pool->give_back(group);
}

TEST_CASE("groups that somebody else removes are told of, or made anew") {
    const Reactor reactor;
    if (!reactor.pool) return;
    CgroupPool& pool = *reactor.pool;
    Cgroup& lost = acquire(pool, true);
    REQUIRE(rmdir(lost.path().c_str()) == 0);
    CHECK_FALSE(lost.populated().has_value());
    CHECK_FALSE(lost.cpu().has_value());
    CHECK_FALSE(lost.memory_current().has_value());
    std::vector<pid_t> pids;
    CHECK_FALSE(lost.processes(pids));
    CHECK_FALSE(lost.kill());
    CHECK_FALSE(lost.freeze(true));
    const int refused = Process(lost.directory(), "exit 0").error_number();
    CHECK((refused == ENODEV || refused == ENOENT));
    const auto limited = lost.limit_memory(1_MiB);
    REQUIRE_FALSE(limited.has_value());
    CHECK(limited.error().stage == Stage::cgroup);
    CHECK(limited.error().error_number == ENOENT);
    pool.give_back(lost);
    tidy_up(pool);

    // One that was made ahead, or is idle, is replaced without a word.
    Cgroup& used = acquire(pool);
    const std::string path = used.path();
    pool.give_back(used);
    rmdir(path.c_str());
    Cgroup& other = acquire(pool);
    CHECK(other.path() != path);
    pool.give_back(other);
    tidy_up(pool);

    for (const std::string& name : groups_in(pool.path())) rmdir((pool.path() + "/" + name).c_str());
    REQUIRE(rmdir(pool.path().c_str()) == 0);
    const Expected<Cgroup*> none = pool.acquire(false);
    REQUIRE_FALSE(none.has_value());
    CHECK(none.error().stage == Stage::cgroup);
    CHECK(none.error().error_number == ENOENT);
    CHECK(none.error().message.find("has been removed by somebody else") != std::string::npos);
    CHECK_FALSE(none.error().cure.empty());
}

TEST_CASE("with no descriptor left there is an error, and no group remains of the attempt") {
    const std::optional<Group> ground = Group::make();
    if (!ground) return;
    CHECK(support::in_host([&]() -> std::string {
              Expected<Pool> pool = CgroupPool::create(ground->place(), 0);
              if (!pool) return what(pool);
              std::vector<support::Fd> all;
              do {
                  all.emplace_back(open("/dev/null", O_RDONLY | O_CLOEXEC));
              } while (all.back().get() >= 0);
              const Expected<Cgroup*> none = (*pool)->acquire(true);
              HOST_CHECK(!none && none.error().error_number == EMFILE);
              HOST_CHECK(none.error().message.find("no descriptor is left") == 0);
              all.resize(all.size() / 2);
              HOST_CHECK(groups_in((*pool)->path()).empty());
              HOST_CHECK((*pool)->acquire(true).has_value());
              return {};
          }) == "");
}
