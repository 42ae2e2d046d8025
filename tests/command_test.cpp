// SPDX-License-Identifier: MIT
//
// The proctor command as scripts use it: its exit status, its messages, the result that it writes, and where its
// options put the command that it runs.
#include <doctest/doctest.h>

#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <proctor/export.hpp>

#include "command_driver.hpp"
#include "forbid_calls.hpp"
#include "support.hpp"
#include "watched_child.hpp"

using namespace std::string_literals;
using namespace command_driver;

// --- Exit statuses and messages

TEST_CASE("success passes on the output and adds nothing") {
    const Finished done = run_script({}, "print hello then print-to 2 oops");
    CHECK(done.status == 0);
    CHECK(done.out == "hello");
    CHECK(done.err == "oops");
}

TEST_CASE("the command's own exit status is proctor's") {
    for (const int status : {1, 3, 77, 255}) {
        const Finished done = run_script({}, "print-to 2 note then exit " + std::to_string(status));
        CHECK(done.status == status);
        CHECK(done.out.empty());
        CHECK(done.err.starts_with("noteproctor: COMMAND exited with status " + std::to_string(status)));
    }
}

TEST_CASE("a command that dies by a signal gives 128 plus its number") {
    const Finished fault = run_script({}, "raise 11");
    CHECK(fault.status == 139);
    CHECK(fault.err.starts_with("proctor: COMMAND was ended by signal 11 (Segmentation fault)"));
    CHECK(contains(fault.err, "debugger"));
    const Finished killed = run_script({}, "raise 9");
    CHECK(killed.status == 137);
    CHECK(contains(killed.err, "signal 9"));
}

TEST_CASE("a limit gives 124 and says which") {
    const support::TempDir directory;
    const std::string result = directory.file("result");
    const Finished done = run_script({"--time-limit", "50ms", "--result", result}, "ignore 15 then spin");
    CHECK(done.status == 124);
    CHECK(done.err.starts_with("proctor: Time limit exceeded"));
    const Json json = Json::of_file(result);
    CHECK(json.text("/outcome") == "fail");
    CHECK(json.text("/reason") == "time_limit");
    CHECK(json.text("/verbose_reason") == "Time limit exceeded");
    CHECK(json.number("/returncode") == -9);
    CHECK(json.number("/signal") == 9);
    CHECK(json.null("/exit_code"));
    CHECK(json.null("/error"));
    CHECK(json.real("/usage/wctime") >= 0.05);
    CHECK(json.real("/limit_events/crossed_at") >= 0.05);
    CHECK(json.real("/limit_events/signalled_at") >= json.real("/limit_events/crossed_at"));
    CHECK(json.real("/limit_events/ended_at") >= json.real("/limit_events/signalled_at"));
}

TEST_CASE("a command that is not found gives 127") {
    const support::TempDir directory;
    const std::string plain = directory.write("plain", "text");
    for (const std::string& program : {"no-such-program-anywhere"s, "/no/such/program"s, directory.file("missing"),
                                       plain + "/below", "./missing"s, ""s}) {
        const std::string result = directory.file("result");
        const Finished done = finish({"run", "--env", "PATH=/usr/bin:/bin", "--result", result, "--", program, "x"});
        INFO(program, ": ", done.err);
        CHECK(done.status == 127);
        CHECK(done.err.starts_with("proctor: "));
        CHECK(contains(done.err, program));
        CHECK(contains(done.err, " — "));
        const Json json = Json::of_file(result);
        CHECK(json.text("/outcome") == "error");
        CHECK(json.text("/error/stage") == "exec");
        CHECK(json.null("/returncode"));
        CHECK(json.null("/usage"));
    }
}

