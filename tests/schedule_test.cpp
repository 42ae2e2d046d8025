// SPDX-License-Identifier: MIT
//
// Jobs under thousands of schedules that no kernel would think of, each from a seed. A seed that fails is printed; with
// it in PROCTOR_SEED, and PROCTOR_ROUNDS=1, the same decisions are made again.
#include <doctest/doctest.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "reactor/reactor_core.hpp"
#include "schedule_tasks.hpp"
#include "shaken_engine.hpp"
#include "support.hpp"

using namespace std::chrono_literals;
using namespace proctor;
using detail::ReactorCore;
using schedule::Places;
using schedule::Random;
using schedule::Task;
using support::CompletionFault;
using support::ShakenEngine;

namespace {

std::uint64_t first_seed() {
    const char* const told = std::getenv("PROCTOR_SEED");
    return told != nullptr ? std::strtoull(told, nullptr, 10) : 1;
}

using Counts = std::map<std::string, std::uint64_t>;

std::string list(const Counts& counts) {
    std::string all;
    for (const auto& [what, times] : counts) {
        all += (all.empty() ? "" : ", ") + what + " " + std::to_string(times);
    }
    return all;
}

// What holds the jobs together is not what is shaken here: mostly the group, which is the quickest.
ReactorOptions random_options(Random& random) {
    const auto& kinds = support::containments();
    const char* const keeper = std::getenv("PROCTOR_KEEPER");
    ReactorOptions options{.max_running = 2 + static_cast<unsigned>(random() % 8), .containment = Containment::tree};
    if (random() % 3 == 0) options.containment = kinds[random() % kinds.size()];
    options.keeper = keeper != nullptr ? keeper : "";
    options.guard = random() % 4 == 0;
    return options;
}

// Each kind of request with each errno value in turn.
CompletionFault fault_of(std::uint64_t seed, Random& random) {
    static constexpr const char* places[] = {"read pipe", "write pipe",   "write socket", "write spool", "poll pidfd",
                                             "poll pipe", "read timerfd", "read file",    "poll socket"};
    static constexpr int errors[] = {EIO, ENOSPC, ENOMEM, ECANCELED};
    return {places[seed % std::size(places)], static_cast<unsigned>(random() % (random() % 4 == 0 ? 20 : 2)),
            errors[seed / std::size(places) % std::size(errors)]};
}

std::string name_of(const CompletionFault& fault) {
    const char* const name = fault.error_number == EIO      ? "EIO"
                             : fault.error_number == ENOSPC ? "ENOSPC"
                             : fault.error_number == ENOMEM ? "ENOMEM"
                                                            : "ECANCELED";
    return fault.place + ": " + name;
}

// Some jobs at once on an engine with this seed.
class Schedule {
public:
    Schedule(std::uint64_t seed, const Places& places, bool with_fault) : random_(seed), places_(places) {
        auto engine = std::make_unique<ShakenEngine>(seed);
        engine_ = engine.get();
        if (with_fault) {
            fault_ = fault_of(seed, random_);
            engine_->fail(*fault_);
        } else {
            may_destroy_ = random_() % 8 == 0;
        }
        const ReactorOptions options = random_options(random_);
        ++counts_[std::string(support::name_of(options.containment)) + " reactors"];
        auto core = ReactorCore::create(options, detail::probe_kernel(), std::move(engine));
        REQUIRE(core.has_value());
        core_ = std::move(*core);
    }

    // Answers what is wrong, or nothing.
    std::string run() {
        if (fault_) submit(schedule::task_with(fault_->place, random_, places_));
        submit_some(random_() % 5 + (fault_ ? 0 : 1));
        if (const std::string wrong = run_to_the_end(); !wrong.empty()) return wrong;
        fault_came_ = engine_->end_faults() && fault_;
        if (!core_->retired()) {
            submit(schedule::printing(random_));  // whatever became of those
            if (const std::string wrong = run_to_the_end(); !wrong.empty()) return wrong;
            core_->retire();
        }
        const std::string wrong = judge();
        return wrong.empty() && engine_->left_at_close() > 0 ? "requests are in flight after the end" : wrong;
    }
    [[nodiscard]] const Counts& deeds() const { return engine_->deeds(); }
    [[nodiscard]] const Counts& counts() const { return counts_; }

private:
    struct Entry {
        Task task{};
        JobHandle handle{};
        PairHandle pair{};
        int ends = 0;
        std::string wrong{};
        bool excused = false;  // an error that says what failed
        bool may_be_cancelled = false;
        std::string seen[2]{};
        std::chrono::nanoseconds last{};
        bool paused = false;
    };

