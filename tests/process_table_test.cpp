// SPDX-License-Identifier: MIT
//
// Which processes belong to a tree, as /proc tells it: by the kernel's lists of children and by a walk over all.
#include <linux/sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <string>
#include <vector>

#include "accounting/proc_directory.hpp"
#include "accounting/process_stat.hpp"
#include "accounting/process_table.hpp"
#include "accounting/process_tree.hpp"
#include "support.hpp"
#include "watched_child.hpp"

using proctor::detail::can_be_child;
using proctor::detail::parse_process_stat;
using proctor::detail::ProcDirectory;
using proctor::detail::Process;
using proctor::detail::ProcessStat;
using proctor::detail::ProcessTable;
using proctor::detail::ProcessTree;
using proctor::detail::read_process_stat;
using proctor::detail::signal_if_same;
using support::eventually;
using support::WatchedChild;

namespace {

constexpr long ticks_per_second = 100;

ProcDirectory open_proc() {
    auto proc = ProcDirectory::open();
    REQUIRE(proc);
    return std::move(*proc);
}

enum class By { lists, table };

// Looks at a tree in either way.
class Looker {
public:
    explicit Looker(By by) : by_(by) {}

    [[nodiscard]] bool can_look() const {
        if (by_ == By::table || proc_.lists_children()) return true;
        support::skip("the kernel has no lists of children (CONFIG_PROC_CHILDREN)");
        return false;
    }
    void look(ProcessTree& tree) {
        if (by_ == By::lists) {
            CHECK(tree.scan(proc_));
        } else {
            table_.refresh(proc_);
            tree.scan(table_);
        }
    }
    [[nodiscard]] const ProcDirectory& proc() const { return proc_; }

private:
    By by_;
    ProcDirectory proc_ = open_proc();
    ProcessTable table_{};
};

// The member that is neither the root nor in its session.
const Process* stranger(const ProcessTree& tree) {
    for (const Process& member : tree.members()) {
        if (member.stat.session != tree.root()) return &member;
    }
    return nullptr;
}

bool has_pid(const ProcessTree& tree, pid_t pid) { return tree.find(pid) != nullptr; }

// A process with a number of our choice, which has to be free. It waits to be killed; -1 if that is not allowed.
pid_t start_with_number(pid_t number) {
    clone_args arguments{};
    arguments.exit_signal = SIGCHLD;
    arguments.set_tid = reinterpret_cast<std::uint64_t>(&number);
    arguments.set_tid_size = 1;
    const long pid = syscall(SYS_clone3, &arguments, sizeof arguments);
    if (pid == 0) {
        for (;;) pause();
    }
    return static_cast<pid_t>(pid);
}

constexpr const char* stat_text =
    "4242 (a) R 1 ( \n) S 10 20 30 0 -1 4194368 5 6 7 8 11 12 13 14 20 0 3 0 123456 999 88 18446744073709551615 1 2\n";

}  // namespace

TEST_CASE("a stat line is read from behind the last bracket of a name that holds brackets and newlines") {
    const auto stat = parse_process_stat(stat_text, ticks_per_second);
    REQUIRE(stat);
    using std::chrono::milliseconds;
    CHECK(stat->state == 'S');
    CHECK(stat->parent == 10);
    CHECK(stat->group == 20);
    CHECK(stat->session == 30);
    CHECK(stat->never_executed());
    CHECK(stat->utime == milliseconds(110));
    CHECK(stat->stime == milliseconds(120));
    CHECK(stat->waited_utime == milliseconds(130));
    CHECK(stat->waited_stime == milliseconds(140));
    CHECK(stat->threads == 3);
    CHECK(stat->start_time == 123456);
}