TEST_CASE("a command that is found but cannot be run gives 126") {
    const support::TempDir directory;
    const std::string loop = directory.file("loop");
    REQUIRE(symlink(loop.c_str(), loop.c_str()) == 0);
    const std::string busy = directory.copy_child("busy");
    const support::Fd writer = support::open_file(busy, O_WRONLY | O_CLOEXEC);
    for (const std::string& program :
         {directory.write("no_permission", support::read_file(support::child()), 0644),
          directory.write("no_interpreter_line", "exit 0\n", 0755),
          directory.write("missing_interpreter", "#!/no/such/interpreter\n", 0755), directory.path(), loop, busy}) {
        const Finished done = finish({"run", "--", program});
        INFO(program, ": ", done.err);
        CHECK(done.status == 126);
        CHECK(done.err.starts_with("proctor: "));
        CHECK(contains(done.err, program));
        CHECK(contains(done.err, " — "));
    }
}

TEST_CASE("what proctor cannot do gives 125") {
    const support::TempDir directory;
    const std::string missing = directory.file("missing");
    const std::vector<Words> table = {
        {"run", "--time-limit", "soon", "true"},
        {"run", "--time-limit", "0", "true"},
        {"run", "--no-such-option", "true"},
        {"run", "--result=", "true"},
        {"run", "--cwd", missing, "true"},
        {"run", "--stdin", missing, "true"},
        {"run", "--result", missing + "/x", "true"},
        {"run", "--shell", ""},
        {"run"},
        {"run", "--"},
        {"walk"},
        {"--quiet"},
        {},
    };
    for (const Words& words : table) {
        const Finished done = finish(words);
        INFO(done.err);
        CHECK(done.status == 125);
        CHECK(done.out.empty());
        CHECK(done.err.starts_with("proctor: "));
        CHECK(contains(done.err, " — "));
        CHECK(done.err.find('\n') == done.err.size() - 1);
    }
}

TEST_CASE("help and version") {
    CHECK(finish({"--version"}).out == "proctor " PROCTOR_VERSION "\n");
    for (const Words& words : {Words{"--help"}, Words{"-h"}, Words{"run", "--help"}, Words{"run", "-h"}}) {
        const Finished done = finish(words);
        CHECK(done.status == 0);
        CHECK(contains(done.out, "Usage: proctor run [options] [--] COMMAND [ARG...]"));
        CHECK(done.err.empty());
    }
    const support::Fd full = support::open_file("/dev/full", O_WRONLY | O_CLOEXEC);
    const Collector err;
    CHECK(Command({.words = {"--help"}, .out = full.get(), .err = err.fd()}).wait() == 125);
    CHECK(contains(err.text(), "standard output could not be written"));
}

// --- Result

TEST_CASE("the example of the manual prints 5 and writes its result") {
    if (access("/usr/bin/python3", X_OK) != 0) {
        support::skip("there is no /usr/bin/python3");
        return;
    }
    const support::TempDir directory;
    const std::string result = directory.file("r.json");
    support::Pipe in;
    const Collector out;
    const Collector err;
    support::write_all(in.write_end.get(), "2 3\n");
    in.write_end.reset();
    Command command({.words = {"run", "--stdin", "-", "--result", result, "--", "/usr/bin/python3", "-c",
                               "a,b=map(int,input().split());print(a+b)"},
                     .in = in.read_end.get(),
                     .out = out.fd(),
                     .err = err.fd()});
    CHECK(command.wait() == 0);
    CHECK(out.text() == "5\n");
    CHECK(err.text().empty());

    const Json json = Json::of_file(result);
    CHECK(json.number("/proctor") == 1);
    CHECK(json.text("/outcome") == "pass");
    CHECK(json.null("/reason"));
    CHECK(json.null("/verbose_reason"));
    CHECK(json.number("/returncode") == 0);
    CHECK(json.number("/exit_code") == 0);
    CHECK(json.null("/signal"));
    CHECK(json.real("/usage/wctime") > 0);
    CHECK(json.real("/usage/utime") + json.real("/usage/stime") > 0);
    CHECK(json.text("/sources/engine") == support::engine());
    CHECK(json.number("/streams/stdin/bytes") == 4);
    CHECK(json.number("/streams/stdin/lines") == 1);
    CHECK_FALSE(json.truth("/streams/stdin/truncated"));
    CHECK(json.number("/streams/stdin/unread") == 0);
    CHECK(json.number("/streams/stdout/bytes") == 2);
    CHECK(json.number("/streams/stdout/lines") == 1);
    CHECK_FALSE(json.truth("/streams/stdout/truncated"));
    CHECK(json.number("/streams/stdout/total_bytes") == 2);
    CHECK(json.number("/streams/stdout/total_lines") == 1);
    CHECK(json.number("/streams/stderr/total_bytes") == 0);
    CHECK(json.null("/limit_events/crossed_at"));
    CHECK(json.null("/limit_events/signalled_at"));
    CHECK(json.null("/error"));
}

