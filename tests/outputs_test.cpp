// SPDX-License-Identifier: MIT
//
// Where output can go besides the capture, and holding it back.
#include "support.hpp"
#include "terminal.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <functional>
#include <string>

using namespace std::chrono_literals;
using proctor::CaptureRecord;
using proctor::Input;
using proctor::Job;
using proctor::JobHandle;
using proctor::Outcome;
using proctor::Output;
using proctor::Reactor;
using proctor::RunResult;
using proctor::STDERR;
using proctor::STDOUT;
using support::Fd;
using support::Pipe;
using support::script;
using support::TempDir;

namespace {

std::string alternating(int times) {
    std::string text;
    for (int i = 0; i < times; ++i) text += "o" + std::to_string(i) + "\ne" + std::to_string(i) + "\n";
    return text;
}

// Takes what is in the pipe now.
std::string drain(int fd) {
    std::string buffer(1 << 20, '\0');
    const ssize_t count = read(fd, buffer.data(), buffer.size());
    buffer.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
    return buffer;
}

}  // namespace

TEST_CASE("output to a file is written there, and replaces what was there") {
    const TempDir dir;
    const std::string old_file = dir.write("old", "something longer than what follows");
    Job job = script("print output then print-to 2 error");
    job.output = Output::file(old_file);
    job.error_output = Output::file(dir.file("new"));
    const RunResult result = proctor::run(job);
    INFO(support::describe(result));
    CHECK(result.passed());
    CHECK(support::read_file(old_file) == "output");
    CHECK(support::read_file(dir.file("new")) == "error");
    CHECK(result.capture.record_count() == 0);
    CHECK(result.capture.totals(STDOUT).total_bytes == 0);
}

TEST_CASE("output to a file that cannot be made is an error of stage io, and nothing runs") {
    const TempDir dir;
    struct Case {
        std::string path;
        int error_number;
    };
    for (const Case& entry : {Case{dir.file("missing/file"), ENOENT}, {dir.path(), EISDIR}}) {
        CAPTURE(entry.path);
        Job job = script("write-file " + dir.file("ran") + " x");
        job.output = Output::file(entry.path);
        const RunResult result = proctor::run(job);
        INFO(support::describe(result));
        CHECK(result.outcome == Outcome::error);
        REQUIRE(result.error.has_value());
        CHECK(result.error->stage == proctor::Stage::io);
        CHECK(result.error->error_number == entry.error_number);
        CHECK(result.error->message.find(entry.path) != std::string::npos);
        CHECK(access(dir.file("ran").c_str(), F_OK) != 0);
    }
}

TEST_CASE("output to nowhere is no error for the child") {
    Job job = script("fill 1 1000000 then fill 2 1000000");
    job.output = Output::null();
    job.error_output = Output::null();
    const RunResult result = proctor::run(job);
    INFO(support::describe(result));
    CHECK(result.passed());
    CHECK(result.capture.record_count() == 0);
}

TEST_CASE("error output that goes with output keeps its order, wherever that goes") {
    const TempDir dir;
    Job job = script("alternate 500");
    job.error_output = Output::with_output();
    SUBCASE("to the capture") {
        const RunResult result = proctor::run(job);
        CHECK(result.capture.text(STDOUT) == alternating(500));
        CHECK(result.capture.text(STDERR).empty());
        CHECK(result.capture.totals(STDOUT).total_lines == 1000);
    }
    SUBCASE("to a file") {
        job.output = Output::file(dir.file("out"));
        CHECK(proctor::run(job).passed());
        CHECK(support::read_file(dir.file("out")) == alternating(500));
    }
    SUBCASE("to a descriptor of the host") {
        const Fd file = support::open_file(dir.file("out"), O_RDWR | O_CREAT | O_CLOEXEC);
        job.output = Output::inherit(file.get());
        CHECK(proctor::run(job).passed());
        CHECK(support::read_file(dir.file("out")) == alternating(500));
    }
}

