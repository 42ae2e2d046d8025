// SPDX-License-Identifier: MIT
//
// Processor time of a tree without a control group: what lives, what was seen before it died, what was waited for.
#include <sched.h>
#include <sys/resource.h>

#include <chrono>
#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include "accounting/process_cpu.hpp"
#include "support.hpp"
#include "watched_child.hpp"

using namespace std::chrono_literals;
using proctor::detail::account_running;
using proctor::detail::CpuTimes;
using proctor::detail::Nanoseconds;
using proctor::detail::ProcDirectory;
using proctor::detail::process_cpu;
using proctor::detail::ProcessTable;
using proctor::detail::ProcessTree;
using proctor::detail::TreeCpu;
using support::eventually;
using support::WatchedChild;

namespace {

// What the kernel keeps in ticks is up to two of them less for each process that waited for others.
constexpr auto tick_loss = 20ms;

class Watch {
public:
    explicit Watch(pid_t root) : tree_(root) {}

    CpuTimes look() {
        table_.refresh(*proc_);
        tree_.scan(table_);
        const CpuTimes before = cpu_.used();
        cpu_.update(tree_);
        CHECK(cpu_.used().user >= before.user);
        CHECK(cpu_.used().system >= before.system);
        return cpu_.used();
    }
    [[nodiscard]] const ProcessTree& tree() const { return tree_; }
    TreeCpu& cpu() { return cpu_; }

private:
    tl::expected<ProcDirectory, proctor::Error> proc_ = ProcDirectory::open();
    ProcessTable table_{};
    ProcessTree tree_;
    TreeCpu cpu_{};
};

void kill_all_but_root(const ProcessTree& tree) {
    for (const auto& member : tree.members()) {
        if (member.pid != tree.root()) kill(member.pid, SIGKILL);
    }
}

// Runs a process and this one beside each other and before all others, where that may be had: on a busy machine two
// ordinary processes seldom run at the same moment.
class SideBySide {
public:
    explicit SideBySide(pid_t pid) {
        CPU_ZERO(&allowed_);
        sched_getaffinity(0, sizeof allowed_, &allowed_);
        std::vector<unsigned> processors;
        for (unsigned each = 0; each < CPU_SETSIZE; ++each) {
            if (CPU_ISSET(each, &allowed_)) processors.push_back(each);
        }
        if (processors.size() < 2) return;
        bind(0, processors.front());
        bind(pid, processors.back());
        const sched_param first{.sched_priority = 1};
        sched_setscheduler(0, SCHED_FIFO, &first);
        setpriority(PRIO_PROCESS, static_cast<id_t>(pid), -20);  // who has a policy of its own is not accounted
    }
    SideBySide(const SideBySide&) = delete;
    SideBySide& operator=(const SideBySide&) = delete;
    ~SideBySide() {
        const sched_param ordinary{};
        sched_setscheduler(0, SCHED_OTHER, &ordinary);
        sched_setaffinity(0, sizeof allowed_, &allowed_);
    }

private:
    static void bind(pid_t pid, unsigned processor) {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(processor, &one);
        sched_setaffinity(pid, sizeof one, &one);
    }

    cpu_set_t allowed_{};
};

Nanoseconds to_time(timeval time) {
    return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
}

}  // namespace

TEST_CASE("the CPU clock of a process counts from its clone and goes on after its death until it is reaped") {
    WatchedChild child("burn 30 then print r then await-end 0");
    REQUIRE(child.await());
    const auto used = process_cpu(child.pid());
    REQUIRE(used);
    CHECK(*used >= 30ms);
    child.kill_group();
    child.await_death();
    const auto at_death = process_cpu(child.pid());
    REQUIRE(at_death);
    CHECK(*at_death >= *used);
    const pid_t pid = child.pid();
    const rusage usage = child.reap();
    CHECK(to_time(usage.ru_utime) + to_time(usage.ru_stime) >= 30ms);
    CHECK_FALSE(process_cpu(pid));
}

TEST_CASE("what a running process uses is told at once when asked for, and not at the next tick") {
    WatchedChild child("print r then spin");
    REQUIRE(child.await());
    const SideBySide places(child.pid());
    // So many within the shortest tick (1 ms, 4 ms as a rule): without it most looks find nothing new. It need not run
    // all the time, nor do we.
    constexpr int wanted = 5;
    constexpr auto apart = 200us;
    constexpr int tries = 20'000;
    int moved = 0;
    Nanoseconds last{};
    for (int i = 0; i < tries && moved < wanted; ++i) {
        const auto until = std::chrono::steady_clock::now() + apart;
        while (std::chrono::steady_clock::now() < until) std::this_thread::yield();
        account_running(child.pid());
        const Nanoseconds used = process_cpu(child.pid()).value_or(Nanoseconds{});
        moved = used > last ? moved + 1 : 0;
        last = used;
    }
    CHECK(moved == wanted);
    CHECK(sched_getscheduler(child.pid()) == SCHED_OTHER);
}

TEST_CASE("a program that chose its own policy or nice value keeps it") {
    WatchedChild child("print r then spin");
    REQUIRE(child.await());
    const sched_param parameters{};
    SUBCASE("batch") {
        REQUIRE(sched_setscheduler(child.pid(), SCHED_BATCH, &parameters) == 0);
        account_running(child.pid());
        CHECK(sched_getscheduler(child.pid()) == SCHED_BATCH);
    }
    SUBCASE("idle") {
        REQUIRE(sched_setscheduler(child.pid(), SCHED_IDLE, &parameters) == 0);
        account_running(child.pid());
        CHECK(sched_getscheduler(child.pid()) == SCHED_IDLE);
    }
    SUBCASE("nicer") {
        REQUIRE(setpriority(PRIO_PROCESS, static_cast<id_t>(child.pid()), 7) == 0);
        account_running(child.pid());
        CHECK(getpriority(PRIO_PROCESS, static_cast<id_t>(child.pid())) == 7);
    }
    SUBCASE("not passed on") {
        REQUIRE(sched_setscheduler(child.pid(), SCHED_OTHER | SCHED_RESET_ON_FORK, &parameters) == 0);
        account_running(child.pid());
        CHECK(sched_getscheduler(child.pid()) == (SCHED_OTHER | SCHED_RESET_ON_FORK));
    }
}