TEST_CASE("a result on standard output stands there alone") {
    const Finished done = run_script({"--result", "-"}, "print hello then print-to 2 oops then exit 3");
    CHECK(done.status == 3);
    CHECK(done.err.empty());
    const Json json(done.out);
    CHECK(json.number("/exit_code") == 3);
    CHECK(json.number("/streams/stdout/total_bytes") == 5);
    CHECK(json.number("/streams/stderr/total_bytes") == 4);
}

TEST_CASE("the result replaces what was in the file") {
    const support::TempDir directory;
    const std::string result = directory.write("result", support::repeat("old text\n", 10000));
    CHECK(run_script({"--result", result}, "exit 0").status == 0);
    CHECK(Json::of_file(result).text("/outcome") == "pass");
}

TEST_CASE("the result is written also if there was nothing to run") {
    const support::TempDir directory;
    const std::string result = directory.file("result");
    CHECK(finish({"run", "--result", result}).status == 125);
    const Json json = Json::of_file(result);
    CHECK(json.text("/outcome") == "error");
    CHECK(json.text("/error/stage") == "setup");
    CHECK(contains(json.text("/error/message"), "COMMAND"));
    CHECK(json.null("/usage"));
}

// What the command says where io_uring is refused to it; nothing if that cannot be arranged.
static std::optional<Finished> finish_without_io_uring(const std::vector<std::string>& words) {
    constexpr int no_filter = 91;
    Finished done = finish(words, {}, [] {
        if (!support::forbid_io_uring()) {
            _exit(no_filter);
        }
    });
    if (done.status == no_filter) {
        support::skip("the kernel has no seccomp filters");
        return std::nullopt;
    }
    return done;
}

TEST_CASE("where io_uring is forbidden, the poll engine runs jobs, and the result says so") {
    if (const auto done = finish_without_io_uring({"run", "--result", "-", "--", "true"})) {
        CHECK(done->status == 0);
        CHECK(done->err.empty());
        const Json json(done->out);
        CHECK(json.text("/outcome") == "pass");
        CHECK(json.text("/sources/engine") == "poll");
    }
}

TEST_CASE("where io_uring is forbidden and asked for, the result says what to do") {
    const auto done = finish_without_io_uring({"run", "--engine", "io_uring", "--result", "-", "--", "true"});
    if (done) {
        CHECK(done->status == 125);
        CHECK(done->err.starts_with("proctor: setup: "));
        const Json json(done->out);
        CHECK(json.text("/outcome") == "error");
        CHECK(json.text("/sources/engine") == "none");
        CHECK(json.text("/error/stage") == "setup");
        CHECK(json.number("/error/errno") == EPERM);
        CHECK_FALSE(json.text("/error/cure").empty());
        CHECK(json.null("/returncode"));
    }
}

TEST_CASE("doctor tells which engine there is, and how to get the other") {
    if (const auto done = finish_without_io_uring({"doctor"})) {
        CHECK(done->status == 0);
        CHECK(contains(done->out, "engine      yes  poll, "));
        CHECK(contains(done->out, "io_uring    no   the poll engine is used instead"));
        CHECK(contains(done->out, "seccomp profile"));
    }
    CHECK(finish_without_io_uring({"doctor", "--engine", "io_uring"}).value_or(Finished{.status = 125}).status == 125);
}

