// SPDX-License-Identifier: MIT
//
// Many jobs on one reactor, handlers that change what it does, and several reactors that must not meet.
#include "support.hpp"

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using proctor::CaptureRecord;
using proctor::Job;
using proctor::JobHandle;
using proctor::JobState;
using proctor::Outcome;
using proctor::Reactor;
using proctor::RunResult;
using proctor::Stage;
using proctor::STDOUT;
using support::script;

TEST_CASE("2,000 jobs, 200 at once, each get their own right result, and nothing is left of them") {
    const std::set<int> descriptors = support::open_descriptors();
    {
        Reactor reactor = support::make_reactor({.max_running = 200});
        const int jobs = support::rounds(2000);
        std::vector<int> ends(static_cast<std::size_t>(jobs));
        for (int i = 0; i < jobs; ++i) {
            Job job = script("copy 0 1 then print-to 2 " + std::to_string(i) + " then exit " + std::to_string(i % 256));
            job.input = proctor::Input::text("job " + std::to_string(i));
            reactor.submit(job, [&ends, i](RunResult&& result) {
                CAPTURE(i);
                INFO(support::describe(result));
                CHECK(result.exit_code == i % 256);
                CHECK(result.capture.text(STDOUT) == "job " + std::to_string(i));
                CHECK(result.capture.text(proctor::STDERR) == std::to_string(i));
                ++ends[static_cast<std::size_t>(i)];
            });
        }
        CHECK(reactor.size() == ends.size());
        REQUIRE(reactor.run());
        CHECK(reactor.size() == 0);
        CHECK(ends == std::vector<int>(ends.size(), 1));
        CHECK_FALSE(support::has_children());
    }
    CHECK(support::open_descriptors() == descriptors);
    CHECK(support::threads_left().empty());
}

TEST_CASE("no more than max_running jobs are alive at once, and the others wait in order") {
    Reactor reactor = support::make_reactor({.max_running = 3});
    int running = 0;
    int most = 0;
    std::vector<int> order;
    for (int i = 0; i < 20; ++i) {
        reactor.submit(script("print x then await-end 0"), {.on_record =
                                                                [&, i](const CaptureRecord&) {
                                                                    order.push_back(i);
                                                                    most = std::max(most, ++running);
                                                                },
                                                            .on_end = [&](RunResult&&) { --running; }});
    }
    REQUIRE(reactor.run());
    CHECK(order.size() == 20);
    CHECK(most <= 3);
    for (std::size_t i = 0; i < order.size(); ++i) {
        // A job starts after all but two of those before it have ended.
        CHECK(order[i] <= static_cast<int>(i) + 2);
    }
}