    std::string run_to_the_end() {
        constexpr int most_passes = 100'000;
        for (int pass = 0; core_->size() > 0 && !core_->retired(); ++pass) {
            if (pass == most_passes) return "no end: " + unfinished();
            // Not for ever: what the host does next may be what a job waits for.
            if (!core_->run_once(std::chrono::microseconds(random_() % 1'000))) return "a pass fails";
            interfere();
        }
        return "";
    }

    std::string unfinished() const {
        std::string kinds;
        for (const Entry& entry : entries_) kinds += entry.ends == 0 ? std::string(entry.task.kind) + " " : "";
        return kinds;
    }

    std::string judge() {
        int excused = 0;
        for (const Entry& entry : entries_) {
            const std::string kind = entry.task.kind;
            if (!entry.wrong.empty() && !(entry.excused && fault_came_)) return kind + ": " + entry.wrong;
            if (entry.ends != 1 && !(destroyed_ && entry.ends == 0)) {
                return kind + ": ends " + std::to_string(entry.ends) + " times";
            }
            excused += entry.wrong.empty() ? 0 : 1;
        }
        if (excused > 1) return "one fault makes " + std::to_string(excused) + " jobs fail";
        if (fault_came_) {
            ++counts_[name_of(*fault_)];
            ++counts_[excused > 0 ? "faults that were told" : "faults that did no harm"];
        }
        return "";
    }

    void submit_some(std::size_t count) {
        for (; count > 0 && entries_.size() < 12; --count) submit(schedule::random_task(random_, places_));
    }

    void submit(Task task) {
        Entry& entry = entries_.emplace_back();
        entry.task = std::move(task);
        ++counts_["jobs"];
        ++counts_[std::string("job: ") + entry.task.kind];
        for (Job* const job : {&entry.task.job, entry.task.partner ? &*entry.task.partner : nullptr}) {
            if (job != nullptr) job->drain_grace = std::chrono::microseconds(random_() % 3'000);
        }
        if (entry.task.partner) {
            entry.pair =
                core_->submit_pair(entry.task.job, *entry.task.partner,
                                   {.on_record = [&](const CaptureRecord& record) { on_record(entry, record); },
                                    .on_end = [&](PairResult&& result) { on_end(entry, result); }},
                                   entry.task.wiring);
            entry.handle = entry.pair.first();
            return;
        }
        entry.handle =
            core_->submit(entry.task.job, {.on_record = [&](const CaptureRecord& record) { on_record(entry, record); },
                                           .on_end = [&](RunResult&& result) { on_end(entry, result); },
                                           .on_input_ready = [&] { write(entry); }});
    }

    void on_record(Entry& entry, const CaptureRecord& record) {
        if (core_->retired()) entry.wrong = "a handler is called after the end";
        if (record.time < entry.last) entry.wrong = "records go back in time";
        if (entry.ends > 0) entry.wrong = "a record after the end";
        entry.last = record.time;
        if (record.stream != STDIN) entry.seen[record.stream == STDERR] += record.data;
        act_in_handler();
    }

    void on_end(Entry& entry, const RunResult& result) {
        note_end(entry, entry.task.check(result), support::describe(result), {result.error});
        const bool told_and_kept = !result.output_limit && !result.error;
        if (entry.wrong.empty() && told_and_kept && entry.seen[0] != result.capture.text(STDOUT)) {
            entry.wrong = "what was told is not what was kept";
        }
        act_in_handler();
    }

    void on_end(Entry& entry, const PairResult& result) {
        note_end(entry, entry.task.check_pair(result), support::describe(result),
                 {result.first.error, result.second.error});
        act_in_handler();
    }

    void note_end(Entry& entry, const std::string& wrong, const std::string& description,
                  std::initializer_list<std::optional<Error>> errors) {
        ++entry.ends;
        if (core_->retired()) entry.wrong = "a handler is called after the end";
        bool cancelled = false;
        for (const auto& error : errors) {
            if (error && error->message.empty()) entry.wrong = "an error without a message: " + description;
            cancelled = cancelled || (error && error->stage == Stage::cancelled && entry.may_be_cancelled);
            entry.excused = entry.excused || (error && fault_ && error->error_number == fault_->error_number);
        }
        if (entry.wrong.empty() && !cancelled && !wrong.empty()) entry.wrong = wrong + ": " + description;
    }

    void write(Entry& entry) {
        if (core_->retired()) entry.wrong = "a handler is called after the end";
        entry.task.writer->go_on(entry.handle);
        act_in_handler();
    }

    // --- What a host may do at any time

    void act_in_handler() {
        if (core_->retired() || random_() % 24 != 0) return;
        switch (random_() % 4) {
            case 0: submit_some(1); break;
            case 1: cancel(entries_[random_() % entries_.size()]); break;
            case 2: pause_or_go_on(entries_[random_() % entries_.size()]); break;
            default: destroy(); break;
        }
    }

    void cancel(Entry& entry) {
        ++counts_["cancels"];
        entry.may_be_cancelled = true;
        if (entry.task.reader) entry.task.reader->expect_less();
        if (entry.task.partner && random_() % 2 == 0) {
            entry.pair.cancel();
        } else {
            entry.handle.cancel();
        }
    }

    static void pause_or_go_on(Entry& entry, Stream stream = STDOUT) {
        entry.paused = !entry.paused;
        if (entry.paused) {
            entry.handle.pause_output(stream);
            entry.handle.pause_input();
        } else {
            entry.handle.resume_output(STDOUT);
            entry.handle.resume_output(STDERR);
            entry.handle.resume_input();
        }
    }

    void destroy() {
        if (may_destroy_ && !std::exchange(destroyed_, true)) {
            ++counts_["destroyed with jobs"];
            core_->retire();
        }
    }

    void interfere() {
        for (Entry& entry : entries_) {
            if (entry.task.cancelled && random_() % 8 == 0) cancel(entry);
            if (entry.paused || random_() % 16 == 0) {
                pause_or_go_on(entry, random_() % 2 == 0 ? STDOUT : STDERR);
            }
            if (entry.task.writer && random_() % 3 == 0) entry.task.writer->go_on(entry.handle);
            if (entry.task.reader && random_() % 3 == 0) entry.task.reader->read();
            if (entry.task.reader_leaves && random_() % 8 == 0) entry.task.reader->leave();
        }
        if (random_() % 48 == 0) destroy();
    }

    Random random_;
    const Places& places_;
    ShakenEngine* engine_ = nullptr;
    std::optional<CompletionFault> fault_{};
    bool fault_came_ = false;
    bool may_destroy_ = false;
    bool destroyed_ = false;
    Counts counts_{};
    std::deque<Entry> entries_{};  // which stay where they are
    std::shared_ptr<ReactorCore> core_{};
};

std::string left_behind(const std::set<int>& before, const Places& places) {
    if (support::open_descriptors() != before) return "descriptors are left";
    if (support::has_children()) return "a child is left";
    return std::filesystem::is_empty(places.spool.path()) ? "" : "a temporary file is left";
}

// Answers what the engine has done.
Counts run_schedules(int schedules, bool with_faults) {
    const Places places;
    (void)support::containments();
    Counts deeds;
    Counts counts;
    int failures = 0;
    int done = 0;
    for (; done < schedules && failures < 3; ++done) {
        const std::uint64_t seed = first_seed() + static_cast<std::uint64_t>(done);
        const auto before = support::open_descriptors();
        std::string wrong;
        {
            Schedule schedule(seed, places, with_faults);
            wrong = schedule.run();
            for (const auto& [deed, times] : schedule.deeds()) deeds[deed] += times;
            for (const auto& [what, times] : schedule.counts()) counts[what] += times;
        }
        if (wrong.empty()) wrong = left_behind(before, places);
        CHECK_MESSAGE(wrong.empty(), "PROCTOR_SEED=" << seed << ": " << wrong);
        failures += wrong.empty() ? 0 : 1;
    }
    MESSAGE(done << " schedules, " << failures << " failures: " << list(counts));
    MESSAGE(list(deeds));
    return deeds;
}

}  // namespace

TEST_CASE("whatever an engine does in whichever order, each job ends once and rightly") {
    Counts deeds = run_schedules(support::rounds(200), false);
    for (const char* const deed : {"EINTR", "EAGAIN", "cancelled", "left for later", "no buffer", "read ahead",
                                   "short read", "short write", "timers late"}) {
        CHECK_MESSAGE(deeds[deed] > 0, deed);
    }
}

TEST_CASE(
    "whichever completion fails, each job ends once, rightly or with an error that says why; and the next works") {
    (void)run_schedules(support::rounds(200), true);
}