TEST_CASE("doctor tells what each containment offers, and fails where it cannot be had") {
    const Finished kept = finish({"doctor", "--containment", "keeper"});
    // Where the build has been moved elsewhere, the command finds none.
    const bool can_keep = contains(kept.out, "\nkeeper      yes");
    CHECK(kept.status == (can_keep ? 0 : 125));
    CHECK(contains(kept.out, can_keep ? "\ncontainment yes  a keeper above each job\n" : "\ncontainment no   nothing"));
    CHECK(contains(kept.out, "\nkill        yes  by the keeper") == can_keep);
    CHECK(contains(kept.out, "\ncpu         no   ") == can_keep);
    const Finished tree = finish({"doctor", "--containment", "tree"});
    CHECK(tree.status == 0);
    for (const std::string name : {"containment yes", "cpu         no ", "kill        no ", "memory      no "}) {
        CHECK(contains(tree.out, "\n" + name));
    }
    for (const std::string kind : {"cgroup", "automatic"}) {
        const Finished none = finish({"doctor", "--containment", kind, "--cgroup", "/no/such/group"});
        CHECK(none.status == 125);
        CHECK(contains(none.out, "\ncontainment no   nothing can be run"));
        CHECK(contains(none.out, "\ncgroup      no   no group can be made: "));
        CHECK(contains(none.out, "/no/such/group"));
        CHECK_FALSE(contains(none.out, "\nkill "));
    }
}

TEST_CASE("a wrong word is told with the help of the command that it was for") {
    CHECK(contains(finish({"doctor", "--foo"}).err, "`proctor doctor --help`"));
    CHECK(contains(finish({"replay", "--foo", "-"}).err, "`proctor replay --help`"));
    CHECK_FALSE(contains(finish({"replay", "--foo", "-"}).err, "COMMAND"));
    CHECK(contains(finish({"run", "--foo", "true"}).err, "`proctor run --help`"));
}

TEST_CASE("a file that is to be read is not emptied, whatever its name") {
    const support::TempDir directory;
    const std::string file = directory.write("file", "{\"@\":0.0,\"0\":\"text\\n\"}\n");
    const std::string link = directory.file("link");
    REQUIRE(symlink(file.c_str(), link.c_str()) == 0);
    const std::string before = support::read_file(file);
    for (const std::string& other : {file, link, directory.path() + "/./file"}) {
        for (const std::string reader : {"--stdin", "--replay-input"}) {
            for (const std::string writer : {"--result", "--capture"}) {
                CAPTURE(reader + " " + writer + " " + other);
                const Finished done = finish({"run", reader, file, writer, other, "--", "/bin/cat"});
                CHECK(done.status == 125);
                CHECK(contains(done.err, writer + " " + other + " is the same file as " + reader));
                CHECK(support::read_file(file) == before);
            }
        }
    }
    // Also where neither is there yet.
    const std::string fresh = directory.file("fresh");
    for (const std::string& other : {fresh, directory.path() + "/./fresh"}) {
        CHECK(finish({"run", "--result", fresh, "--capture", other, "--", "true"}).status == 125);
        CHECK(access(fresh.c_str(), F_OK) != 0);
    }
    CHECK(finish({"run", "--result", "-", "--capture", "-", "--", "true"}).status == 125);
    CHECK(finish({"run", "--stdin", "/dev/null", "--result", "/dev/null", "--capture", "/dev/null", "--", "true"})
              .status == 0);
}

TEST_CASE("--file-size, --open-files and --stack are limits of the kernel") {
    CHECK(run_script({"--file-size", "4k", "--open-files", "50", "--stack", "1MiB"},
                     "limit file_size then limit open_files then limit stack")
              .out == "4000 4000\n50 50\n1048576 1048576\n");
}

TEST_CASE("an engine can be chosen") {
    const Finished done = finish({"run", "--engine", "poll", "--result", "-", "--", "true"});
    CHECK(done.status == 0);
    CHECK(Json(done.out).text("/sources/engine") == "poll");
    CHECK(finish({"run", "--engine", "kqueue", "--", "true"}).status == 125);
}