TEST_CASE("forwarded output arrives whole and is recorded too") {
    const TempDir dir;
    const Fd out = support::open_file(dir.file("out"), O_WRONLY | O_CREAT | O_CLOEXEC);
    const Fd error_out = support::open_file(dir.file("error"), O_WRONLY | O_CREAT | O_CLOEXEC);
    const std::string content = support::pattern(5 << 20);
    Job job = script("fill 1 5242880 then print-to 2 error");
    job.output = Output::forward(out.get());
    job.error_output = Output::forward(error_out.get());
    const RunResult result = proctor::run(job);
    INFO(support::describe(result));
    CHECK(result.passed());
    CHECK((support::read_file(dir.file("out")) == content));
    CHECK(support::read_file(dir.file("error")) == "error");
    CHECK((result.capture.text(STDOUT) == content));
    CHECK(result.capture.text(STDERR) == "error");
}

TEST_CASE("both outputs may be forwarded to one file, and nothing is lost") {
    const TempDir dir;
    const Fd file = support::open_file(dir.file("both"), O_WRONLY | O_CREAT | O_CLOEXEC);
    Job job = script("alternate 20000");
    job.output = Output::forward(file.get());
    job.error_output = Output::forward(file.get());
    const RunResult result = proctor::run(job);
    INFO(support::describe(result));
    CHECK(result.passed());
    const std::string both = support::read_file(dir.file("both"));
    CHECK(both.size() == alternating(20000).size());
    CHECK(std::count(both.begin(), both.end(), 'o') == 20000);
    CHECK(std::count(both.begin(), both.end(), 'e') == 20000);
}

TEST_CASE("forwarding goes no faster than its reader, and holds up nobody else") {
    constexpr std::size_t size = 8 << 20;
    Pipe pipe;
    Reactor reactor = support::make_reactor();
    std::size_t seen = 0;
    std::string taken;
    bool slow_ended = false;
    proctor::Watch watch;
    int others = 0;
    std::function<void(RunResult &&)> next = [&](RunResult&& result) {
        CHECK(result.passed());
        if (++others < 50) {
            reactor.submit(script("print x"), next);
            return;
        }
        // Fifty programs came and went, and nobody has read yet.
        CHECK_FALSE(slow_ended);
        CHECK(seen < size / 2);
        auto made = reactor.watch(pipe.read_end.get(), [&] { taken += drain(pipe.read_end.get()); });
        REQUIRE(made);
        watch = std::move(*made);
    };
    Job slow = script("fill 1 " + std::to_string(size));
    slow.output = Output::forward(pipe.write_end.get());
    slow.capture.keep = false;
    reactor.submit(slow, {.on_record =
                              [&](const CaptureRecord& record) {
                                  if (seen == 0) reactor.submit(script("print x"), next);
                                  seen += record.data.size();
                              },
                          .on_end =
                              [&](RunResult&& result) {
                                  INFO(support::describe(result));
                                  CHECK(result.passed());
                                  CHECK(result.capture.totals(STDOUT).total_bytes == size);
                                  slow_ended = true;
                              }});
    REQUIRE(reactor.run());
    watch = {};
    pipe.write_end.reset();
    taken += support::read_to_end(pipe.read_end.get());
    CHECK(others == 50);
    CHECK(slow_ended);
    CHECK((taken == support::pattern(size)));
}

TEST_CASE("a time limit goes on while forwarding waits for its reader") {
    const Pipe pipe;
    Job job = script("fill 1 1000000 then pause");
    job.output = Output::forward(pipe.write_end.get());
    job.limits.time = 100ms;
    const RunResult result = proctor::run(job);
    INFO(support::describe(result));
    CHECK(result.reason == proctor::Reason::time_limit);
}

TEST_CASE("a terminal that nobody reads holds up no limit, and one that is read gets all") {
    for (const proctor::Order order : {proctor::Order::pipe, proctor::Order::exact}) {
        const support::Terminal unread;
        Job job = script("fill 1 100000 then pause");
        job.order = order;
        job.output = Output::forward(unread.inside.get());
        job.limits.time = 200ms;
        const RunResult result = proctor::run(job);
        INFO(support::describe(result));
        CHECK(result.reason == proctor::Reason::time_limit);

        const support::Terminal read;
        Job short_job = script("print hello");
        short_job.order = order;
        short_job.output = Output::forward(read.inside.get());
        CHECK(proctor::run(short_job).passed());
        CHECK(read.text() == "hello");
        CHECK((fcntl(read.inside.get(), F_GETFL) & O_NONBLOCK) == 0);
    }
}

