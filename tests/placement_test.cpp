// SPDX-License-Identifier: MIT
//
// On which processors a job runs, seen from the reactor's thread. That is bound by the test where the answer would
// depend on the scheduler otherwise.
#include "support.hpp"

#include <sched.h>

#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "process/processors.hpp"

using namespace std::chrono_literals;
using proctor::Containment;
using proctor::Job;
using proctor::Outcome;
using proctor::PairResult;
using proctor::Placement;
using proctor::Reactor;
using proctor::Reason;
using proctor::RunResult;
using proctor::Stage;
using proctor::STDERR;
using proctor::STDOUT;
using proctor::detail::allowed_processors;
using proctor::detail::choose_processors;
using support::script;

namespace {

using Processors = std::vector<unsigned>;

/// The calling thread may use these processors alone, until the end of the scope.
class Bound {
public:
    explicit Bound(const Processors& processors) : before_(allowed_processors()) { bind(processors); }
    Bound(const Bound&) = delete;
    Bound& operator=(const Bound&) = delete;
    ~Bound() { bind(before_); }

private:
    static void bind(const Processors& processors) {
        std::array<cpu_set_t, proctor::detail::processor_numbers_end / CPU_SETSIZE> sets{};
        for (const unsigned each : processors) CPU_SET(each % CPU_SETSIZE, &sets[each / CPU_SETSIZE]);
        if (sched_setaffinity(0, sizeof sets, sets.data()) != 0) FAIL("the test cannot be bound");
    }

    Processors before_;
};

// As the helper prints them.
std::string text_of(const Processors& processors) {
    std::string text;
    for (const unsigned each : processors) text += std::to_string(each) + " ";
    return text + "\n";
}

Processors without(Processors processors, unsigned one) {
    std::erase(processors, one);
    return processors;
}

Job placed(Placement placement, const std::string& words = "processors 1") {
    Job job = script(words);
    job.placement = placement;
    return job;
}

std::string run_on(Reactor& reactor, Job job) {
    RunResult result;
    reactor.submit(std::move(job), [&](RunResult&& ended) { result = std::move(ended); });
    REQUIRE(reactor.run());
    INFO(support::describe(result));
    CHECK(result.passed());
    return result.capture.text(STDOUT);
}

// For tests that say nothing on one processor.
bool has_two_processors() {
    if (allowed_processors().size() > 1) return true;
    support::skip("this host may use one processor alone");
    return false;
}

}  // namespace

TEST_CASE("what a placement chooses of the host's processors") {
    const Processors three = {1, 4, 1100};
    struct Row {
        const char* what;
        Placement placement;
        Processors of_host;
        std::optional<unsigned> reactors;
        Processors chosen;
    };
    const Row table[] = {
        {"any", Placement::any(), three, 4, {}},
        {"with the reactor", Placement::with_reactor(), three, 4, {4}},
        {"with a reactor that has been bound elsewhere since", Placement::with_reactor(), three, 2, {2}},
        {"with a reactor that is nobody knows where", Placement::with_reactor(), three, std::nullopt, {}},
        {"apart from the first", Placement::apart(), three, 1, {4, 1100}},
        {"apart from the last", Placement::apart(), three, 1100, {1, 4}},
        {"apart from one that is not the host's", Placement::apart(), three, 2, three},
        {"apart from a reactor that is nobody knows where", Placement::apart(), three, std::nullopt, three},
        {"apart where there is no other", Placement::apart(), {4}, 4, {}},
        {"the first", Placement::slot(0), three, 4, {1}},
        {"the last", Placement::slot(2), three, 4, {1100}},
        {"once round", Placement::slot(3), three, 4, {1}},
        {"a large number", Placement::slot(4294967295U), three, 4, {1}},
        {"one of one", Placement::slot(7), {4}, 4, {4}},
        {"a number where the processors are not known", Placement::slot(1), {}, 4, {}},
    };
    for (const Row& row : table) {
        INFO(row.what);
        CHECK(choose_processors(row.placement, row.of_host, row.reactors) == row.chosen);
    }
}

TEST_CASE("a placement tells what it is") {
    CHECK(Job{}.placement == Placement::any());
    CHECK(Placement::any().kind() == Placement::Kind::any);
    CHECK(Placement::with_reactor().kind() == Placement::Kind::with_reactor);
    CHECK(Placement::apart().kind() == Placement::Kind::apart);
    CHECK(Placement::slot(3).kind() == Placement::Kind::slot);
    CHECK(Placement::slot(3).number() == 3);
    CHECK(Placement::slot(3) != Placement::slot(4));
}

TEST_CASE("a job that is placed nowhere may run where the reactor's thread may") {
    CHECK(support::output_of(placed(Placement::any())) == text_of(allowed_processors()));
    Reactor reactor = support::make_reactor();
    const Bound bound({allowed_processors().back()});
    CHECK(run_on(reactor, placed(Placement::any())) == text_of(allowed_processors()));
}

