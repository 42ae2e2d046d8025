// SPDX-License-Identifier: MIT
//
// Exact order: records come as they were written, and what it costs is what its docs say.
#include "numbered_lines.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <string>

using namespace std::chrono_literals;
using namespace numbered;
using proctor::CaptureRecord;
using proctor::Input;
using proctor::Job;
using proctor::JobHandle;
using proctor::Order;
using proctor::Output;
using proctor::Reactor;
using proctor::RunResult;
using proctor::STDERR;
using proctor::STDIN;
using proctor::STDOUT;
using support::Pipe;
using support::script;

TEST_CASE("exact order is the order of the writes, for runs of any length") {
    for (const int longest : {1, 8, 50}) {
        Findings stored;
        std::int64_t lines = 0;
        const RunResult result = proctor::run(exact(runs(line_count(), longest, longest)));
        INFO(support::describe(result));
        REQUIRE(result.passed());
        std::chrono::nanoseconds before{};
        auto playback = result.capture.playback();
        for (const CaptureRecord& record : playback) {
            look(stored, record);
            lines += std::count(record.data.begin(), record.data.end(), '\n') == 1;  // one record is one write
            REQUIRE(record.time >= before);
            before = record.time;
        }
        CHECK(before <= result.usage->wctime + 10s);
        CHECK(lines == line_count());
        CHECK(stored.next == line_count());
        CHECK(stored.misplaced == 0);
        CHECK(stored.ambiguous == 0);
    }
}

TEST_CASE("exact order holds with a reader that stops now and then, among jobs that flood") {
    Reactor reactor = support::make_reactor();
    Findings seen;
    JobHandle handle;
    Hindrance hindrance(reactor, handle, 500);
    Job job = exact(runs(line_count(), 3, 50));
    job.capture.keep = false;
    submit_floods(reactor);
    handle = reactor.submit(job, {.on_record =
                                      [&](const CaptureRecord& record) {
                                          look(seen, record);
                                          hindrance.after_record();
                                      },
                                  .on_end =
                                      [&](RunResult&& result) {
                                          INFO(support::describe(result));
                                          CHECK(result.passed());
                                      }});
    REQUIRE(reactor.run());
    CHECK(seen.next == line_count());
    CHECK(seen.misplaced == 0);
    CHECK(seen.ambiguous == 0);
}

TEST_CASE("many jobs in exact order, again and again, on the same reactor") {
    Reactor reactor = support::make_reactor();
    const int lines = 2000;
    int ended = 0;
    for (int i = 0; i < support::rounds(100); ++i) {
        reactor.submit(exact(runs(lines, i, 1 + i % 50)), [&](RunResult&& result) {
            Findings stored;
            auto playback = result.capture.playback();
            for (const CaptureRecord& record : playback) look(stored, record);
            INFO(support::describe(result));
            CHECK(result.passed());
            CHECK(stored.next == lines);
            CHECK(stored.misplaced == 0);
            ++ended;
        });
    }
    REQUIRE(reactor.run());
    CHECK(ended == support::rounds(100));
}

TEST_CASE("in exact order both outputs are forwarded as they were written") {
    const support::TempDir dir;
    const int lines = 20'000;
    Job job = exact(runs(lines, 5, 50));
    // One open file, so that the second writer goes on where the first is.
    const support::Fd file = support::open_file(dir.file("both"), O_WRONLY | O_CREAT | O_CLOEXEC);
    job.output = Output::forward(file.get());
    job.error_output = Output::forward(file.get());
    job.capture.keep = false;
    const RunResult result = proctor::run(job);
    INFO(support::describe(result));
    REQUIRE(result.passed());
    Findings found;
    look(found, {.data = support::read_file(dir.file("both"))});
    CHECK(found.next == lines);
    CHECK(found.misplaced == 0);
}