TEST_CASE("a stat line that is cut, or holds what is no number, says nothing") {
    const std::string text = stat_text;
    const std::size_t enough = text.find("123456");
    for (std::size_t size = 0; size < enough; ++size) {
        // On the heap and of this size, so that AddressSanitizer sees a read behind the end.
        const std::vector<char> cut(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(size));
        CHECK_FALSE(parse_process_stat({cut.data(), cut.size()}, ticks_per_second));
    }
    CHECK_FALSE(parse_process_stat("1 (a) S x 20 30 0 -1 0 5 6 7 8 11 12 13 14 20 0 3 0 123456", ticks_per_second));
    CHECK_FALSE(parse_process_stat("1 (a) SS 1 20 30 0 -1 0 5 6 7 8 11 12 13 14 20 0 3 0 123456", ticks_per_second));
}

TEST_CASE("times that no clock can reach are the greatest that there are") {
    const auto stat = parse_process_stat("1 (a) S 1 1 1 0 -1 0 5 6 7 8 9223372036854775807 -5 0 0 20 0 1 0 1", 100);
    REQUIRE(stat);
    CHECK(stat->utime > std::chrono::hours(24 * 365 * 250));
    CHECK(stat->stime.count() == 0);
}

TEST_CASE("a tree is its root and all that descends from it") {
    By by{};
    SUBCASE("by lists of children") { by = By::lists; }
    SUBCASE("by a walk over all processes") { by = By::table; }
    Looker looker(by);
    if (!looker.can_look()) return;
    WatchedChild child(
        "fork [ fork [ ready then await-end 0 ] then ready then await-end 0 ] then print r then await-end 0");
    REQUIRE(child.await());
    ProcessTree tree(child.pid());
    looker.look(tree);
    CHECK(tree.members().size() == 3);
    CHECK(tree.process_count() == 3);
    CHECK(tree.task_count() == 3);
    CHECK(has_pid(tree, child.pid()));
    CHECK_FALSE(has_pid(tree, getpid()));
    const auto is_earlier = [](const Process& left, const Process& right) { return left.pid < right.pid; };
    CHECK(std::is_sorted(tree.members().begin(), tree.members().end(), is_earlier));
    CHECK(child.end());
    CHECK(eventually([&] {
        looker.look(tree);
        return tree.process_count() == 0;
    }));
}

TEST_CASE("children of a second thread, and of a process whose first thread has ended, are found") {
    By by{};
    SUBCASE("by lists of children") { by = By::lists; }
    SUBCASE("by a walk over all processes") { by = By::table; }
    Looker looker(by);
    if (!looker.can_look()) return;
    WatchedChild child(
        "thread [ fork [ ready then await-end 0 ] then print r then await-end 0 then exit 0 ] then end-thread");
    REQUIRE(child.await());
    ProcessTree tree(child.pid());
    CHECK(eventually([&] {
        looker.look(tree);
        const Process* const root = tree.find(child.pid());
        return root != nullptr && root->stat.first_thread_dead();
    }));
    CHECK(tree.process_count() == 2);
    CHECK(tree.task_count() == 3);
}

TEST_CASE("a tree of 200 processes") {
    By by{};
    SUBCASE("by lists of children") { by = By::lists; }
    SUBCASE("by a walk over all processes") { by = By::table; }
    Looker looker(by);
    if (!looker.can_look()) return;
    std::string words;
    for (int i = 1; i < 200; ++i) words += "fork [ ready then await-end 0 ] then ";
    WatchedChild child(words + "print r then await-end 0");
    REQUIRE(child.await());
    ProcessTree tree(child.pid());
    looker.look(tree);
    CHECK(tree.process_count() == 200);
    CHECK(tree.members().size() == 200);
}

TEST_CASE("a dead process that nobody has waited for is a task and no process") {
    By by{};
    SUBCASE("by lists of children") { by = By::lists; }
    SUBCASE("by a walk over all processes") { by = By::table; }
    Looker looker(by);
    if (!looker.can_look()) return;
    WatchedChild child("fork [ exit 0 ] then print r then await-end 0");
    REQUIRE(child.await());
    ProcessTree tree(child.pid());
    CHECK(eventually([&] {
        looker.look(tree);
        return tree.process_count() == 1;
    }));
    CHECK(tree.members().size() == 2);
    CHECK(tree.task_count() == 2);
}