TEST_CASE("a job with the reactor has one processor, which the reactor's thread may use") {
    Processors parsed;
    const std::string printed = support::output_of(placed(Placement::with_reactor()));
    for (const unsigned each : allowed_processors()) {
        if (printed == text_of({each})) parsed.push_back(each);
    }
    INFO(printed);
    CHECK(parsed.size() == 1);
}

TEST_CASE("in each containment a job with the reactor is where that is bound, and one apart everywhere else") {
    if (!has_two_processors()) return;
    const Processors all = allowed_processors();
    for (const Containment kind : support::containments()) {
        INFO(support::name_of(kind));
        Reactor reactor = support::make_reactor({.containment = kind});
        for (const unsigned processor : {all.front(), all.back()}) {
            const Bound bound({processor});
            CHECK(run_on(reactor, placed(Placement::with_reactor())) == text_of({processor}));
            CHECK(run_on(reactor, placed(Placement::apart())) == text_of(without(all, processor)));
        }
    }
}

TEST_CASE("in each containment slots go round the host's processors, wherever the reactor's thread is bound") {
    const Processors all = allowed_processors();
    for (const Containment kind : support::containments()) {
        INFO(support::name_of(kind));
        Reactor reactor = support::make_reactor({.containment = kind});
        const Bound bound({all.front()});
        for (unsigned n = 0; n < 2 * all.size(); ++n) {
            CHECK(run_on(reactor, placed(Placement::slot(n))) == text_of({all[n % all.size()]}));
        }
    }
}

TEST_CASE("where the host may use one processor alone, every placement is that") {
    const Processors one = {allowed_processors().back()};
    const Bound bound(one);
    Reactor reactor = support::make_reactor();
    for (const Placement placement :
         {Placement::any(), Placement::with_reactor(), Placement::apart(), Placement::slot(0), Placement::slot(5)}) {
        CHECK(run_on(reactor, placed(placement)) == text_of(one));
    }
}

TEST_CASE("what a job starts inherits its placement") {
    if (!has_two_processors()) return;
    const std::string one = text_of({allowed_processors().back()});
    const Placement last = Placement::slot(static_cast<unsigned>(allowed_processors().size() - 1));
    CHECK(support::output_of(placed(last, "fork [ processors 1 ] then processors 1")) == one + one);
}

TEST_CASE("a placement leaves the reactor's thread and later jobs alone") {
    const Processors before = allowed_processors();
    Reactor reactor = support::make_reactor();
    for (const Placement placement : {Placement::with_reactor(), Placement::apart(), Placement::slot(0)}) {
        (void)run_on(reactor, placed(placement));
        CHECK(allowed_processors() == before);
        CHECK(run_on(reactor, placed(Placement::any())) == text_of(before));
    }
}

TEST_CASE("a pair with the reactor is on one processor, and each of a pair may be elsewhere") {
    const Processors all = allowed_processors();
    const auto talk = [](Reactor& reactor, Placement first, Placement second) {
        PairResult result;
        reactor.submit_pair(placed(first, "processors 2"), placed(second, "processors 2"),
                            [&](PairResult&& ended) { result = std::move(ended); });
        REQUIRE(reactor.run());
        INFO(support::describe(result));
        CHECK(result.passed());
        return std::pair(result.first.capture.text(STDERR), result.second.capture.text(STDERR));
    };
    Reactor reactor = support::make_reactor();
    const auto together = talk(reactor, Placement::with_reactor(), Placement::with_reactor());
    CHECK(together.first == together.second);
    const Bound bound({all.front()});
    const auto both = talk(reactor, Placement::with_reactor(), Placement::slot(1));
    CHECK(both.first == text_of({all.front()}));
    CHECK(both.second == text_of({all[1 % all.size()]}));
}

TEST_CASE("a limit of processor time ends threads that share the processor of a placement") {
    for (const Containment kind : support::containments()) {
        INFO(support::name_of(kind));
        Job job = placed(Placement::slot(0), "thread [ spin ] then thread [ spin ] then spin");
        job.limits = {.time = 60s, .cpu_time = 100ms};
        const RunResult result = support::run_in(kind, std::move(job));
        INFO(support::describe(result));
        CHECK(result.reason == Reason::cpu_limit);
        CHECK(result.usage->utime + result.usage->stime >= 100ms);
    }
}

TEST_CASE("a job with an affinity and a placement is refused, and told what to do") {
    Job job = placed(Placement::apart());
    job.affinity = {allowed_processors().front()};
    const RunResult result = proctor::run(job);
    CHECK(result.outcome == Outcome::error);
    REQUIRE(result.error.has_value());
    CHECK(result.error->stage == Stage::setup);
    CHECK(result.error->message == "the job has both an affinity and a placement");
    CHECK(result.error->cure.find("leave one of them unset") != std::string::npos);
    job.placement = Placement::any();
    CHECK(proctor::run(job).passed());
}
