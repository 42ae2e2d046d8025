// SPDX-License-Identifier: MIT
//
// Jobs under thousands of schedules that no kernel would think of, each from a seed. A seed that fails is printed; with
// it in PROCTOR_SEED, and PROCTOR_ROUNDS=1, the same decisions are made again.
#include <doctest/doctest.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "reactor/reactor_core.hpp"
#include "shaken_engine.hpp"
#include "support.hpp"

using namespace std::chrono_literals;
using namespace proctor;
using detail::ReactorCore;
using support::script;
using support::ShakenEngine;

namespace {

using Random = std::mt19937_64;

std::uint64_t first_seed() {
    const char* const told = std::getenv("PROCTOR_SEED");
    return told != nullptr ? std::strtoull(told, nullptr, 10) : 1;
}

// What is wrong with a result, or nothing.
using Check = std::function<std::string(const RunResult&)>;

struct Task {
    const char* kind = "";
    Job job{};
    Check check{};
    bool cancelled = false;  // some time on the way
};

std::string output(const RunResult& result, Stream stream) { return result.capture.text(stream); }

std::string expect_output(const RunResult& result, const std::string& out, const std::string& error_out) {
    if (output(result, STDOUT) != out) return "stdout differs";
    if (output(result, STDERR) != error_out) return "stderr differs";
    const StreamTotals& totals = result.capture.totals(STDOUT);
    return totals.total_bytes == static_cast<Bytes>(out.size()) ? "" : "the total of stdout is wrong";
}

std::string expect(bool holds, const char* what) { return holds ? "" : what; }

// --- The kinds of jobs

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

Task copying(Random& random) {
    Task task{"copy", script("copy 0 1"), {}};
    const std::string text = support::pattern(random() % 100'000);
    task.job.input = Input::text(text);
    task.check = [text](const RunResult& result) {
        return result.passed() ? expect_output(result, text, "") : std::string("no pass");
    };
    return task;
}

Task spooling(Random& random) {
    const auto size = static_cast<std::size_t>(random() % 700'000);
    Task task{"spool", script("fill 1 " + std::to_string(size)), {}};
    task.job.capture.max_size = static_cast<Bytes>(random() % 3'000);
    task.check = [size](const RunResult& result) {
        return result.passed() ? expect_output(result, support::pattern(size), "") : std::string("no pass");
    };
    return task;
}

Task too_slow(Random&) {
    Task task{"time limit", script("pause"), [](const RunResult& result) {
                  return expect(result.outcome == Outcome::fail && result.reason == Reason::time_limit,
                                "no time_limit");
              }};
    task.job.limits.time = 3ms;
    return task;
}

Task too_much(Random&) {
    Task task{"output limit", script("fill 1 1000000000"), [](const RunResult& result) {
                  if (output(result, STDOUT) != support::pattern(1'000)) return std::string("stdout differs");
                  return expect(result.reason == Reason::output_limit, "no output_limit");
              }};
    task.job.capture.limits.max_stdout_bytes = 1'000;
    task.job.capture.limit_ends_run = true;
    return task;
}

Task missing(Random&) {
    return {"no program", {.argv = {"/no/such/program"}}, [](const RunResult& result) {
                return expect(result.outcome == Outcome::error && result.error && result.error->error_number == ENOENT,
                              "no ENOENT");
            }};
}

Task cancelled(Random&) {
    Task task{"cancel", script("print begun then pause"), [](const RunResult& result) {
                  return expect(result.outcome == Outcome::error && result.error, "no error for a cancelled job");
              }};
    task.cancelled = true;
    return task;
}

Task leaving_others(Random&) {
    return {"left behind", script("fork [ ready then pause ] then print gone"), [](const RunResult& result) {
                return result.passed() ? expect_output(result, "gone", "") : std::string("no pass");
            }};
}

Task random_task(Random& random) {
    constexpr Task (*kinds[])(Random&) = {printing, copying, spooling,  too_slow,
                                          too_much, missing, cancelled, leaving_others};
    return kinds[random() % std::size(kinds)](random);
}

// --- One schedule

// Some jobs at once on an engine with this seed. Answers what is wrong, or nothing.
class Schedule {
public:
    explicit Schedule(std::uint64_t seed) : random_(seed) {
        auto engine = std::make_unique<ShakenEngine>(seed);
        engine_ = engine.get();
        // What holds the jobs together is not what is shaken here, and the group is the quickest that is everywhere.
        auto core = ReactorCore::create({.containment = Containment::tree, .guard = false}, detail::probe_kernel(),
                                        std::move(engine));
        REQUIRE(core.has_value());
        core_ = std::move(*core);
    }
    ~Schedule() { core_->retire(); }

    std::string run() {
        const std::size_t count = 1 + random_() % 5;
        std::vector<Entry> entries(count);
        for (Entry& entry : entries) {
            submit(entry);
        }
        constexpr int most_passes = 2'000'000;
        for (int pass = 0; core_->size() > 0; ++pass) {
            if (pass == most_passes) return "no end";
            // Not for ever: what the host does next may be what a job waits for.
            if (!core_->run_once(std::chrono::microseconds(random_() % 1'000))) return "a pass fails";
            interfere(entries);
        }
        for (const Entry& entry : entries) {
            if (entry.ends != 1)
                return std::string(entry.task.kind) + ": ends " + std::to_string(entry.ends) + " times";
            if (!entry.wrong.empty()) return std::string(entry.task.kind) + ": " + entry.wrong;
        }
        return engine_->in_flight() > 1 ? "requests are in flight after the end" : "";  // one for the sampler's tick
    }
    [[nodiscard]] const std::map<std::string, std::uint64_t>& deeds() const { return engine_->deeds(); }

private:
    struct Entry {
        Task task{};
        JobHandle handle{};
        int ends = 0;
        std::string wrong{};
        std::string seen[2]{};
        std::chrono::nanoseconds last{};
        bool paused = false;
    };

    void submit(Entry& entry) {
        entry.task = random_task(random_);
        entry.task.job.drain_grace = std::chrono::microseconds(random_() % 3'000);
        entry.handle = core_->submit(
            entry.task.job, {.on_record = [&entry](const CaptureRecord& record) { note_record(entry, record); },
                             .on_end = [&entry](RunResult&& result) { note_end(entry, result); }});
    }

    static void note_record(Entry& entry, const CaptureRecord& record) {
        if (record.time < entry.last) entry.wrong = "records go back in time";
        if (entry.ends > 0) entry.wrong = "a record after the end";
        entry.last = record.time;
        if (record.stream != STDIN) entry.seen[record.stream == STDERR] += record.data;
    }

    static void note_end(Entry& entry, const RunResult& result) {
        ++entry.ends;
        if (entry.wrong.empty()) entry.wrong = entry.task.check(result);
        if (!entry.wrong.empty()) entry.wrong += ": " + support::describe(result);
        if (!result.output_limit && entry.wrong.empty() && entry.seen[0] != output(result, STDOUT)) {
            entry.wrong = "what was told is not what was kept";
        }
    }

    // What a host may do at any time.
    void interfere(std::vector<Entry>& entries) {
        for (Entry& entry : entries) {
            if (entry.task.cancelled && random_() % 8 == 0) {
                entry.handle.cancel();
            }
            if (entry.paused || random_() % 16 == 0) {
                entry.paused = !entry.paused;
                const Stream stream = random_() % 2 == 0 ? STDOUT : STDERR;
                if (entry.paused) {
                    entry.handle.pause_output(stream);
                    entry.handle.pause_input();
                } else {
                    entry.handle.resume_output(STDOUT);
                    entry.handle.resume_output(STDERR);
                    entry.handle.resume_input();
                }
            }
        }
    }

    Random random_;
    ShakenEngine* engine_ = nullptr;
    std::shared_ptr<ReactorCore> core_{};
};

}  // namespace

TEST_CASE("whatever an engine does in whichever order, each job ends once and rightly") {
    const int schedules = support::rounds(1'500);
    const std::uint64_t first = first_seed();
    const auto before = support::open_descriptors();
    std::map<std::string, std::uint64_t> deeds;
    int failures = 0;
    for (int i = 0; i < schedules && failures < 3; ++i) {
        const std::uint64_t seed = first + static_cast<std::uint64_t>(i);
        Schedule schedule(seed);
        const std::string wrong = schedule.run();
        CHECK_MESSAGE(wrong.empty(), "PROCTOR_SEED=" << seed << ": " << wrong);
        failures += wrong.empty() ? 0 : 1;
        for (const auto& [deed, times] : schedule.deeds()) deeds[deed] += times;
    }
    CHECK(support::open_descriptors() == before);
    CHECK_FALSE(support::has_children());
    std::string counts;
    for (const auto& [deed, times] : deeds) {
        counts += ", " + deed + " " + std::to_string(times);
    }
    MESSAGE(schedules << " schedules" << counts);
    for (const char* const deed :
         {"EINTR", "EAGAIN", "cancelled", "left for later", "short read", "short write", "timers late"}) {
        CHECK_MESSAGE(deeds[deed] > 0, deed);
    }
}
