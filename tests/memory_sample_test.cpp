// SPDX-License-Identifier: MIT
//
// Memory of a tree from /proc: every page once, whoever maps it.
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <string>
#include <vector>

#include <proctor/units.hpp>

#include "accounting/address_space.hpp"
#include "accounting/memory_sample.hpp"
#include "accounting/proc_text.hpp"
#include "accounting/process_tree.hpp"
#include "support.hpp"
#include "watched_child.hpp"

using namespace proctor::literals;
using proctor::Bytes;
using proctor::detail::find_address_spaces;
using proctor::detail::LineReader;
using proctor::detail::looks_like_vfork;
using proctor::detail::MemorySample;
using proctor::detail::parse_memory_rollup;
using proctor::detail::parse_memory_status;
using proctor::detail::ProcDirectory;
using proctor::detail::Process;
using proctor::detail::ProcessTable;
using proctor::detail::ProcessTree;
using proctor::detail::read_memory;
using proctor::detail::read_proportional_memory;
using proctor::detail::same_address_space;
using proctor::detail::TreeMemory;
using support::eventually;
using support::WatchedChild;

namespace {

// A helper's own pages, page tables' rounding, and what the kernel's counters may be off.
constexpr Bytes slack = 8_MiB;

// A tree and its memory.
class Watch {
public:
    explicit Watch(pid_t root, std::optional<Bytes> limit = std::nullopt, bool mem_maps_filter = true)
        : tree_(root), memory_(mem_maps_filter, limit) {}

    TreeMemory& look() {
        look_at_tree();
        memory_.look(*proc_, tree_.members());
        return memory_;
    }
    ProcessTree& look_at_tree() {
        table_.refresh(*proc_);
        tree_.scan(table_);
        return tree_;
    }
    // What all processes map, added up.
    Bytes sum_of_all() {
        Bytes sum = 0;
        for (const Process& member : look_at_tree().members()) {
            sum += read_memory(*proc_, member.pid).value_or(MemorySample{}).figure(true);
        }
        return sum;
    }
    std::size_t address_spaces() {
        std::vector<pid_t> ids;
        find_address_spaces(*proc_, look_at_tree().members(), ids);
        return ids.size();
    }
    // What a failed check should show.
    std::string describe() {
        std::string text = "held " + std::to_string(memory_.held()) + ", confirmed " +
                           std::to_string(memory_.confirmations()) + " times, root " + std::to_string(tree_.root());
        for (const Process& member : look_at_tree().members()) {
            text += "; " + std::to_string(member.pid) + " in state " + member.stat.state + " has " +
                    std::to_string(read_memory(*proc_, member.pid).value_or(MemorySample{}).figure(true));
        }
        return text;
    }
    [[nodiscard]] const ProcDirectory& proc() const { return *proc_; }
    [[nodiscard]] pid_t other_than_root() {
        for (const Process& member : look_at_tree().members()) {
            if (member.pid != tree_.root()) return member.pid;
        }
        return -1;
    }

private:
    tl::expected<ProcDirectory, proctor::Error> proc_ = ProcDirectory::open();
    ProcessTable table_{};
    ProcessTree tree_;
    TreeMemory memory_;
};

constexpr const char* status_text =
    "Name:\tx\nVmRSS:\t    2228 kB\nRssAnon:\t     148 kB\nRssFile:\t    2080 kB\nRssShmem:\t       4 kB\n"
    "VmData:\t 240 kB\nVmSwap:\t       8 kB\nHugetlbPages:\t       0 kB\nThreads:\t1\n";

constexpr const char* rollup_text =
    "00400000-7fff00000000 ---p 00000000 00:00 0    [rollup]\nRss:   4 kB\nPss:    3 kB\nPss_Dirty:   1 kB\nPss_Anon:  "
    "11 kB\n"
    "Pss_File:  12 kB\nPss_Shmem:  13 kB\nSwap:  99 kB\nSwapPss:  14 kB\nLocked:  0 kB\n";

bool may_look_like_a_debugger(pid_t pid) {
    auto proc = ProcDirectory::open();
    if (proc && read_proportional_memory(*proc, pid)) return true;
    support::skip("smaps_rollup may not be read, or the kernel has none");
    return false;
}

}  // namespace

