// SPDX-License-Identifier: MIT
//
// What passes through the three pipes: all of it, once, in order, without deadlock, and told as records.
#include "support.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using namespace proctor::literals;
using proctor::Capture;
using proctor::CaptureRecord;
using proctor::Input;
using proctor::Job;
using proctor::Outcome;
using proctor::RunResult;
using proctor::STDERR;
using proctor::STDIN;
using proctor::STDOUT;
using support::script;
using support::TempDir;

namespace {

constexpr std::size_t large = 64 << 20;

// Records put together are the text, none is empty, and time never goes back.
void check_records(const Capture& capture) {
    std::string texts[3];
    std::chrono::nanoseconds last = 0ns;
    for (const CaptureRecord& record : capture.playback()) {
        CHECK(record.time >= last);
        last = record.time;
        if (!record.truncated) CHECK_FALSE(record.data.empty());
        texts[record.stream] += record.data;
    }
    for (const proctor::Stream stream : {STDIN, STDOUT, STDERR}) {
        CHECK((texts[stream] == capture.text(stream)));
        CHECK(capture.size(stream) == static_cast<proctor::Bytes>(texts[stream].size()));
    }
}

RunResult run_with_text(std::string_view words, std::string text) {
    Job job = script(words);
    job.input = Input::text(std::move(text));
    RunResult result = proctor::run(std::move(job));
    INFO(support::describe(result));
    CHECK(result.passed());
    return result;
}

sigset_t mask_of_thread() {
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    return mask;
}

bool pending(int number) {
    sigset_t set;
    sigpending(&set);
    return sigismember(&set, number) == 1;
}

}  // namespace

TEST_CASE("64 MiB pass from a file through the child to the capture unchanged") {
    const TempDir dir;
    const std::string content = support::pattern(large);
    Job job = script("copy 0 1");
    job.input = Input::file(dir.write("large", content));
    const RunResult result = proctor::run(job);
    INFO(support::describe(result));
    CHECK(result.passed());
    CHECK((result.capture.text(STDOUT) == content));
    CHECK(result.capture.totals(STDOUT).total_bytes == large);
    CHECK(result.capture.totals(STDIN).total_bytes == large);
    CHECK(result.unread == 0);
    check_records(result.capture);
}

TEST_CASE("a child that never reads its 64 MiB of input and prints 64 MiB ends normally") {
    Job job = script("fill 1 " + std::to_string(large));
    job.input = Input::text(std::string(large, 'x'));
    const RunResult result = proctor::run(job);
    INFO(support::describe(result));
    CHECK(result.passed());
    CHECK((result.capture.text(STDOUT) == support::pattern(large)));
    const proctor::Bytes accepted = result.capture.totals(STDIN).bytes;
    CHECK(accepted > 0);
    CHECK(accepted < static_cast<proctor::Bytes>(large));
    CHECK(result.unread == accepted);
}

TEST_CASE("a child that fills both outputs before it reads anything is not deadlocked") {
    const std::string input = support::pattern(4 << 20);
    const RunResult result = run_with_text("fill 2 8388608 then fill 1 8388608 then copy-to-both", input);
    const std::string expected = support::pattern(8 << 20) + input;
    CHECK((result.capture.text(STDOUT) == expected));
    CHECK((result.capture.text(STDERR) == expected));
    check_records(result.capture);
}

TEST_CASE("every byte value passes both ways") {
    std::string all;
    for (int value = 0; value < 256; ++value) all += static_cast<char>(value);
    all = support::repeat(all, 3) + std::string(5, '\0');
    const RunResult result = run_with_text("copy-to-both", all);
    CHECK(result.capture.text(STDOUT) == all);
    CHECK(result.capture.text(STDERR) == all);
    CHECK(result.capture.text(STDIN) == all);
}

TEST_CASE("a line is a newline, plus one for an unfinished tail") {
    struct Case {
        const char* text;
        std::int64_t lines;
    };
    for (const Case& entry :
         {Case{"", 0}, {"\n", 1}, {"a", 1}, {"a\n", 1}, {"a\nb", 2}, {"\n\n", 2}, {"a\n\nb\n", 3}}) {
        CAPTURE(entry.text);
        const RunResult result = run_with_text("copy-to-both", entry.text);
        for (const proctor::Stream stream : {STDIN, STDOUT, STDERR}) {
            CHECK(result.capture.lines(stream) == entry.lines);
            CHECK(result.capture.totals(stream).total_lines == entry.lines);
            CHECK_FALSE(result.capture.truncated(stream));
        }
    }
}