TEST_CASE("bytes that are not UTF-8 in a command's name leave the result valid") {
    const Finished done = finish({"run", "--result", "-", "--", "/no/such/\xff\xfe"});
    CHECK(done.status == 127);
    CHECK(contains(Json(done.out).text("/error/message"), "\xef\xbf\xbd"));
}

TEST_CASE("a result that cannot be opened is told before anything runs") {
    const support::TempDir directory;
    const std::string mark = directory.file("mark");
    const Finished done = run_script({"--result", directory.file("missing/result")}, "write-file " + mark + " x");
    CHECK(done.status == 125);
    CHECK(contains(done.err, "--result"));
    CHECK(access(mark.c_str(), F_OK) != 0);
    CHECK(run_script({"--result", directory.path()}, "exit 0").status == 125);
}

TEST_CASE("a result that cannot be written is told") {
    const Finished done = run_script({"--result", "/dev/full"}, "print hello");
    CHECK(done.status == 125);
    CHECK(done.out == "hello");
    CHECK(contains(done.err, "/dev/full could not be written"));

    support::Pipe out;
    const Collector err;
    out.read_end.reset();
    Command command(
        {.words = run_script_words({"--result", "-"}, "exit 0"), .out = out.write_end.get(), .err = err.fd()});
    CHECK(command.wait() == 125);
    CHECK(contains(err.text(), "standard output could not be written"));
    CHECK(run_script({"--result", "/dev/full", "--time-limit", "10ms"}, "pause").status == 124);
}

TEST_CASE("a result that nobody reads does not outlast a signal") {
    support::Pipe out;
    REQUIRE(fcntl(out.write_end.get(), F_SETPIPE_SZ, 4096) >= 4096);
    const std::string page(static_cast<std::size_t>(fcntl(out.write_end.get(), F_GETPIPE_SZ)), 'x');
    support::write_all(out.write_end.get(), page);
    const Collector err;
    Witness witness;
    Command command({.words = witness.words({"--result", "-"}, "exit 0"), .out = out.write_end.get(), .err = err.fd()});
    REQUIRE(witness.all_gone());
    std::optional<int> status;
    // The first may still find the run going on, and then only the next one is for the writing.
    while (!(status = command.try_wait())) {
        command.kill(SIGTERM);
        sched_yield();
    }
    CHECK(*status == 125);
    CHECK(contains(err.text(), "nobody reads it"));
}

TEST_CASE("a standard error that nobody reads keeps no result from its file, and does not outlast a signal") {
    support::Pipe err;
    REQUIRE(fcntl(err.write_end.get(), F_SETPIPE_SZ, 4096) >= 4096);
    const std::string page(static_cast<std::size_t>(fcntl(err.write_end.get(), F_GETPIPE_SZ)), 'x');
    support::write_all(err.write_end.get(), page);
    const support::TempDir directory;
    const std::string result = directory.file("result");
    Command command(
        {.words = run_script_words({"--result", result, "--time-limit", "50ms"}, "pause"), .err = err.write_end.get()});
    // With the newline, which comes last.
    REQUIRE(support::eventually(
        [&] { return access(result.c_str(), F_OK) == 0 && contains(support::read_file(result), "\n"); }));
    CHECK_FALSE(command.try_wait());
    command.kill(SIGTERM);
    CHECK(command.wait() == 124);
}

TEST_CASE("quiet passes on nothing and tells failures of proctor alone") {
    const support::TempDir directory;
    const std::string result = directory.file("result");
    const Finished failed = run_script({"--quiet", "--result", result}, "print hello then print-to 2 oops then exit 3");
    CHECK(failed.status == 3);
    CHECK(failed.out.empty());
    CHECK(failed.err.empty());
    CHECK(Json::of_file(result).number("/streams/stdout/total_bytes") == 5);
    const Finished limited = run_script({"--quiet", "--time-limit", "20ms"}, "pause");
    CHECK(limited.status == 124);
    CHECK(limited.err.empty());
    CHECK(contains(finish({"run", "--quiet", "/no/such/program"}).err, "/no/such/program"));
}