TEST_CASE("the texts of status and smaps_rollup") {
    const auto status = parse_memory_status(status_text);
    REQUIRE(status);
    CHECK(status->anonymous == 148_KiB);
    CHECK(status->file == 2080_KiB);
    CHECK(status->shared == 4_KiB);
    CHECK(status->swapped == 8_KiB);
    CHECK(status->figure(true) == 160_KiB);
    CHECK(status->figure(false) == 2232_KiB);
    const auto rollup = parse_memory_rollup(rollup_text);
    REQUIRE(rollup);
    CHECK(rollup->figure(true) == 38_KiB);
    CHECK(rollup->figure(false) == 36_KiB);
    CHECK_FALSE(parse_memory_status("Name:\tx\nState:\tZ (zombie)\nThreads:\t1\n"));
    CHECK_FALSE(parse_memory_rollup(""));
    CHECK_FALSE(
        parse_memory_status("RssAnon:\t99999999999999999999 kB\nRssFile:\t9223372036854775807 kB\nRssShmem:\t1\n"));
    CHECK_FALSE(parse_memory_status("RssAnon:\t-1 kB\nRssAnonymous:\t5 kB\nRssAnon"));
}

TEST_CASE("a text that is cut anywhere does no harm") {
    const std::string text = std::string(status_text) + rollup_text;
    for (std::size_t size = 0; size < text.size(); ++size) {
        const std::vector<char> cut(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(size));
        const auto sample = parse_memory_status({cut.data(), cut.size()});
        CHECK(sample.value_or(MemorySample{}).figure(false) <= 2232_KiB);
        CHECK(parse_memory_rollup({cut.data(), cut.size()}).value_or(MemorySample{}).figure(false) <= 36_KiB);
    }
}

