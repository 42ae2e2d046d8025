// SPDX-License-Identifier: MIT
//
// When a tree that nothing but its process group holds together is looked for among all processes, and when that can be
// spared. The last id that the kernel gave comes from a file of the test, so other processes of the machine do not
// count.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "accounting/birth_watch.hpp"
#include "accounting/process_stat.hpp"
#include "accounting/process_table.hpp"
#include "containment/job_tree.hpp"
#include "support.hpp"
#include "watched_child.hpp"

using proctor::detail::BirthWatch;
using proctor::detail::ChildProcess;
using proctor::detail::JobTree;
using proctor::detail::ProcDirectory;
using proctor::detail::Process;
using proctor::detail::ProcessTable;
using proctor::detail::ProcessTree;
using proctor::detail::read_process_stat;
using proctor::detail::TreeTools;
using proctor::detail::UniqueFd;
using support::eventually;
using support::WatchedChild;

namespace {

// So great that no test takes as long as all ids take.
constexpr pid_t never_round = 1'000'000'000;

/// What /proc/sys/kernel/ns_last_pid would tell.
class LastId {
public:
    LastId() : file_(memfd_create("last", MFD_CLOEXEC)) {
        REQUIRE(file_.get() >= 0);
        set(1);
    }

    void set(pid_t id) const {
        const std::string text = std::to_string(id) + "\n";
        REQUIRE(ftruncate(file_.get(), 0) == 0);
        REQUIRE(pwrite(file_.get(), text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
    }
    [[nodiscard]] BirthWatch watch(pid_t end = never_round) const {
        return {UniqueFd(fcntl(file_.get(), F_DUPFD_CLOEXEC, 0)), end};
    }

private:
    support::Fd file_;
};

BirthWatch::Moment look(BirthWatch& births) {
    const auto moment = births.look();
    REQUIRE(moment);
    return *moment;
}

/// A tree of one job, begun when its main process had come as far as its script says.
class Tree {
public:
    Tree(TreeTools& tools, const WatchedChild& child)
        : child_(child.pid(), UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, child.pid(), 0))), false), tree(tools) {
        REQUIRE(child_);
        REQUIRE(tree.prepare({}));
        tree.begin(child_);
    }
    ~Tree() { tree.clear(); }
    Tree(const Tree&) = delete;
    Tree& operator=(const Tree&) = delete;

    /// As a run with a limit of processor time ends, whose main process is dead.
    void end() {
        (void)tree.cpu();
        tree.kill(false);
        tree.look_before_reaping();
    }

private:
    ChildProcess child_;

public:
    JobTree tree;
};

void open_proc(TreeTools& tools) {
    auto proc = ProcDirectory::open();
    REQUIRE(proc);
    tools.proc.emplace(std::move(*proc));
}

bool is_gone(const Process& process) {
    auto proc = ProcDirectory::open();
    REQUIRE(proc);
    return eventually([&] {
        const auto stat = read_process_stat(*proc, process.pid);
        return !stat || stat->start_time != process.stat.start_time || stat->dead();
    });
}

/// The other process of a tree of two.
Process other_of(const WatchedChild& child) {
    auto proc = ProcDirectory::open();
    REQUIRE(proc);
    ProcessTable table;
    table.refresh(*proc);
    ProcessTree tree(child.pid());
    tree.scan(table);
    REQUIRE(tree.members().size() == 2);
    return tree.members()[tree.members()[0].pid == child.pid() ? 1 : 0];
}

}  // namespace

TEST_CASE("nobody was born while the last id that was given is the same") {
    const LastId last;
    last.set(1000);
    BirthWatch births = last.watch();
    const auto first = look(births);
    CHECK(BirthWatch::others_between(first, look(births)) == 0U);
    last.set(1003);
    const auto second = look(births);
    CHECK(BirthWatch::others_between(first, second) == 3U);
    CHECK(BirthWatch::others_between(second, look(births)) == 0U);
}

TEST_CASE("children of the host are not counted among the others") {
    const LastId last;
    last.set(1000);
    BirthWatch births = last.watch();
    const auto birth = births.note_own(1001);
    births.note_own(1002);
    last.set(1003);
    births.note_own(1003);
    CHECK(BirthWatch::others_between(birth, look(births)) == 0U);
    last.set(1004);
    CHECK(BirthWatch::others_between(birth, look(births)) == 1U);
    births.note_own(1006);  // 1005 was in use, or somebody's for a moment
    last.set(1006);
    CHECK(BirthWatch::others_between(birth, look(births)) == 2U);
}

TEST_CASE("ids that begin again count on") {
    const LastId last;
    last.set(32'766);
    BirthWatch births = last.watch(never_round);
    const auto before = look(births);
    last.set(300);
    const auto others = BirthWatch::others_between(before, look(births));
    REQUIRE(others);
    CHECK(*others > 0);
}

TEST_CASE("after a time in which ids may have been given round once nothing is certain") {
    const LastId last;
    last.set(1000);
    BirthWatch births = last.watch(0);  // which is no time
    const auto before = look(births);
    CHECK_FALSE(BirthWatch::others_between(before, look(births)));
}

TEST_CASE("where the kernel does not tell the last id nothing is known") {
    BirthWatch births;
    births.note_own(1000);
    CHECK_FALSE(births.look());
    const LastId last;
    BirthWatch other(UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC)), never_round);
    CHECK_FALSE(other.look());
}