TEST_CASE("in exact order an answer never comes before its question") {
    std::string questions;
    for (int i = 0; i < 2000; ++i) questions += "question " + std::to_string(i) + "\n";
    Job job = exact("copy-to-both");
    job.input = Input::text(questions);
    const RunResult result = proctor::run(job);
    INFO(support::describe(result));
    REQUIRE(result.passed());
    std::size_t asked = 0;
    std::size_t answered[3] = {};
    auto playback = result.capture.playback();
    for (const CaptureRecord& record : playback) {
        (record.stream == STDIN ? asked : answered[record.stream]) += record.data.size();
        REQUIRE(answered[STDOUT] <= asked);
        REQUIRE(answered[STDERR] <= answered[STDOUT]);
    }
    CHECK((result.capture.text(STDOUT) == questions));
    CHECK((result.capture.text(STDERR) == questions));
}

TEST_CASE("in exact order stdin is recorded between what was written before it and what answers it") {
    Pipe pipe;
    Job job = exact("print-to 2 ready then await-byte 0 then print-to 1 thanks");
    job.input = Input::descriptor(pipe.read_end.get());
    Reactor reactor = support::make_reactor();
    reactor.submit(job, {.on_record =
                             [&](const CaptureRecord& record) {
                                 if (record.data == "ready") support::write_all(pipe.write_end.get(), "x");
                                 if (record.data == "x") pipe.write_end.reset();
                             },
                         .on_end =
                             [&](RunResult&& result) {
                                 INFO(support::describe(result));
                                 CHECK(result.passed());
                                 CHECK(records_of(result.capture) == "2:ready 0:x 1:thanks ");
                             }});
    REQUIRE(reactor.run());
}

TEST_CASE("in exact order a large write is one record, or fails as the docs say") {
    const RunResult result = proctor::run(exact("write-once 1 1000000 2"));
    INFO(support::describe(result));
    REQUIRE(result.passed());
    const std::string answer = result.capture.text(STDERR);
    if (answer == "1000000\n") {
        CHECK(result.capture.text(STDOUT) == std::string(1'000'000, 'w'));
        CHECK(result.capture.record_count() == 2);
    } else {
        CHECK((answer == std::to_string(-EMSGSIZE) + "\n" || answer == std::to_string(-ENOBUFS) + "\n"));
        CHECK(result.capture.text(STDOUT).empty());
    }

    const RunResult too_large = proctor::run(exact("write-once 1 4000000 2 then write-once 1 10 2"));
    INFO(support::describe(too_large));
    CHECK(too_large.passed());
    CHECK(too_large.capture.text(STDERR) == std::to_string(-EMSGSIZE) + "\n10\n");
    CHECK(too_large.capture.text(STDOUT) == std::string(10, 'w'));
}

TEST_CASE("in exact order an unprivileged host gets at least what a pipe holds at once") {
    if (geteuid() != 0) {
        support::skip("only root can drop its rights");
        return;
    }
    const support::TempDir dir;
    const std::string program = dir.copy_child("child");
    CHECK(support::in_host([&]() -> std::string {
              if (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0)
                  return "cannot drop rights";
              Job job = exact("write-once 1 65536 2 then write-once 1 4000000 2");
              job.argv[0] = program;
              const RunResult result = proctor::run(job);
              HOST_CHECK_RESULT(result.passed(), result);
              HOST_CHECK_RESULT(result.capture.text(STDERR) == "65536\n" + std::to_string(-EMSGSIZE) + "\n", result);
              HOST_CHECK_RESULT(result.capture.size(STDOUT) == 65536, result);
              return {};
          }) == "");
}

TEST_CASE("in exact order /dev/stdout cannot be opened, and Node.js prints nothing") {
    Job shell;
    shell.shell = "echo x >/dev/stdout; echo y >&2";
    shell.order = Order::exact;
    const RunResult result = proctor::run(shell);
    INFO(support::describe(result));
    CHECK(result.passed());
    CHECK(result.capture.text(STDOUT).empty());
    CHECK(result.capture.text(STDERR).find("/dev/stdout") != std::string::npos);

    Job node;
    node.argv = {"node", "-e", "console.log('x')"};
    node.order = Order::exact;
    const RunResult silent = proctor::run(node);
    if (silent.error && silent.error->error_number == ENOENT) {
        support::skip("there is no node here");
        return;
    }
    INFO(support::describe(silent));
    CHECK(silent.exit_code == 0);
    CHECK(silent.capture.text(STDOUT).empty());
}