TEST_CASE("a line that comes in many pieces is one line") {
    const RunResult result = support::run_script("print a then print b then print-to 2 x then print c");
    CHECK(result.capture.text(STDOUT) == "abc");
    CHECK(result.capture.lines(STDOUT) == 1);
    CHECK(result.capture.lines(STDERR) == 1);
}

TEST_CASE("records come in order, with times that never decrease") {
    const RunResult result = support::run_script("alternate 2000");
    CHECK(result.passed());
    check_records(result.capture);
    std::string output;
    std::string error_output;
    for (int i = 0; i < 2000; ++i) {
        output += "o" + std::to_string(i) + "\n";
        error_output += "e" + std::to_string(i) + "\n";
    }
    CHECK(result.capture.text(STDOUT) == output);
    CHECK(result.capture.text(STDERR) == error_output);
}

TEST_CASE("what the child was given is recorded before its answer, and after the run's zero") {
    const RunResult result = run_with_text("copy 0 1", "question\n");
    const Capture& capture = result.capture;
    REQUIRE(capture.record_count() >= 2);
    auto playback = capture.playback();
    const auto first = playback.next();
    REQUIRE(first);
    CHECK(first->stream == STDIN);
    CHECK(first->data == "question\n");
    CHECK(first->time >= 0ns);
    CHECK(capture.text(STDOUT) == "question\n");
    auto last = first->time;
    for (const CaptureRecord& record : playback) {
        CHECK(record.time >= last);
        last = record.time;
    }
}

TEST_CASE("what the child left unread is counted") {
    CHECK(run_with_text("read 400", std::string(1000, 'x')).unread == 600);
    CHECK(run_with_text("read 1000", std::string(1000, 'x')).unread == 0);
    CHECK(run_with_text("exit 0", "").unread == 0);
    const RunResult more_than_a_pipe = run_with_text("read 100000", std::string(1000000, 'x'));
    REQUIRE(more_than_a_pipe.unread.has_value());
    CHECK(*more_than_a_pipe.unread == more_than_a_pipe.capture.totals(STDIN).bytes - 100000);
}

TEST_CASE("empty input is at its end at once, and by default") {
    CHECK(support::run_script("checksum").capture.text(STDOUT).rfind("0 ", 0) == 0);
    CHECK(run_with_text("checksum", "").capture.text(STDOUT).rfind("0 ", 0) == 0);
    const TempDir dir;
    Job job = script("checksum");
    job.input = Input::file(dir.write("empty", ""));
    CHECK(support::output_of(job).rfind("0 ", 0) == 0);
}

TEST_CASE("a child that closes its input early is no error, and the host gets no SIGPIPE") {
    signal(SIGPIPE, SIG_DFL);
    const sigset_t before = mask_of_thread();
    const RunResult result =
        run_with_text("read 1 then close 0 then fill 1 1000000 then exit 0", std::string(4 << 20, 'x'));
    CHECK(result.capture.size(STDOUT) == 1000000);
    CHECK_FALSE(pending(SIGPIPE));
    const sigset_t after = mask_of_thread();
    for (int number = 1; number < 65; ++number) CHECK(sigismember(&before, number) == sigismember(&after, number));
}

TEST_CASE("a SIGPIPE of the host's own stays pending") {
    const std::string complaint = support::in_host([]() -> std::string {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGPIPE);
        HOST_CHECK(pthread_sigmask(SIG_BLOCK, &set, nullptr) == 0);
        HOST_CHECK(raise(SIGPIPE) == 0 && pending(SIGPIPE));
        Job job = script("close 0 then fill 1 100000");
        job.input = Input::text(std::string(4 << 20, 'x'));
        const RunResult result = proctor::run(job);
        HOST_CHECK_RESULT(result.passed(), result);
        HOST_CHECK(pending(SIGPIPE));
        return {};
    });
    CHECK(complaint == "");
}

TEST_CASE("input from a descriptor starts at its position and ends at its end") {
    const TempDir dir;
    const support::Fd file = support::open_file(dir.write("file", "skipped taken"), O_RDONLY | O_CLOEXEC);
    REQUIRE(lseek(file.get(), 8, SEEK_SET) == 8);
    Job job = script("copy 0 1");
    job.input = Input::descriptor(file.get());
    CHECK(support::output_of(job) == "taken");
    CHECK(fcntl(file.get(), F_GETFD) >= 0);
}