TEST_CASE("threads and living descendants are included") {
    WatchedChild child(
        "thread [ burn 40 then print r then await-end 0 ] then fork [ burn 30 then ready then await-end 0 ] then "
        "print r then await-end 0");
    REQUIRE(child.await(2));
    Watch watch(child.pid());
    CHECK(watch.look().total() >= 70ms);
}

TEST_CASE("what a process used that is gone stays in the sum, and what is used later comes to it") {
    std::string words =
        "fork [ burn 60 then ready then await-end 0 ] then print r then reap then await-byte 0 then burn 100 then "
        "print s then pause";
    SUBCASE("its parent has waited for it") {}
    SUBCASE("its parent ignores SIGCHLD") { words = "ignore 17 then " + words; }
    WatchedChild child(words);
    REQUIRE(child.await());
    Watch watch(child.pid());
    const Nanoseconds seen = watch.look().total();
    CHECK(seen >= 60ms);
    kill_all_but_root(watch.tree());
    CHECK(eventually([&] {
        watch.look();
        return watch.tree().members().size() == 1;
    }));
    CHECK(watch.look().total() >= seen);
    child.tell();
    REQUIRE(child.await());
    CHECK(watch.look().total() >= 160ms);
}

TEST_CASE("the sum does not fall where two bounds are about different children of one parent") {
    // One that came and went unseen, and was waited for; then one that was seen, and nobody waited for.
    WatchedChild child(
        "print r then await-byte 0 then fork [ burn 100 ] then reap then ignore 17 then fork [ burn 60 then ready then "
        "await-end 0 ] then print s then pause");
    REQUIRE(child.await());
    Watch watch(child.pid());
    watch.look();
    child.tell();
    REQUIRE(child.await());
    const Nanoseconds both = watch.look().total();
    CHECK(both >= 160ms - tick_loss);
    kill_all_but_root(watch.tree());
    CHECK(eventually([&] {
        watch.look();
        return watch.tree().members().size() == 1;
    }));
    CHECK(watch.look().total() >= both);
}

TEST_CASE("a process that came and went between two looks counts if its parent waited for it") {
    WatchedChild child("print r then await-byte 0 then fork [ burn 100 ] then reap then print s then await-end 0");
    REQUIRE(child.await());
    Watch watch(child.pid());
    watch.look();
    child.tell();
    REQUIRE(child.await());
    CHECK(watch.look().total() >= 100ms - tick_loss);
}

TEST_CASE("nothing counts twice, whoever waited for whom and was seen or not, and the rusage gives the rest") {
    // Three generations that burn, die and are waited for, with looks at every stage.
    WatchedChild child(
        "burn 20 then fork [ burn 20 then fork [ burn 20 then ready then await-byte 0 ] then ready then reap then "
        "burn 40 then print s then await-byte 0 ] then print r then reap then print t then await-byte 0");
    Watch watch(child.pid());
    REQUIRE(child.await());
    watch.look();
    child.tell();
    REQUIRE(child.await());
    watch.look();
    child.tell();
    REQUIRE(child.await());
    watch.look();
    child.tell();
    child.await_death();
    const Nanoseconds at_end = watch.look().total();
    const pid_t pid = child.pid();
    const rusage usage = child.reap();
    const CpuTimes truth{to_time(usage.ru_utime), to_time(usage.ru_stime)};
    CHECK(truth.total() >= 80ms);
    CHECK(at_end >= 80ms - 2 * tick_loss);
    CHECK(at_end <= truth.total() + 1ms);  // microseconds of the rusage are rounded down
    watch.cpu().take_rusage(pid, truth);
    const Nanoseconds total = watch.cpu().used().total();
    CHECK(total >= truth.total());
    CHECK(total <= truth.total() + 1ms);
}

TEST_CASE("an orphan that goes stays in the sum") {
    WatchedChild child(
        "fork [ fork [ new-session then burn 40 then ready then await-orphaned then print o then await-end 0 ] then "
        "ready then await-byte 0 ] then print r then reap then await-byte 0 then burn 100 then print s then "
        "pause");
    REQUIRE(child.await());
    Watch watch(child.pid());
    watch.look();
    child.tell();
    REQUIRE(child.await());
    const Nanoseconds seen = watch.look().total();
    CHECK(seen >= 40ms);
    kill_all_but_root(watch.tree());
    CHECK(eventually([&] {
        watch.look();
        return watch.tree().process_count() == 1;
    }));
    CHECK(watch.look().total() >= seen);
    child.tell();
    REQUIRE(child.await());
    CHECK(watch.look().total() >= 140ms);
}

TEST_CASE("time in the kernel and time of the program are told apart") {
    WatchedChild child("burn 200 then print r then await-end 0");
    REQUIRE(child.await());
    Watch watch(child.pid());
    const CpuTimes used = watch.look();
    CHECK(used.user.count() >= 0);
    CHECK(used.system.count() >= 0);
    CHECK(used.user + used.system == used.total());
    CHECK(used.total() >= 200ms);
}