TEST_CASE("with max_running 1 jobs run one after the other") {
    Reactor reactor = support::make_reactor({.max_running = 1});
    std::vector<int> order;
    for (int i = 0; i < 10; ++i) {
        reactor.submit(script("exit 0"), [&order, i](RunResult&&) { order.push_back(i); });
    }
    REQUIRE(reactor.run());
    CHECK(order == std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
}

TEST_CASE("a reactor for no job or for too many is refused") {
    for (const unsigned count : {0U, 16'001U, ~0U}) {
        const auto reactor = Reactor::create({.max_running = count});
        REQUIRE_FALSE(reactor);
        CHECK(reactor.error().stage == Stage::setup);
        CHECK_FALSE(reactor.error().message.empty());
    }
    CHECK(Reactor::create({.max_running = 1}));
}

TEST_CASE("a handler may submit the next job, thousands deep, and is never called inside submit") {
    Reactor reactor = support::make_reactor();
    const int jobs = support::rounds(4000);
    int ended = 0;
    int depth = 0;
    std::function<void(RunResult &&)> next = [&](RunResult&&) {
        CHECK(depth == 0);
        ++depth;
        // Every other job is refused at once, which must not recurse either.
        if (++ended < jobs) reactor.submit(ended % 2 == 0 ? script("exit 0") : Job{}, next);
        --depth;
    };
    reactor.submit(script("exit 0"), next);
    REQUIRE(reactor.run());
    CHECK(ended == jobs);
}

TEST_CASE("a job may be submitted with handlers of any form, or none") {
    Reactor reactor = support::make_reactor();
    int ends = 0;
    reactor.submit(script("exit 0"));
    reactor.submit(script("exit 0"), {});
    reactor.submit(script("exit 0"), {.on_end = [&](RunResult&&) { ++ends; }});
    reactor.submit(script("exit 0"), [&](const RunResult&) { ++ends; });
    reactor.submit(script("exit 0"), std::function<void(RunResult &&)>([&](RunResult&&) { ++ends; }));
    REQUIRE(reactor.run());
    CHECK(ends == 3);
}

TEST_CASE("handlers of different jobs are never inside each other") {
    Reactor reactor = support::make_reactor();
    int depth = 0;
    int calls = 0;
    const auto enter = [&](auto&&) {
        CHECK(++depth == 1);
        ++calls;
        reactor.cancel_all();
        CHECK(reactor.submit({}).state() != JobState::ended);
        --depth;
    };
    for (int i = 0; i < 20; ++i) reactor.submit(script("print x then pause"), {.on_record = enter, .on_end = enter});
    REQUIRE(reactor.run());
    CHECK(calls >= 20);
}

TEST_CASE("a handler may cancel other jobs and drop its own handle") {
    Reactor reactor = support::make_reactor();
    std::vector<std::unique_ptr<JobHandle>> handles(20);
    int cancelled = 0;
    for (auto& own : handles) {
        own = std::make_unique<JobHandle>(reactor.submit(script("pause"), [&](RunResult&& result) {
            own.reset();
            if (result.error && result.error->stage == Stage::cancelled) ++cancelled;
        }));
    }
    reactor.submit(script("print go"), {.on_record = [&](const CaptureRecord&) {
                       for (const auto& handle : handles) handle->cancel();
                   }});
    REQUIRE(reactor.run());
    CHECK(cancelled == 20);
}

TEST_CASE("a result may be moved from, and a job may have no handler") {
    Reactor reactor = support::make_reactor();
    std::vector<RunResult> results;
    reactor.submit(script("exit 1"));
    reactor.submit(script("exit 2"), proctor::Handlers{});
    reactor.submit(script("print moved"), [&](RunResult&& result) { results.push_back(std::move(result)); });
    REQUIRE(reactor.run());
    REQUIRE(results.size() == 1);
    CHECK(results[0].capture.text(STDOUT) == "moved");
}

TEST_CASE("the same job may be submitted many times") {
    Reactor reactor = support::make_reactor();
    const Job job = script("print same");
    int right = 0;
    for (int i = 0; i < 100; ++i) {
        reactor.submit(job, [&](RunResult&& result) { right += result.capture.text(STDOUT) == "same" ? 1 : 0; });
    }
    REQUIRE(reactor.run());
    CHECK(right == 100);
}

TEST_CASE("run without a job returns at once, and can be called again") {
    Reactor reactor = support::make_reactor();
    REQUIRE(reactor.run());
    for (int i = 0; i < 3; ++i) {
        bool ended = false;
        reactor.submit(script("exit 0"), [&](RunResult&&) { ended = true; });
        REQUIRE(reactor.run());
        CHECK(ended);
    }
    REQUIRE(reactor.run());
}

TEST_CASE("reactors on several threads do not see each other's children") {
    const int jobs = support::rounds(200);
    std::vector<std::string> complaints(4);
    std::vector<std::thread> threads;
    for (std::size_t thread = 0; thread < complaints.size(); ++thread) {
        threads.emplace_back([&complaint = complaints[thread], thread, jobs] {
            Reactor reactor = support::make_reactor({.max_running = 16});
            int right = 0;
            for (int i = 0; i < jobs; ++i) {
                const std::string text = std::to_string(thread) + "." + std::to_string(i);
                const int status = (i + static_cast<int>(thread)) % 256;
                reactor.submit(script("print " + text + " then exit " + std::to_string(status)),
                               [&, text, status](RunResult&& r) {
                                   if (r.exit_code == status && r.capture.text(STDOUT) == text)
                                       ++right;
                                   else
                                       complaint += support::describe(r) + "\n";
                               });
            }
            if (!reactor.run()) complaint += "run failed";
            if (right != jobs) complaint += std::to_string(right) + " right";
        });
    }
    for (std::thread& thread : threads) thread.join();
    for (const std::string& complaint : complaints) CHECK(complaint == "");
}

TEST_CASE("two reactors may take turns on one thread") {
    Reactor first = support::make_reactor();
    Reactor second = support::make_reactor();
    int ended = 0;
    for (int i = 0; i < 20; ++i) {
        (i % 2 == 0 ? first : second).submit(script("print x"), [&](RunResult&& result) {
            ended += result.passed() ? 1 : 0;
        });
    }
    while (first.size() + second.size() > 0) {
        REQUIRE(first.run_once(1ms));
        REQUIRE(second.run_once(1ms));
    }
    CHECK(ended == 20);
}

TEST_CASE("a handler may use a reactor of its own") {
    Reactor reactor = support::make_reactor();
    std::string inner;
    reactor.submit(script("print outer"), [&](RunResult&&) { inner = support::output_of(script("print inner")); });
    REQUIRE(reactor.run());
    CHECK(inner == "inner");
}

TEST_CASE("a reactor belongs to the thread that first runs it, and what was submitted before is run there") {
    Reactor reactor = support::make_reactor();
    std::thread::id ran_on;
    reactor.submit(script("exit 0"), [&](RunResult&& result) {
        CHECK(result.passed());
        ran_on = std::this_thread::get_id();
    });
    std::thread::id other;
    std::thread thread([&] {
        other = std::this_thread::get_id();
        CHECK(reactor.run());
    });
    thread.join();
    CHECK(ran_on == other);
    const auto run = reactor.run();
    REQUIRE_FALSE(run);
    CHECK_FALSE(run.error().message.empty());
    CHECK_FALSE(reactor.run_once(0ns));
}

TEST_CASE("the thread that asks for the descriptor owns the reactor") {
    Reactor reactor = support::make_reactor();
    REQUIRE(reactor.fd() >= 0);
    std::thread thread([&] { CHECK_FALSE(reactor.run()); });
    thread.join();
    CHECK(reactor.run());
}

TEST_CASE("running a reactor inside one of its handlers is an error, and the run goes on") {
    Reactor reactor = support::make_reactor();
    int refused = 0;
    const auto try_to_run = [&](auto&&) {
        if (!reactor.run()) ++refused;
        if (!reactor.run_once(0ns)) ++refused;
    };
    reactor.submit(script("print x"), {.on_record = try_to_run, .on_end = try_to_run});
    bool ended = false;
    reactor.submit(script("exit 0"), [&](RunResult&&) { ended = true; });
    REQUIRE(reactor.run());
    CHECK(refused == 4);
    CHECK(ended);
}

TEST_CASE("the blocking one-liner answers with the result, also of a job that cannot run") {
    const RunResult good = proctor::run({.argv = {support::child(), "print", "out"}});
    CHECK(good.passed());
    CHECK(good.capture.text(STDOUT) == "out");
    const RunResult bad = proctor::run({});
    CHECK(bad.outcome == Outcome::error);
    REQUIRE(bad.error.has_value());
    CHECK(bad.error->stage == Stage::setup);
}

TEST_CASE("with the reactor suspended while children start, all is the same") {
    Reactor reactor = support::make_reactor({.max_running = 16, .suspend_while_starting = true});
    int right = 0;
    for (int i = 0; i < 100; ++i) {
        reactor.submit(script("print x then exit 3"), [&](RunResult&& result) {
            right += result.exit_code == 3 && result.capture.text(STDOUT) == "x" ? 1 : 0;
        });
        reactor.submit({.argv = {"/nonexistent/program"}}, [&](RunResult&& result) {
            right += result.error && result.error->stage == Stage::exec ? 1 : 0;
        });
    }
    REQUIRE(reactor.run());
    CHECK(right == 200);
}