TEST_CASE("input from a pipe of the host goes on until that is closed") {
    support::Pipe pipe;
    const std::string content = support::pattern(3 << 20);
    std::thread writer([&] {
        support::write_all(pipe.write_end.get(), content);
        pipe.write_end.reset();
    });
    Job job = script("copy 0 1");
    job.input = Input::descriptor(pipe.read_end.get());
    const std::string output = support::output_of(job);
    writer.join();
    CHECK((output == content));
}

TEST_CASE("a job whose input pipe stays silent ends when its program does") {
    const support::Pipe pipe;
    Job job = script("print done");
    job.input = Input::descriptor(pipe.read_end.get());
    CHECK(support::output_of(job) == "done");
}

TEST_CASE("a dialogue through a pipe of the host works line by line") {
    const support::Pipe pipe;
    Job job = script({"print", "ready\n", "then", "answer-line", "then", "answer-line"});
    job.input = Input::descriptor(pipe.read_end.get());
    std::string text;
    int answers = 0;
    proctor::Reactor reactor = support::make_reactor();
    reactor.submit(job, {.on_record = [&](const CaptureRecord& record) {
                       if (record.stream != STDOUT) return;
                       text += record.data;
                       while (answers < std::min<std::ptrdiff_t>(2, std::count(text.begin(), text.end(), '\n'))) {
                           support::write_all(pipe.write_end.get(), std::to_string(++answers) + "\n");
                       }
                   }});
    REQUIRE(reactor.run());
    CHECK(text == "ready\ngot 1\ngot 2\n");
}

TEST_CASE("input that cannot be opened or read is an error of stage io") {
    const TempDir dir;
    struct Case {
        std::string path;
        int error_number;
    };
    for (const Case& entry : {Case{dir.file("missing"), ENOENT}, {dir.path(), EISDIR}}) {
        CAPTURE(entry.path);
        Job job = script("copy 0 1");
        job.input = Input::file(entry.path);
        const RunResult result = proctor::run(job);
        INFO(support::describe(result));
        CHECK(result.outcome == Outcome::error);
        REQUIRE(result.error.has_value());
        CHECK(result.error->stage == proctor::Stage::io);
        CHECK(result.error->error_number == entry.error_number);
        CHECK(result.error->message.find(entry.path) != std::string::npos);
    }
}

TEST_CASE("observers see each record that the capture holds, as it happens") {
    proctor::Reactor reactor = support::make_reactor();
    std::vector<std::string> seen;
    std::vector<std::string> kept;
    Job job = script("copy-to-both");
    job.input = Input::text(support::pattern(300'000));
    const auto text_of = [](const CaptureRecord& record) {
        return std::to_string(record.stream) + "@" + std::to_string(record.time.count()) + ":" +
               std::string(record.data);
    };
    reactor.submit(job, {.on_record = [&](const CaptureRecord& record) { seen.push_back(text_of(record)); },
                         .on_end =
                             [&](RunResult&& result) {
                                 for (const CaptureRecord& record : result.capture.playback()) {
                                     kept.push_back(text_of(record));
                                 }
                             }});
    REQUIRE(reactor.run());
    CHECK(seen.size() >= 3);
    CHECK((seen == kept));
}

TEST_CASE("a job that keeps nothing still shows its records and counts them") {
    proctor::Reactor reactor = support::make_reactor();
    std::string seen[3];
    Job job = script("copy-to-both");
    const std::string text = support::repeat("line\n", 100'000);
    job.input = Input::text(text);
    job.capture.keep = false;
    RunResult end;
    reactor.submit(job, {.on_record = [&](const CaptureRecord& record) { seen[record.stream] += record.data; },
                         .on_end = [&](RunResult&& result) { end = std::move(result); }});
    REQUIRE(reactor.run());
    CHECK(end.passed());
    CHECK(end.capture.record_count() == 0);
    for (const proctor::Stream stream : {STDIN, STDOUT, STDERR}) {
        CAPTURE(stream);
        CHECK((seen[stream] == text));
        CHECK(end.capture.text(stream).empty());
        CHECK(end.capture.totals(stream).total_bytes == 500'000);
        CHECK(end.capture.totals(stream).total_lines == 100'000);
    }
}

TEST_CASE("a stream that is not to be recorded is still drained") {
    Job job = script("fill 2 1000000 then print kept");
    job.capture.error_output = false;
    job.capture.input = false;
    job.input = Input::text("given");
    const RunResult result = proctor::run(job);
    INFO(support::describe(result));
    CHECK(result.passed());
    CHECK(result.capture.text(STDERR).empty());
    CHECK(result.capture.text(STDIN).empty());
    CHECK(result.capture.text(STDOUT) == "kept");
    CHECK(result.unread == 5);
}