TEST_CASE("a child whose forwarded output nobody reads any more meets SIGPIPE, and the host does not") {
    signal(SIGPIPE, SIG_DFL);
    Pipe pipe;
    pipe.read_end.reset();
    Job job = script("fill 1 8388608");
    job.output = Output::forward(pipe.write_end.get());
    const RunResult result = proctor::run(job);
    INFO(support::describe(result));
    CHECK(result.outcome == Outcome::fail);
    CHECK(result.signal == SIGPIPE);
    CHECK_FALSE(result.reason.has_value());
}

TEST_CASE("a forward that cannot be written to is an error of stage io") {
    const Fd full = support::open_file("/dev/full", O_WRONLY | O_CLOEXEC);
    Job job = script("fill 1 1000000");
    job.output = Output::forward(full.get());
    const RunResult result = proctor::run(job);
    INFO(support::describe(result));
    CHECK(result.outcome == Outcome::error);
    REQUIRE(result.error.has_value());
    CHECK(result.error->stage == proctor::Stage::io);
    CHECK(result.error->error_number == ENOSPC);
}

TEST_CASE("paused output stays in the pipe until it is resumed") {
    constexpr std::size_t size = 4 << 20;
    Reactor reactor = support::make_reactor();
    JobHandle handle;
    int records = 0;
    std::string text;
    int others = 0;
    std::function<void(RunResult &&)> next = [&](RunResult&&) {
        if (++others < 50) {
            reactor.submit(script("print x"), next);
            return;
        }
        // One before the pause, and one for a read that was under way.
        CHECK(records <= 2);
        CHECK(text.empty());
        CHECK(handle.state() == proctor::JobState::running);
        handle.resume_output(STDOUT);
    };
    handle = reactor.submit(script("fill 1 " + std::to_string(size)),
                            {.on_record =
                                 [&](const CaptureRecord&) {
                                     if (++records > 1) return;
                                     handle.pause_output(STDOUT);
                                     reactor.submit(script("print x"), next);
                                 },
                             .on_end = [&](RunResult&& result) { text = result.capture.text(STDOUT); }});
    REQUIRE(reactor.run());
    CHECK(others == 50);
    CHECK((text == support::pattern(size)));
}

TEST_CASE("a job whose output is paused ends with all of it when its program does") {
    Reactor reactor = support::make_reactor();
    JobHandle handle;
    std::string text;
    Job job = script("print first then await-byte 7 then print second");
    Pipe pipe;
    job.descriptors = {{.from = pipe.read_end.get(), .to = 7}};
    handle = reactor.submit(job, {.on_record =
                                      [&](const CaptureRecord& record) {
                                          if (record.data != "first") return;
                                          handle.pause_output(STDOUT);
                                          support::write_all(pipe.write_end.get(), "x");
                                      },
                                  .on_end =
                                      [&](RunResult&& result) {
                                          INFO(support::describe(result));
                                          CHECK(result.passed());
                                          text = result.capture.text(STDOUT);
                                      }});
    REQUIRE(reactor.run());
    CHECK(text == "firstsecond");
}

TEST_CASE("pausing one stream leaves the other alone") {
    Reactor reactor = support::make_reactor();
    std::string seen;
    Job job = script("print-to 2 error then await-byte 7 then print output");
    Pipe pipe;
    job.descriptors = {{.from = pipe.read_end.get(), .to = 7}};
    JobHandle handle;
    handle = reactor.submit(job, {.on_record = [&](const CaptureRecord& record) {
                                seen += record.data;
                                if (record.stream != STDERR) return;
                                handle.pause_output(STDERR);
                                support::write_all(pipe.write_end.get(), "x");
                            }});
    REQUIRE(reactor.run());
    CHECK(seen == "erroroutput");
}