TEST_CASE("a stopped process is a process") {
    By by{};
    SUBCASE("by lists of children") { by = By::lists; }
    SUBCASE("by a walk over all processes") { by = By::table; }
    Looker looker(by);
    if (!looker.can_look()) return;
    WatchedChild child("raise 19");
    siginfo_t info{};
    REQUIRE(waitid(P_PID, static_cast<id_t>(child.pid()), &info, WSTOPPED | WNOWAIT) == 0);
    ProcessTree tree(child.pid());
    looker.look(tree);
    REQUIRE(tree.process_count() == 1);
    CHECK(tree.members().front().stat.state == 'T');
}

TEST_CASE("a process may call itself anything") {
    By by{};
    SUBCASE("by lists of children") { by = By::lists; }
    SUBCASE("by a walk over all processes") { by = By::table; }
    Looker looker(by);
    if (!looker.can_look()) return;
    WatchedChild child({"fork", "[", "rename", "x) S 1 1 1\n(", "then", "ready", "then", "await-end", "0", "]", "then",
                        "print", "r", "then", "await-end", "0"});
    REQUIRE(child.await());
    ProcessTree tree(child.pid());
    looker.look(tree);
    REQUIRE(tree.members().size() == 2);
    CHECK(std::count_if(tree.members().begin(), tree.members().end(),
                        [&](const Process& member) { return member.stat.parent == child.pid(); }) == 1);
}

TEST_CASE("what was seen stays in the tree when its parent dies, and so does what it starts then") {
    By by{};
    SUBCASE("by lists of children") { by = By::lists; }
    SUBCASE("by a walk over all processes") { by = By::table; }
    Looker looker(by);
    if (!looker.can_look()) return;
    // In a session of its own, so that nothing but the memory of the tree leads to it.
    WatchedChild child(
        "fork [ fork [ new-session then ready then await-orphaned then fork [ ready then await-end 0 ] then print o "
        "then await-end 0 ] then ready then await-byte 0 ] then print r then await-end 0");
    REQUIRE(child.await());
    ProcessTree tree(child.pid());
    looker.look(tree);
    CHECK(tree.process_count() == 3);
    const Process* const escaped = stranger(tree);
    REQUIRE(escaped != nullptr);
    const pid_t pid = escaped->pid;

    CHECK(kill(escaped->stat.parent, SIGKILL) == 0);
    REQUIRE(child.await());
    looker.look(tree);
    REQUIRE(has_pid(tree, pid));
    CHECK(tree.find(pid)->stat.parent != child.pid());
    CHECK(tree.process_count() == 3);  // the root, and two that are not below it any more

    ProcessTree another(child.pid());
    looker.look(another);
    CHECK_FALSE(has_pid(another, pid));

    CHECK(signal_if_same(looker.proc(), *tree.find(pid), SIGKILL) == 0);
    CHECK(child.end());
}

TEST_CASE("a walk over all processes finds what lost its parent unseen, if it stayed in the session") {
    Looker looker(By::table);
    WatchedChild child(
        "fork [ fork [ ready then await-orphaned then print o then await-end 0 ] then ready ] then print r then "
        "await-end 0");
    REQUIRE(child.await(2));
    ProcessTree tree(child.pid());
    CHECK(eventually([&] {  // the one between is dead, and the root does not wait for it
        looker.look(tree);
        return tree.process_count() == 2;
    }));
    CHECK(tree.members().size() == 3);
}