TEST_CASE("lines are read however long others are") {
    const std::string longest(4096, 'x');
    const std::string text =
        "first\n" + std::string(400'000, 'g') + "\n\n" + longest.substr(1) + "\n" + longest + "\nlast";
    const support::TempDir dir;
    const support::Fd file = support::open_file(dir.write("lines", text), O_RDONLY | O_CLOEXEC);
    LineReader lines(file.get());
    CHECK(lines.next() == "first");
    CHECK(lines.next() == "");
    CHECK(lines.next() == longest.substr(1));
    CHECK(lines.next() == "last");
    CHECK_FALSE(lines.next());
    CHECK_FALSE(lines.next());
}

TEST_CASE("what one process holds needs no confirming") {
    WatchedChild child("touch-memory 67108864 then print r then await-end 0");
    REQUIRE(child.await());
    Watch watch(child.pid());
    const TreeMemory& memory = watch.look();
    CHECK(memory.held() >= 64_MiB);
    CHECK(memory.held() <= 64_MiB + slack);
    CHECK(memory.peak() == memory.held());
    CHECK(memory.confirmations() == 0);
    CHECK_FALSE(memory.over_limit());
}

TEST_CASE("the peak outlives what was held") {
    WatchedChild child("fork [ touch-memory 67108864 then ready then await-end 0 ] then print r then reap then pause");
    REQUIRE(child.await());
    if (!may_look_like_a_debugger(child.pid())) return;
    Watch watch(child.pid());
    const Bytes peak = watch.look().peak();
    CHECK(peak >= 64_MiB);
    const pid_t holder = watch.other_than_root();
    REQUIRE(holder > 0);  // kill(-1) is for everybody
    kill(holder, SIGKILL);
    // Until it has been waited for: a process that is about to die has given its memory back, but is still one.
    CHECK(eventually([&] { return watch.other_than_root() < 0; }));
    CHECK(watch.look().held() < slack);
    CHECK(watch.look().peak() == peak);
}

TEST_CASE("more than the limit is confirmed") {
    WatchedChild child("touch-memory 67108864 then print r then await-end 0");
    REQUIRE(child.await());
    if (!may_look_like_a_debugger(child.pid())) return;
    Watch under(child.pid(), 64_MiB + slack);
    CHECK_FALSE(under.look().over_limit());
    CHECK(under.look().confirmations() == 0);
    Watch over(child.pid(), 64_MiB - 1);
    CHECK(over.look().over_limit());
    CHECK(over.look().confirmations() > 0);
    CHECK(over.look().exact());
}

TEST_CASE("pages from before a fork count once until they are written to") {
    WatchedChild child(
        "touch-memory 104857600 then fork [ ready then pause ] then fork [ ready then await-byte 0 then "
        "rewrite-memory then print w then await-end 0 ] then print r then reap");
    REQUIRE(child.await());
    if (!may_look_like_a_debugger(child.pid())) return;
    Watch watch(child.pid(), 150_MiB);
    CHECK(watch.sum_of_all() >= 300_MiB);
    const TreeMemory& memory = watch.look();
    CHECK(memory.held() >= 100_MiB);
    CHECK(memory.held() <= 100_MiB + slack);
    CHECK(memory.peak() <= 100_MiB + slack);
    CHECK_FALSE(memory.over_limit());

    // Now it holds twice as much, though the sum of what is mapped stays the same.
    child.tell();
    REQUIRE(child.await());
    const bool crossed = eventually([&] { return watch.look().over_limit(); });
    INFO(watch.describe());
    CHECK(crossed);
    CHECK(memory.held() >= 200_MiB);
    CHECK(memory.held() <= 200_MiB + slack);
    CHECK(memory.peak() == memory.held());
}

TEST_CASE("looking again and again at what is shared does not confirm it each time") {
    WatchedChild child("touch-memory 268435456 then fork [ ready then await-end 0 ] then print r then await-end 0");
    REQUIRE(child.await());
    if (!may_look_like_a_debugger(child.pid())) return;
    Watch watch(child.pid(), 300_MiB);
    constexpr int looks = 100;
    int confirmed = 0;
    for (int i = 0; i < looks; ++i) {
        const TreeMemory& memory = watch.look();
        CHECK_FALSE(memory.over_limit());
        // The sum is above the limit, so what is not confirmed is not known.
        CHECK(memory.unconfirmed() == (memory.confirmations() == confirmed));
        confirmed = memory.confirmations();
    }
    CHECK(watch.look().confirmations() >= 1);
    CHECK(watch.look().confirmations() < looks / 2);
}

TEST_CASE("shared memory counts once") {
    WatchedChild child(
        "touch-shared-memory 67108864 then fork [ rewrite-memory then ready then await-end 0 ] then fork [ "
        "rewrite-memory "
        "then ready then await-end 0 ] then print r then await-end 0");
    REQUIRE(child.await());
    if (!may_look_like_a_debugger(child.pid())) return;
    Watch watch(child.pid());
    CHECK(watch.sum_of_all() >= 192_MiB);
    CHECK(watch.look().held() >= 64_MiB);
    CHECK(watch.look().held() <= 64_MiB + slack);
}

TEST_CASE("a child between vfork and exec has its parent's memory, which counts once") {
    WatchedChild child("touch-memory 67108864 then vfork [ print v then await-end 0 ] then exit 0");
    REQUIRE(child.await());
    Watch watch(child.pid(), 96_MiB);
    CHECK(watch.sum_of_all() >= 128_MiB);
    REQUIRE(watch.look_at_tree().members().size() == 2);
    CHECK(watch.address_spaces() == 1);
    CHECK(looks_like_vfork(watch.proc(), watch.other_than_root(), child.pid()));
    CHECK(watch.look().held() <= 64_MiB + slack);
    CHECK_FALSE(watch.look().over_limit());
    CHECK(watch.look().confirmations() == 0);
}

TEST_CASE("a process that shares its parent's memory for good counts once") {
    WatchedChild child(
        "touch-memory 67108864 then share-memory [ print v then await-end 0 ] then print r then await-end 0");
    REQUIRE(child.await(2));
    Watch watch(child.pid());
    REQUIRE(watch.look_at_tree().members().size() == 2);
    // The numbers are the same, but nobody waits.
    CHECK_FALSE(looks_like_vfork(watch.proc(), watch.other_than_root(), child.pid()));
    if (!same_address_space(child.pid(), child.pid())) {
        support::skip("kcmp is not there or not allowed");
        return;
    }
    CHECK(watch.address_spaces() == 1);
    CHECK(watch.look().held() <= 64_MiB + slack);
}

TEST_CASE("an ordinary fork is told from a vfork, whatever its numbers") {
    WatchedChild child("touch-memory 67108864 then fork [ ready then await-end 0 ] then print r then await-end 0");
    REQUIRE(child.await());
    Watch watch(child.pid());
    CHECK(watch.address_spaces() == 2);
    CHECK_FALSE(looks_like_vfork(watch.proc(), watch.other_than_root(), child.pid()));
}

TEST_CASE("without the right to compare address spaces, a vfork child is known by looks") {
    if (geteuid() != 0) {
        support::skip("another user can only be taken by root");
        return;
    }
    WatchedChild child("touch-memory 67108864 then vfork [ print v then await-end 0 ] then exit 0");
    REQUIRE(child.await());
    Watch watch(child.pid());
    const pid_t vfork_child = watch.other_than_root();
    CHECK(support::in_host([&]() -> std::string {
              HOST_CHECK(setresuid(65534, 65534, 65534) == 0);
              HOST_CHECK(!same_address_space(vfork_child, child.pid()));
              auto proc = ProcDirectory::open();
              HOST_CHECK(proc);
              ProcessTable table;
              table.refresh(*proc);
              ProcessTree tree(child.pid());
              tree.scan(table);
              HOST_CHECK(tree.members().size() == 2);
              TreeMemory memory(true, 32_MiB);
              memory.look(*proc, tree.members());
              HOST_CHECK(memory.held() <= 64_MiB + slack);
              HOST_CHECK(memory.over_limit());
              HOST_CHECK(!memory.exact());
              return {};
          }) == "");
}

TEST_CASE("a process whose first thread has ended still holds its memory") {
    WatchedChild child("touch-memory 67108864 then thread [ print r then await-end 0 then exit 0 ] then end-thread");
    REQUIRE(child.await());
    Watch watch(child.pid());
    CHECK(eventually([&] {
        const auto stat = proctor::detail::read_process_stat(watch.proc(), child.pid());
        return stat && stat->first_thread_dead();
    }));
    CHECK(watch.look().held() >= 64_MiB);
}

TEST_CASE("files that are read do not count, and files that are mapped only without the filter") {
    const support::TempDir dir;
    const std::string file = dir.write("file", std::string(64_MiB, 'x'));
    WatchedChild reader("read-file " + file + " then print r then await-end 0");
    WatchedChild mapper("map-file " + file + " then print r then await-end 0");
    REQUIRE(reader.await());
    REQUIRE(mapper.await());
    CHECK(Watch(reader.pid(), std::nullopt, true).look().held() <= slack);
    CHECK(Watch(reader.pid(), std::nullopt, false).look().held() <= slack);
    struct statfs about {};
    REQUIRE(statfs(file.c_str(), &about) == 0);
    if (about.f_type == TMPFS_MAGIC) return;  // its files are shared memory
    CHECK(Watch(mapper.pid(), std::nullopt, true).look().held() <= slack);
    CHECK(Watch(mapper.pid(), std::nullopt, false).look().held() >= 64_MiB);
}

TEST_CASE("a process that is gone holds nothing") {
    WatchedChild child("touch-memory 67108864 then print r then await-end 0");
    REQUIRE(child.await());
    Watch watch(child.pid());
    const std::vector<Process> seen(watch.look_at_tree().members().begin(), watch.look_at_tree().members().end());
    child.kill_group();
    child.await_death();
    CHECK(watch.look().held() == 0);
    child.reap();
    TreeMemory memory(true, 1);
    memory.look(watch.proc(), seen);
    CHECK(memory.held() == 0);
    CHECK_FALSE(memory.over_limit());
}