TEST_CASE("in exact order a write of nothing is no end of the stream, and leaves no record") {
    const RunResult result =
        proctor::run(exact("write-once 1 0 2 then print a then write-once 1 0 2 then write-once 1 0 2 then print b"));
    INFO(support::describe(result));
    CHECK(result.passed());
    CHECK(records_of(result.capture) == "2:0\n 1:a 2:0\n 2:0\n 1:b ");
}

TEST_CASE("in exact order either stream may be closed early") {
    const RunResult output = proctor::run(exact("print a then close 1 then print-to 2 b then print-to 2 c"));
    INFO(support::describe(output));
    CHECK(output.passed());
    CHECK(records_of(output.capture) == "1:a 2:b 2:c ");

    const RunResult error = proctor::run(exact("close 2 then print a then print b"));
    INFO(support::describe(error));
    CHECK(error.passed());
    CHECK(records_of(error.capture) == "1:a 1:b ");

    const RunResult both = proctor::run(exact("print a then close 1 then close 2 then exit 3"));
    INFO(support::describe(both));
    CHECK(both.exit_code == 3);
    CHECK(records_of(both.capture) == "1:a ");
}

TEST_CASE("in exact order a child that reads its own output is at the end at once") {
    const RunResult result = proctor::run(exact("await-end 1 then await-end 2 then print a"));
    INFO(support::describe(result));
    CHECK(result.passed());
    CHECK(result.capture.text(STDOUT) == "a");
}

TEST_CASE("in exact order a grandchild that holds the streams ends with the grace") {
    const RunResult result =
        proctor::run(exact("fork [ print-to 2 left then ready then pause ] then print done then exit 0"));
    INFO(support::describe(result));
    CHECK(result.passed());
    CHECK(records_of(result.capture) == "2:left 1:done ");
}

TEST_CASE("in exact order a paused job ends with all that it wrote, in order") {
    Reactor reactor = support::make_reactor();
    const int lines = 100;
    Findings seen;
    JobHandle handle;
    handle = reactor.submit(exact(runs(lines, 9, 5)), {.on_record = [&](const CaptureRecord& record) {
                                look(seen, record);
                                handle.pause_output(seen.next % 2 == 0 ? STDOUT : STDERR);
                            }});
    REQUIRE(reactor.run());
    CHECK(seen.next == lines);
    CHECK(seen.misplaced == 0);
}

TEST_CASE("in exact order paused output makes the child wait, and limits go on") {
    Reactor reactor = support::make_reactor();
    JobHandle handle;
    int records = 0;
    Job job = exact("fill 1 100000000");
    job.capture.keep = false;
    job.limits.time = 200ms;
    handle = reactor.submit(job, {.on_record =
                                      [&](const CaptureRecord&) {
                                          if (++records == 1) handle.pause_output(STDOUT);
                                      },
                                  .on_end =
                                      [&](RunResult&& result) {
                                          INFO(support::describe(result));
                                          CHECK(result.reason == proctor::Reason::time_limit);
                                          CHECK(result.capture.totals(STDOUT).total_bytes < 100'000'000);
                                      }});
    REQUIRE(reactor.run());
    CHECK(records > 1);  // at the end all is delivered
}