TEST_CASE("the kernel tells the id of a child that was just born, or a later one") {
    BirthWatch births = BirthWatch::open();
    if (!births.look()) return support::skip("the kernel does not tell the last id (CONFIG_CHECKPOINT_RESTORE)");
    CHECK(eventually([&] {
        const auto before = births.look();
        const WatchedChild child("print r then await-end 0");
        const auto birth = births.note_own(child.pid());
        const auto after = births.look();
        REQUIRE(before);
        REQUIRE(after);
        // Others may be born meanwhile, and a long pause makes it uncertain: then once more.
        return BirthWatch::others_between(birth, *after) == 0U && BirthWatch::others_between(*before, *after) == 0U;
    }));
}

TEST_CASE("a job of one process costs no walk, with a limit of processor time either") {
    const LastId last;
    TreeTools tools;
    open_proc(tools);
    tools.births = last.watch();
    const WatchedChild child("exit 0");
    child.await_death();
    last.set(child.pid());
    Tree job(tools, child);
    CHECK(job.tree.cpu() > proctor::detail::Nanoseconds::zero());
    job.end();
    CHECK(tools.walks == 0);
    CHECK_FALSE(tools.table);
}

TEST_CASE("a living job of one process is looked at without a walk") {
    const LastId last;
    TreeTools tools;
    open_proc(tools);
    tools.births = last.watch();
    WatchedChild child("print r then await-end 0");
    REQUIRE(child.await());
    last.set(child.pid());
    Tree job(tools, child);
    CHECK(job.tree.look().processes == 1);
    CHECK(job.tree.cpu_to_the_moment() > proctor::detail::Nanoseconds::zero());
    job.tree.kill(true);
    child.await_death();
    job.end();
    CHECK(tools.walks == 0);
}

TEST_CASE("who was born since and left the group is killed at the end") {
    const LastId last;
    TreeTools tools;
    open_proc(tools);
    WatchedChild child("fork [ new-group then ready then print r then pause ] then await-end 0 then exit 0");
    REQUIRE(child.await());
    const Process other = other_of(child);
    pid_t last_id = other.pid;
    bool walks = false;
    SUBCASE("among the few that were born since") {
        // The machine may have given others in between.
        walks = last_id < child.pid() || last_id - child.pid() > 64;
    }
    SUBCASE("among many") {
        last_id = child.pid() + 1000;
        walks = true;
    }
    SUBCASE("where the last id is not known") {
        last_id = 0;
        walks = true;
    }
    tools.births = last.watch();
    last.set(last_id);
    Tree job(tools, child);
    // Its own output is held by the other.
    child.tell_end();
    child.await_death();
    job.end();
    CHECK((tools.walks > 0) == walks);
    CHECK(is_gone(other));
}

TEST_CASE("one walk serves all that end together") {
    const LastId last;
    std::vector<std::unique_ptr<WatchedChild>> children;
    for (int i = 0; i < 5; ++i) {
        children.push_back(std::make_unique<WatchedChild>("exit 0"));
        children.back()->await_death();
    }
    // A process of the machine that ends during a walk may have left one behind: then there is another walk.
    CHECK(eventually([&] {
        TreeTools tools;
        open_proc(tools);
        tools.births = last.watch();
        std::vector<std::unique_ptr<Tree>> jobs;
        jobs.reserve(children.size());
        for (const auto& child : children) jobs.push_back(std::make_unique<Tree>(tools, *child));
        last.set(never_round / 2);
        for (const auto& job : jobs) job->end();
        return tools.walks == 1;
    }));
}

TEST_CASE("who is born after a walk is not taken to be in it") {
    const LastId last;
    TreeTools tools;
    open_proc(tools);
    tools.births = last.watch();
    const WatchedChild first("exit 0");
    first.await_death();
    WatchedChild second("print r then await-end 0 then fork [ new-group then ready then pause ] then exit 0");
    REQUIRE(second.await());
    Tree first_job(tools, first);
    Tree second_job(tools, second);
    last.set(never_round / 2);
    first_job.end();
    const auto before = tools.walks;
    CHECK(before > 0);
    second.tell_end();
    second.await_death();
    last.set(never_round / 2 + 1);
    second_job.end();
    CHECK(tools.walks > before);
    CHECK(second.end());  // nobody holds its output
}

TEST_CASE("few ids that were asked for a job do not tell of one whose id is greater as ids have come round since") {
    const LastId last;
    TreeTools tools;
    open_proc(tools);
    tools.births = last.watch();
    WatchedChild low("exit 0");
    low.await_death();
    WatchedChild high("fork [ new-group then ready then print r then pause ] then await-end 0 then exit 0");
    REQUIRE(high.await());
    const Process other = other_of(high);
    // Told in this order, as if the greatest id was that of the first.
    Tree high_job(tools, high);
    Tree low_job(tools, low);
    last.set(other.pid - 1);
    high.tell_end();
    high.await_death();
    low_job.end();
    high_job.end();
    CHECK(is_gone(other));
}