TEST_CASE("what passes through does not stay in memory, passed on or not") {
    constexpr std::int64_t passing = 96 << 20;
    rusage own{};
    getrusage(RUSAGE_SELF, &own);
    for (const Words& options : {Words{}, Words{"--quiet"}}) {
        Command command({.words = run_script_words(options, "fill 1 100663296 then fill 2 100663296")});
        CHECK(command.wait() == 0);
        CHECK(command.peak_memory() < std::int64_t{own.ru_maxrss} * 1024 + passing);
    }
}

// --- Surroundings

TEST_CASE("--shell gives the text its arguments") {
    const Finished done = finish({"run", "--shell", R"(printf '%s|' "$#" "$1" "$2"; exit 5)", "a b", "--quiet"});
    CHECK(done.out == "2|a b|--quiet|");
    CHECK(done.status == 5);
}

TEST_CASE("--env and --clear-env make the environment") {
    CHECK(run_script({"--clear-env"}, "environment").out.empty());
    CHECK(run_script({"--clear-env", "--env", "A=1", "--env=B=x=y", "--env", "C="}, "environment").out ==
          "A=1\0B=x=y\0C=\0"s);
    CHECK(run_script({"--clear-env", "--env", "A=1", "--env", "A=2"}, "environment").out == "A=2\0"s);
    const std::string inherited = run_script({"--env", "PROCTOR_COMMAND=changed"}, "environment").out;
    CHECK(contains(inherited, "PROCTOR_COMMAND=changed\0"s));
    CHECK(contains(inherited, "PROCTOR_TEST_CHILD=" + support::child()));
}

TEST_CASE("COMMAND is looked up in the PATH that it gets") {
    const support::TempDir directory;
    directory.copy_child("only-here");
    CHECK(finish({"run", "--env", "PATH=" + directory.path(), "only-here", "print", "found"}).out == "found");
    CHECK(finish({"run", "--env", "PATH=/usr/bin:/bin", "only-here"}).status == 127);
}

TEST_CASE("--cwd is where COMMAND starts, and what its path is seen from") {
    const support::TempDir directory;
    directory.copy_child("here");
    CHECK(run_script({"--cwd", directory.path()}, "cwd").out == directory.path());
    CHECK(finish({"run", "--cwd", directory.path(), "./here", "cwd"}).out == directory.path());
}

TEST_CASE("COMMAND gains no privileges unless that is allowed") {
    CHECK(run_script({}, "status NoNewPrivs").out == "1\n");
    CHECK(run_script({"--allow-new-privileges"}, "status NoNewPrivs").out == "0\n");
}

TEST_CASE("--user runs COMMAND as somebody else") {
    if (geteuid() != 0) {
        support::skip("only root may become another user");
        return;
    }
    // The helper may lie where that user cannot go.
    const support::TempDir directory;
    const std::string program = directory.copy_child("program");
    const Words script = split("status Uid then status Gid then groups");
    CHECK(finish(Words{"run", "--user", "12345:54321", "--", program} + script).out ==
          "12345\t12345\t12345\t12345\n54321\t54321\t54321\t54321\n");
    CHECK(finish(Words{"run", "--user", "12345", "--", program} + script).out ==
          "12345\t12345\t12345\t12345\n12345\t12345\t12345\t12345\n");
}

TEST_CASE("the last line is followed by the end of file, and not by another delay") {
    const support::TempDir directory;
    const Collector out;
    Command command({.words = {"run", "--stdin", directory.write("input", "only one\n"), "--input-delay", "24h",
                               "--input-pacing", "fixed", "--", "/bin/cat"},
                     .out = out.fd()});
    CHECK(command.wait() == 0);
    CHECK(out.text() == "only one\n");
}
