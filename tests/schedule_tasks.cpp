// SPDX-License-Identifier: MIT
#include "schedule_tasks.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <iterator>
#include <utility>

using namespace std::chrono_literals;
using namespace proctor;
using support::pattern;
using support::script;

namespace schedule {

namespace {

std::string output(const RunResult& result, Stream stream) { return result.capture.text(stream); }

std::string expect_output(const RunResult& result, const std::string& out, const std::string& error_out) {
    if (output(result, STDOUT) != out) return "stdout differs";
    if (output(result, STDERR) != error_out) return "stderr differs";
    const StreamTotals& totals = result.capture.totals(STDOUT);
    return totals.total_bytes == static_cast<Bytes>(out.size()) ? "" : "the total of stdout is wrong";
}

std::string expect(bool holds, const char* what) { return holds ? "" : what; }

std::string expect_limit(const RunResult& result, Reason reason) {
    return expect(result.outcome == Outcome::fail && result.reason == reason, "not the limit that was to be crossed");
}

std::string expect_echo(const RunResult& result, const std::string& text) {
    if (!result.passed()) return "no pass";
    if (output(result, STDIN) != text) return "stdin differs";
    return expect_output(result, text, "");
}

Task limited(const char* kind, Job job, Reason reason) {
    return {kind, std::move(job), [reason](const RunResult& result) { return expect_limit(result, reason); }};
}

std::chrono::microseconds micros(Random& random, unsigned least, unsigned most) {
    return std::chrono::microseconds(least + random() % (most - least));
}

std::string lines(std::size_t count) {
    std::string text;
    for (std::size_t i = 0; i < count; ++i) text += "line " + std::to_string(i) + "\n";
    return text;
}

// --- Those that end by themselves

Task copying(Random& random, const Places&) {
    Task task{"copy", script("copy 0 1"), {}};
    const std::string text = pattern(random() % 100'000);
    task.job.input = Input::text(text);
    task.check = [text](const RunResult& result) { return expect_echo(result, text); };
    return task;
}

Task copying_file(Random&, const Places& places) {
    Task task{"copy a file", script("copy 0 1"), {}};
    task.job.input = Input::file(places.input);
    task.check = [](const RunResult& result) { return expect_echo(result, pattern(Places::input_size)); };
    return task;
}

Task asked_for_input(Random& random, const Places&) {
    Task task{"pieces", script("copy 0 1"), {}};
    const std::string text = pattern(random() % 50'000);
    const std::size_t piece = 1 + random() % 9'000;
    auto at = std::make_shared<std::size_t>(0);
    task.job.input = Input::lines([=, even = false]() mutable -> std::optional<std::string> {
        even = !even;
        if (even) return "";
        if (*at == text.size()) return std::nullopt;
        const std::string part = text.substr(*at, piece);
        *at += part.size();
        return part;
    });
    task.check = [text](const RunResult& result) { return expect_echo(result, text); };
    return task;
}

Task live(Random& random, const Places&) {
    Task task{"live input", script("copy 0 1"), {}};
    const std::string text = pattern(random() % 150'000);
    task.job.input = Input::live();
    task.writer = std::make_shared<Writer>(text, random);
    task.check = [text](const RunResult& result) { return expect_echo(result, text); };
    return task;
}

// So that it writes to one who has gone.
Task deaf(Random& random, const Places&) {
    Task task{"deaf", script("close 0 then print deaf"), {}};
    task.job.input = Input::live();
    task.writer = std::make_shared<Writer>(pattern(random() % 300'000), random);
    task.check = [](const RunResult& result) {
        return result.passed() ? expect_output(result, "deaf", "") : std::string("no pass");
    };
    return task;
}

Task paced(Random& random, const Places&) {
    Task task{"paced", script("copy 0 1"), {}};
    const std::string text = lines(random() % 12) + (random() % 2 == 0 ? "the last" : "");
    task.job.input = Input::text(text);
    task.job.input_delay = micros(random, 1, 1'500);
    task.job.input_pacing = random() % 2 == 0 ? Pacing::fixed : Pacing::quiet;
    task.check = [text](const RunResult& result) { return expect_echo(result, text); };
    return task;
}

Task spooling(Random& random, const Places& places) {
    const auto size = static_cast<std::size_t>(random() % 700'000);
    Task task{"spool", script("fill 1 " + std::to_string(size)), {}};
    task.job.capture.max_size = static_cast<Bytes>(random() % 3'000);
    task.job.capture.spool_directory = places.spool.path();
    task.check = [size](const RunResult& result) {
        return result.passed() ? expect_output(result, pattern(size), "") : std::string("no pass");
    };
    return task;
}

// Marked, two may be the other way round, as where the clock jumps.
Task exact(Random& random, const Places&) {
    const std::size_t count = 1 + random() % 60;
    Task task{"exact order", script("alternate " + std::to_string(count)), {}};
    task.job.order = Order::exact;
    task.check = [count](const RunResult& result) -> std::string {
        if (!result.passed()) return "no pass";
        std::size_t records = 0;
        auto playback = result.capture.playback();
        while (const auto record = playback.next()) {
            const std::string expected = (records % 2 == 0 ? "o" : "e") + std::to_string(records / 2) + "\n";
            if (!record->ambiguous && record->data != expected) return "a record is not in order";
            ++records;
        }
        return expect(records == 2 * count, "records are missing");
    };
    return task;
}

Task forwarding(Random& random, const Places&) {
    const auto size = static_cast<std::size_t>(random() % 400'000);
    Task task{"forward", script("fill 1 " + std::to_string(size)), {}};
    task.reader = std::make_shared<Reader>();
    task.reader_leaves = random() % 3 == 0;
    task.job.output = Output::forward(task.reader->other_end());
    if (random() % 3 == 0) task.job.order = Order::exact;  // where the child meets EPIPE alone, and exits with 98
    task.check = [size, reader = task.reader](const RunResult& result) -> std::string {
        reader->read();
        const std::string text = pattern(size);
        if (text.compare(0, reader->got().size(), reader->got()) != 0) return "something else was passed on";
        if (reader->left()) {
            return expect(result.passed() || result.signal == SIGPIPE || result.exit_code == 98, "not by SIGPIPE");
        }
        if (!result.passed()) return "no pass";
        if (reader->got() != text && reader->expects_all()) return "not all was passed on";
        return expect_output(result, text, "");
    };
    return task;
}

Task leaving_others(Random&, const Places&) {
    return {"left behind", script("fork [ ready then pause ] then print gone"), [](const RunResult& result) {
                return result.passed() ? expect_output(result, "gone", "") : std::string("no pass");
            }};
}

// --- Those that are ended

Task too_slow(Random&, const Places&) {
    Job job = script("pause");
    job.limits.time = 3ms;
    return limited("time limit", std::move(job), Reason::time_limit);
}

Task asked_to_end(Random& random, const Places&) {
    Job job = script("on-signal-exit 15 asked 7 then pause");
    job.limits.time = 3ms;
    job.kill_after = 60s;
    if (random() % 2 == 0) {
        job = script("fork [ ignore 15 then ready then pause ] then ignore 15 then pause");
        job.limits.time = 3ms;
        job.kill_after = micros(random, 1, 3'000);
    }
    return limited("SIGTERM", std::move(job), Reason::time_limit);
}

Task blocked(Random& random, const Places&) {
    Job job = script("print x then pause");
    job.limits.block = micros(random, 5'000, 20'000);
    return limited("block limit", std::move(job), Reason::block_limit);
}

Task computing(Random&, const Places&) {
    Job job = script("spin");
    job.limits.cpu_time = 2ms;
    return limited("cpu limit", std::move(job), Reason::cpu_limit);
}

Task too_large(Random&, const Places&) {
    Job job = script("touch-memory 16777216 then pause");
    job.limits.memory = 8 << 20;
    return limited("memory limit", std::move(job), Reason::memory_limit);
}

Task too_many(Random&, const Places&) {
    Job job = script("multiply 2");
    job.limits.processes = 2;
    return limited("process limit", std::move(job), Reason::process_limit);
}

Task too_much(Random&, const Places&) {
    Job job = script("fill 1 1000000000");
    job.capture.limits.max_stdout_bytes = 1'000;
    job.capture.limit_ends_run = true;
    Task task = limited("output limit", std::move(job), Reason::output_limit);
    task.check = [check = task.check](const RunResult& result) {
        return output(result, STDOUT) == pattern(1'000) ? check(result) : std::string("stdout differs");
    };
    return task;
}

Task missing(Random&, const Places&) {
    return {"no program", {.argv = {"/no/such/program"}}, [](const RunResult& result) {
                return expect(result.outcome == Outcome::error && result.error && result.error->error_number == ENOENT,
                              "no ENOENT");
            }};
}

Task cancelled(Random&, const Places&) {
    Task task{"cancel", script("print begun then pause"), [](const RunResult& result) {
                  return expect(result.error && result.error->stage == Stage::cancelled, "not cancelled");
              }};
    task.cancelled = true;
    return task;
}

// --- Pairs

Task talking(Random& random, const Places& places) {
    const std::size_t count = 1 + random() % 12;
    Task task{"pair", script("ask " + std::to_string(count)), {}};
    task.partner = script("copy 0 1");
    task.wiring = random() % 3 == 0 ? Wiring::direct : Wiring::recorded;
    if (random() % 3 == 0) {
        task.job.capture.max_size = 10;
        task.job.capture.spool_directory = places.spool.path();
    }
    const std::string words = task.wiring == Wiring::recorded ? support::repeat("ping\n", count) : std::string();
    task.check_pair = [words](const PairResult& result) -> std::string {
        if (!result.passed()) return "no pass";
        if (result.dialogue.text(STDOUT) != words || result.dialogue.text(STDERR) != words) return "other words";
        return expect(result.ended_first != Side::second, "the one that followed is told as the first");
    };
    return task;
}

Task falling_silent(Random& random, const Places&) {
    Task task{"pair, one dies", script("await-byte 0"), {}};
    task.partner = script(random() % 2 == 0 ? "exit 3" : "raise 11");
    task.wiring = random() % 3 == 0 ? Wiring::direct : Wiring::recorded;
    task.check_pair = [](const PairResult& result) -> std::string {
        if (result.first.exit_code != 97) return "the first one does not meet the end";
        if (result.second.exit_code != 3 && result.second.signal != SIGSEGV) return "another end of the second one";
        return expect(result.ended_first != Side::first, "the one that followed is told as the first");
    };
    return task;
}

struct Kind {
    unsigned weight;
    Task (*make)(Random&, const Places&);
};

Task printing_somewhere(Random& random, const Places&) { return printing(random); }

const Kind kinds[] = {
    {8, printing_somewhere},
    {6, copying},
    {3, copying_file},
    {4, asked_for_input},
    {5, live},
    {2, deaf},
    {4, paced},
    {6, spooling},
    {5, exact},
    {6, forwarding},
    {4, leaving_others},
    {5, too_slow},
    {4, asked_to_end},
    {2, blocked},
    {2, computing},
    {1, too_large},
    {1, too_many},
    {4, too_much},
    {2, missing},
    {6, cancelled},
    {6, talking},
    {3, falling_silent},
};

}  // namespace

Reader::Reader() {
    int ends[2] = {-1, -1};
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    ours_ = support::Fd(ends[0]);
    theirs_ = support::Fd(ends[1]);
}

void Reader::read() {
    char buffer[16'384];
    for (ssize_t count = 1; count > 0 && !left();) {
        count = ::read(ours_.get(), buffer, sizeof buffer);
        if (count > 0) got_.append(buffer, static_cast<std::size_t>(count));
    }
}

void Writer::go_on(const JobHandle& job) {
    while (at_ < text_.size()) {
        const std::string part = text_.substr(at_, 1 + random_() % 30'000);
        const auto more = job.write_input(part);
        if (!more) return;
        at_ += part.size();
        if (!*more || random_() % 4 == 0) return;
    }
    if (!std::exchange(closed_, true)) job.close_input();
}

Task printing(Random& random) {
    const auto status = static_cast<int>(random() % 3);
    const std::string out(1 + random() % 300, 'o');
    const std::string error_out(1 + random() % 300, 'e');
    return {"print",
            script("print " + out + " then print-to 2 " + error_out + " then print " + out + " then exit " +
                   std::to_string(status)),
            [=](const RunResult& result) {
                if (result.returncode != status) return std::string("another exit status");
                return expect_output(result, out + out, error_out);
            }};
}

Task random_task(Random& random, const Places& places) {
    static const unsigned all = [] {
        unsigned sum = 0;
        for (const Kind& kind : kinds) sum += kind.weight;
        return sum;
    }();
    auto left = static_cast<unsigned>(random() % all);
    for (const Kind& kind : kinds) {
        if (left < kind.weight) return kind.make(random, places);
        left -= kind.weight;
    }
    return printing(random);
}

Task task_with(const std::string& place, Random& random, const Places& places) {
    if (place == "read timerfd") return random() % 2 == 0 ? too_large(random, places) : too_many(random, places);
    if (place == "poll socket") return exact(random, places);
    if (place == "read file") return copying_file(random, places);
    if (place == "write socket") return forwarding(random, places);
    if (place == "write spool") return spooling(random, places);
    if (place == "write pipe") return random() % 2 == 0 ? talking(random, places) : copying(random, places);
    return random_task(random, places);
}

}  // namespace schedule
