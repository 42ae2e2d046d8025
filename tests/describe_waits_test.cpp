// SPDX-License-Identifier: MIT
//
// Why a tree is asleep, in words for people.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <vector>

#include "accounting/describe_waits.hpp"
#include "accounting/process_tree.hpp"
#include "accounting/wait_words.hpp"
#include "support.hpp"
#include "watched_child.hpp"

using proctor::detail::awaited_descriptor;
using proctor::detail::describe_waits;
using proctor::detail::parse_system_call;
using proctor::detail::ProcDirectory;
using proctor::detail::Process;
using proctor::detail::ProcessTable;
using proctor::detail::ProcessTree;
using proctor::detail::SystemCall;
using proctor::detail::words_for_call;
using proctor::detail::words_for_function;
using support::eventually;
using support::WatchedChild;

namespace {

std::string describe_tree(pid_t root) {
    const auto proc = ProcDirectory::open();
    REQUIRE(proc);
    ProcessTable table;
    table.refresh(*proc);
    ProcessTree tree(root);
    tree.scan(table);
    std::vector<pid_t> pids{root};
    for (const Process& member : tree.members()) {
        if (member.pid != root) pids.push_back(member.pid);
    }
    return describe_waits(*proc, pids);
}

// Whether the tree comes to be described so. What it does last cannot tell that it has begun: it is asleep then.
bool comes_to(const WatchedChild& child, std::string_view expected) {
    std::string text;
    const bool equal = eventually([&] {
        text = describe_tree(child.pid());
        return text == expected;
    });
    if (!equal) MESSAGE(text);
    return equal;
}

bool calls_can_be_read() {
    if (access("/proc/self/syscall", R_OK) == 0) return true;
    support::skip("the kernel does not tell system calls (CONFIG_HAVE_ARCH_TRACEHOOK)");
    return false;
}

std::string call_text(long number, std::string_view stack = "0x7ffe7ed33d88") {
    return std::to_string(number) + " 0x0 0x1 0x2 0x3 0x4 0x5 " + std::string(stack) + " 0x7f7ebf06b2ad\n";
}

}  // namespace

TEST_CASE("the text of a system call") {
    const auto call = parse_system_call("7 0x12 0xffffffffffffffff 0x3 0x0 0x0 0x0 0x7ffe7ed33d88 0x7f7ebf06b2ad\n");
    REQUIRE(call);
    CHECK(call->number == 7);
    CHECK(call->arguments[0] == 0x12);
    CHECK(call->arguments[1] == ~0ULL);
    CHECK(call->is_native);
    REQUIRE(parse_system_call("-1 0x7ffe7ed33d88 0x7f7ebf06b2ad\n"));
    CHECK(words_for_call(*parse_system_call("-1 0x7ffe7ed33d88 0x7f7ebf06b2ad\n"), {}) ==
          "asleep outside of any system call");
    for (const char* text :
         {"", "running\n", "7", "7 0x", "7 1 2 3 4 5 6 7 8", "7 0x1 0x2 0x3 0x4 0x5 0x6", "-1", "x 0x0"}) {
        CHECK_FALSE(parse_system_call(text));
    }
    const std::string whole = call_text(0);
    for (std::size_t size = 0; size < whole.size(); ++size) {
        const std::vector<char> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
        static_cast<void>(parse_system_call({cut.data(), cut.size()}));
    }
}

TEST_CASE("system calls in words") {
    const auto words = [](long number, std::string_view descriptor = {}) {
        return words_for_call(*parse_system_call(call_text(number)), descriptor);
    };
    CHECK(words(SYS_futex) == "asleep in futex (lock)");
    CHECK(words(SYS_clock_nanosleep) == "asleep in nanosleep");
    CHECK(words(SYS_wait4) == "waiting for a child");
    CHECK(words(SYS_ppoll) == "waiting for descriptors");
    CHECK(words(SYS_read, "stdin") == "reading stdin");
    CHECK(words(SYS_writev, "stdout") == "writing stdout");
    CHECK(words(SYS_recvfrom, "a socket (descriptor 4)") == "receiving from a socket (descriptor 4)");
    CHECK(words(SYS_getpid) == "asleep in system call " + std::to_string(SYS_getpid));
    CHECK(words_for_call({.number = SYS_pselect6, .arguments = {1, 0x1000, 0}}, {}) == "waiting for stdin");
    CHECK(words_for_call({.number = SYS_pselect6, .arguments = {2, 0x1000, 0}}, {}) == "waiting for descriptors");

    CHECK(awaited_descriptor({.number = SYS_read, .arguments = {0xdead00000003, 0, 0}}) == 3);
    CHECK_FALSE(awaited_descriptor({.number = SYS_futex, .arguments = {3, 0, 0}}));
}