TEST_CASE("a walk over all processes finds an orphan by the session alone, and by the group alone") {
    Looker looker(By::table);
    // The first child has a group of its own, and an orphan in it; the second is an orphan with a group of its own.
    WatchedChild child(
        "fork [ new-group then fork [ fork [ ready then await-orphaned then print o then await-end 0 ] then ready ] "
        "then reap then ready then await-end 0 ] then fork [ fork [ new-group then ready then await-orphaned then "
        "print o then await-end 0 ] then ready ] then print r then await-end 0");
    REQUIRE(child.await(3));
    ProcessTree all(child.pid());
    looker.look(all);
    CHECK(all.process_count() == 4);
    const auto leader = std::find_if(all.members().begin(), all.members().end(), [&](const Process& member) {
        return member.stat.group == member.pid && member.stat.parent == child.pid();
    });
    REQUIRE(leader != all.members().end());
    ProcessTree group(leader->pid);
    looker.look(group);
    CHECK(group.process_count() == 2);
}

TEST_CASE("a child whose root is reaped leaves an empty tree") {
    By by{};
    SUBCASE("by lists of children") { by = By::lists; }
    SUBCASE("by a walk over all processes") { by = By::table; }
    Looker looker(by);
    if (!looker.can_look()) return;
    WatchedChild child("print r then await-end 0");
    REQUIRE(child.await());
    ProcessTree tree(child.pid());
    looker.look(tree);
    const Process seen = tree.members().front();
    CHECK(signal_if_same(looker.proc(), seen, 0) == 0);
    child.kill_group();
    child.reap();
    looker.look(tree);
    CHECK(tree.members().empty());
    CHECK(signal_if_same(looker.proc(), seen, SIGKILL) == -ESRCH);
}

TEST_CASE("a number that is used again is somebody else") {
    By by{};
    SUBCASE("by lists of children") { by = By::lists; }
    SUBCASE("by a walk over all processes") { by = By::table; }
    Looker looker(by);
    if (!looker.can_look()) return;
    WatchedChild child("print r then await-end 0");
    REQUIRE(child.await());
    ProcessTree tree(child.pid());
    looker.look(tree);
    REQUIRE(tree.members().size() == 1);
    const Process seen = tree.members().front();
    child.kill_group();
    child.reap();

    const auto boot_time_ticks = [] {
        timespec time{};
        clock_gettime(CLOCK_BOOTTIME, &time);
        return static_cast<std::uint64_t>(time.tv_sec) * 100 + static_cast<std::uint64_t>(time.tv_nsec) / 10'000'000;
    };
    REQUIRE(eventually([&] { return boot_time_ticks() > seen.stat.start_time; }));
    const pid_t other = start_with_number(seen.pid);
    if (other < 0) {
        support::skip("the number of a process cannot be chosen here, or was taken by another");
        return;
    }
    looker.look(tree);
    CHECK(tree.members().empty());
    CHECK(signal_if_same(looker.proc(), seen, SIGKILL) == -ESRCH);
    CHECK(read_process_stat(looker.proc(), other));
    kill(other, SIGKILL);
    waitpid(other, nullptr, 0);
}

TEST_CASE("a child is not older than its parent") {
    ProcessStat older;
    ProcessStat younger;
    older.start_time = 5;
    younger.start_time = 6;
    CHECK(can_be_child(younger, older));
    CHECK(can_be_child(older, older));
    CHECK_FALSE(can_be_child(older, younger));  // the number of its parent was given to another
}

TEST_CASE("one walk serves many trees") {
    const ProcDirectory proc = open_proc();
    WatchedChild first("fork [ ready then await-end 0 ] then print r then await-end 0");
    WatchedChild second("print r then await-end 0");
    REQUIRE(first.await());
    REQUIRE(second.await());
    ProcessTable table;
    table.refresh(proc);
    CHECK(table.find(getpid()) != nullptr);
    CHECK(table.find(2'000'000'000) == nullptr);
    ProcessTree trees[] = {ProcessTree(first.pid()), ProcessTree(second.pid()), ProcessTree(getpid())};
    for (ProcessTree& tree : trees) tree.scan(table);
    CHECK(trees[0].process_count() == 2);
    CHECK(trees[1].process_count() == 1);
    CHECK(trees[2].process_count() == 4);
}