TEST_CASE("in exact order a limit, a cancel and a handler may end a job while it floods") {
    Job timed = exact("fork [ ready then fill 2 100000000000 ] then fill 1 100000000000");
    timed.capture.keep = false;
    timed.limits.time = 100ms;
    const RunResult late = proctor::run(timed);
    INFO(support::describe(late));
    CHECK(late.reason == proctor::Reason::time_limit);

    Job limited = exact("fill 1 100000000000");
    limited.capture.limits.max_stdout_bytes = 100'000;
    limited.capture.limit_ends_run = true;
    const RunResult full = proctor::run(limited);
    INFO(support::describe(full));
    CHECK(full.reason == proctor::Reason::output_limit);
    CHECK(full.capture.size(STDOUT) == 100'000);

    Reactor reactor = support::make_reactor();
    JobHandle handle;
    Job cancelled = exact("fill 2 100000000000");
    cancelled.capture.keep = false;
    bool ended = false;
    handle = reactor.submit(cancelled, {.on_record = [&](const CaptureRecord&) { handle.cancel(); },
                                        .on_end =
                                            [&](RunResult&& result) {
                                                ended = true;
                                                REQUIRE(result.error.has_value());
                                                CHECK(result.error->stage == proctor::Stage::cancelled);
                                            }});
    REQUIRE(reactor.run());
    CHECK(ended);

    // One that is still running when its reactor goes.
    Reactor forsaken = support::make_reactor();
    int records = 0;
    forsaken.submit(cancelled, {.on_record = [&](const CaptureRecord&) { ++records; }});
    while (records == 0) REQUIRE(forsaken.run_once());
}

TEST_CASE("in exact order capture limits are exact, and the rest is drained and counted") {
    Job job = exact("");
    job.argv = {job.argv[0], "print", "one\n",    "then", "print-to", "2",    "two\n", "then",  "print",
                "three\n",   "then",  "print-to", "2",    "four\n",   "then", "print", "five\n"};
    job.capture.limits.max_stdout_bytes = 6;
    job.capture.limits.max_stderr_lines = 1;
    const RunResult result = proctor::run(job);
    INFO(support::describe(result));
    CHECK(result.passed());
    CHECK(records_of(result.capture) == "1:one\n 2:two\n 1:th 1:- 2:- ");
    CHECK(result.capture.totals(STDOUT).total_bytes == 15);
    CHECK(result.capture.totals(STDERR).total_lines == 2);
}

TEST_CASE("with one output alone, or both on one descriptor, exact order needs no socket") {
    Job joined = exact("alternate 1000");
    joined.error_output = Output::with_output();
    std::string expected;
    for (int i = 0; i < 1000; ++i) expected += "o" + std::to_string(i) + "\ne" + std::to_string(i) + "\n";
    const RunResult one = proctor::run(joined);
    INFO(support::describe(one));
    CHECK(one.passed());
    CHECK((one.capture.text(STDOUT) == expected));

    Job alone;
    alone.shell = "echo x >/dev/stdout";
    alone.error_output = Output::null();
    alone.order = Order::exact;
    CHECK(support::output_of(alone) == "x\n");
}

TEST_CASE("in exact order a forward whose reader is gone makes the child's writes fail") {
    Pipe pipe;
    pipe.read_end.reset();
    Job job = exact("print-to 1 a then fill 1 100000000");
    job.output = Output::forward(pipe.write_end.get());
    const RunResult result = proctor::run(job);
    INFO(support::describe(result));
    CHECK(result.exit_code == 98);  // what the helper says of a failing write
    CHECK(result.capture.text(STDERR).find("Broken pipe") != std::string::npos);
}

TEST_CASE("in exact order a time limit goes on while forwarding waits for its reader") {
    const Pipe pipe;
    Job job = exact("fill 1 1000000 then pause");
    job.output = Output::forward(pipe.write_end.get());
    job.limits.time = 100ms;
    const RunResult result = proctor::run(job);
    INFO(support::describe(result));
    CHECK(result.reason == proctor::Reason::time_limit);
}

TEST_CASE("descriptors that a child sends along do not become the host's, and none is leaked") {
    { (void)proctor::run(exact("print x")); }
    const auto before = support::open_descriptors();
    {
        Reactor reactor = support::make_reactor();
        std::size_t most = 0;
        int records = 0;
        reactor.submit(exact("send-descriptor 1 200 then send-descriptor 2 200"),
                       {.on_record =
                            [&](const CaptureRecord& record) {
                                CHECK(record.data == "d");
                                ++records;
                                most = std::max(most, support::open_descriptors().size());
                            },
                        .on_end =
                            [&](RunResult&& result) {
                                INFO(support::describe(result));
                                CHECK(result.passed());
                            }});
        REQUIRE(reactor.run());
        CHECK(records == 400);
        CHECK(most < before.size() + 100);  // and not 400
        for (int i = 0; i < 50; ++i) reactor.submit(exact("alternate 3"));
        Job missing = exact("x");
        missing.argv = {"/no/such/program"};
        reactor.submit(missing);
        REQUIRE(reactor.run());
    }
    CHECK(support::open_descriptors() == before);
}