TEST_CASE("the numbers of a 32-bit program are not taken for ours") {
    const auto call = parse_system_call(call_text(SYS_read, "0xffe3d088"));
    REQUIRE(call);
    CHECK_FALSE(call->is_native);
    CHECK_FALSE(awaited_descriptor(*call));
    CHECK(words_for_call(*call, {}) == "asleep in 32-bit system call " + std::to_string(SYS_read));
}

TEST_CASE("functions of the kernel in words") {
    CHECK(words_for_function("futex_wait_queue") == "asleep in futex (lock)");
    CHECK(words_for_function("pipe_read") == "reading a pipe");
    CHECK(words_for_function("anon_pipe_read") == "reading a pipe");
    CHECK(words_for_function("some_new_wait") == "asleep in the kernel's some_new_wait");
    CHECK(words_for_function("0") == "asleep, for what may not be read");
    CHECK(words_for_function("") == "asleep, for what may not be read");
}

TEST_CASE("a tree in words") {
    if (!calls_can_be_read()) return;
    struct {
        const char* script;
        const char* words;
    } const cases[] = {
        {"await-end 0", "1 process reading stdin"},
        {"await-readable 0", "1 process waiting for descriptors"},
        {"sleep 100000", "1 process asleep in nanosleep"},
        {"pause", "1 process waiting for a signal"},
        {"lock 0 then lock 1 then thread [ lock 0 ] then lock 1", "2 threads asleep in futex (lock)"},
        {"fork [ ready then sleep 100000 ] then reap", "1 process waiting for a child, 1 process asleep in nanosleep"},
        {"fork [ ready then sleep 9999 ] then fork [ ready then sleep 9999 ] then reap",
         "2 processes asleep in nanosleep, 1 process waiting for a child"},
        {"vfork [ pause ]", "1 process waiting for a child to exec, 1 process waiting for a signal"},
        {"raise 19", "1 process stopped by a signal"},
        {"spin", "1 process running"},
        {"thread [ await-end 0 then exit 0 ] then end-thread", "1 thread reading stdin"},
        {"fork [ exit 0 ] then pause", "1 process waiting for a signal, 1 process dead and not waited for"},
    };
    for (const auto& expected : cases) {
        CAPTURE(expected.script);
        const WatchedChild child(expected.script);
        CHECK(comes_to(child, expected.words));
    }
}

TEST_CASE("a full standard output is named") {
    if (!calls_can_be_read()) return;
    const WatchedChild child("fill 1 10000000");
    CHECK(comes_to(child, "1 process writing stdout"));
}

TEST_CASE("another descriptor is named by its kind and number") {
    if (!calls_can_be_read()) return;
    support::Pipe pipe;
    REQUIRE(fcntl(pipe.read_end.get(), F_DUPFD, 100) >= 100);
    const WatchedChild child("await-end 100");
    close(100);
    CHECK(comes_to(child, "1 process reading a pipe (descriptor 100)"));
}

TEST_CASE("a member of a pipeline that reads its predecessor does not read the job's standard input") {
    if (!calls_can_be_read()) return;
    const support::TempDir dir;
    const std::string fifo = dir.file("fifo");
    REQUIRE(mkfifo(fifo.c_str(), 0600) == 0);
    const support::Fd both_ends = support::open_file(fifo, O_RDWR | O_CLOEXEC);
    // The shell waits; what it started has another standard input.
    const WatchedChild child({"fork", "[", "close", "0", "then", "open", fifo, "then", "ready", "then", "await-end",
                              "0", "]", "then", "await-end", "0"});
    const bool known = comes_to(child, "1 process reading stdin, 1 process reading a file (descriptor 0)");
    CHECK(known);
}

TEST_CASE("what may not be read is told") {
    if (geteuid() != 0) {
        support::skip("another user can only be taken by root");
        return;
    }
    const WatchedChild child("print r then await-end 0");
    CHECK(support::in_host([&]() -> std::string {
              HOST_CHECK(setresuid(65534, 65534, 65534) == 0);
              const auto proc = ProcDirectory::open();
              HOST_CHECK(proc);
              const pid_t pids[] = {child.pid()};
              std::string text;
              const bool told = eventually([&] {
                  text = describe_waits(*proc, pids);
                  return text == "1 process asleep, for what may not be read";
              });
              return told ? std::string() : text;
          }) == "");
}

TEST_CASE("nobody is left") {
    const auto proc = ProcDirectory::open();
    REQUIRE(proc);
    CHECK(describe_waits(*proc, {}) == "no process is left");
    const pid_t gone[] = {2'000'000'000};
    CHECK(describe_waits(*proc, gone) == "no process is left");
}
