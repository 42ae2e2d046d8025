// SPDX-License-Identifier: MIT
//
// The end and the moving of reactors, at every moment.
#include "support.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using proctor::CaptureRecord;
using proctor::Job;
using proctor::JobHandle;
using proctor::JobState;
using proctor::Reactor;
using proctor::RunResult;
using proctor::STDOUT;
using support::script;
using support::Witness;

namespace {

void check_dead(const JobHandle& handle) {
    CHECK(handle.state() == JobState::ended);
    CHECK_FALSE(handle.pid().has_value());
    CHECK_FALSE(handle.usage().has_value());
    CHECK_FALSE(handle.reason().has_value());
    handle.cancel();
    handle.pause_output(STDOUT);
    handle.resume_output(STDOUT);
    CHECK_FALSE(handle.signal(15));
}

}  // namespace

TEST_CASE("destroying a reactor kills and reaps what it runs, and calls no handler") {
    const std::set<int> descriptors = support::open_descriptors();
    {
        std::vector<JobHandle> handles;
        int calls = 0;
        int records = 0;
        Job job = script("fork [ ignore 15 then ready then pause ] then print up then pause");
        job.kill_after = 1h;
        Witness witness(job);
        {
            Reactor reactor = support::make_reactor({.max_running = 10});
            for (int i = 0; i < 20; ++i) {
                handles.push_back(reactor.submit(job, {.on_record = [&](const CaptureRecord&) { ++records; },
                                                       .on_end = [&](RunResult&&) { ++calls; }}));
            }
            while (records < 10) REQUIRE(reactor.run_once());
        }
        CHECK_FALSE(support::has_children());
        CHECK(calls == 0);
        CHECK(records == 10);
        for (const JobHandle& handle : handles) check_dead(handle);
        CHECK(witness.all_gone());
    }
    CHECK(support::open_descriptors() == descriptors);
}

TEST_CASE("destroying a reactor at any moment of its jobs' lives leaves nothing") {
    const std::set<int> descriptors = support::open_descriptors();
    for (int passes = 0; passes < 60; ++passes) {
        CAPTURE(passes);
        Job job = script("fork [ ready then copy-to-both ] then copy-to-both then fill 1 100000");
        job.input = proctor::Input::text(std::string(200'000, 'x'));
        job.limits.time = 1h;
        job.drain_grace = 1h;
        Witness witness(job);
        {
            Reactor reactor = support::make_reactor();
            reactor.submit(job);
            reactor.submit({.argv = {"/nonexistent/program"}});
            reactor.submit(script("exit 0"));
            for (int i = 0; i < passes; ++i) REQUIRE(reactor.run_once(0ns));
        }
        CHECK_FALSE(support::has_children());
        CHECK(witness.all_gone());
    }
    CHECK(support::open_descriptors() == descriptors);
}

TEST_CASE("a reactor that never ran can be destroyed with its jobs") {
    const support::TempDir dir;
    JobHandle handle;
    {
        Reactor reactor = support::make_reactor();
        handle =
            reactor.submit(script("write-file " + dir.file("ran") + " x"), [](RunResult&&) { FAIL("it never ran"); });
        CHECK(handle.state() == JobState::queued);
    }
    check_dead(handle);
}

TEST_CASE("a reactor may be destroyed in a handler") {
    auto reactor = std::make_unique<Reactor>(support::make_reactor());
    Job job = script("print up then pause");
    Witness witness(job);
    int calls = 0;
    const auto destroy = [&] {
        ++calls;
        reactor.reset();
    };
    proctor::Watch watch;
    support::Pipe pipe;
    SUBCASE("of a record") {
        reactor->submit(script("print x then pause"), {.on_record = [&](const CaptureRecord&) { destroy(); }});
    }
    SUBCASE("of an end") {
        reactor->submit(script("exit 0"), [&](RunResult&&) { destroy(); });
    }
    SUBCASE("of a refused job") {
        reactor->submit({}, [&](RunResult&&) { destroy(); });
    }
    SUBCASE("of a job that cannot be executed") {
        reactor->submit({.argv = {"/nonexistent/program"}}, [&](RunResult&&) { destroy(); });
    }
    SUBCASE("of a watch") {
        support::write_all(pipe.write_end.get(), "x");
        auto made = reactor->watch(pipe.read_end.get(), destroy);
        REQUIRE(made);
        watch = std::move(*made);
    }
    const JobHandle handle = reactor->submit(job, [](RunResult&&) { FAIL("it was destroyed"); });
    static_cast<void>(reactor->run());
    CHECK(calls == 1);
    CHECK(reactor == nullptr);
    CHECK_FALSE(support::has_children());
    CHECK(witness.all_gone());
    check_dead(handle);
}

TEST_CASE("what a handler holds is destroyed with the job's end, and may then use the reactor") {
    Reactor reactor = support::make_reactor();
    int destroyed = 0;
    const auto guard = [&] {
        return std::shared_ptr<int>(new int(0), [&](const int* number) {
            delete number;
            ++destroyed;
            if (destroyed == 1) reactor.submit(script("exit 0"));
        });
    };
    reactor.submit(script("exit 0"), [held = guard()](RunResult&&) {});
    reactor.submit({}, [held = guard()](RunResult&&) {});
    REQUIRE(reactor.run());
    CHECK(destroyed == 2);
}

TEST_CASE("a handle outlives its job and its reactor") {
    JobHandle handle;
    {
        Reactor reactor = support::make_reactor();
        handle = reactor.submit(script("exit 0"));
        const JobHandle copy = handle;
        CHECK(copy.state() == JobState::queued);
        REQUIRE(reactor.run());
        check_dead(copy);
        // A later job does not answer for it.
        const JobHandle later = reactor.submit(script("pause"));
        check_dead(copy);
        CHECK(later.state() != JobState::ended);
    }
    check_dead(handle);
}

TEST_CASE("a reactor that is moved goes on with its jobs") {
    Reactor first = support::make_reactor();
    std::string text;
    bool up = false;
    support::Pipe pipe;
    Job job = script("print up then await-byte 7 then print done");
    job.descriptors = {{.from = pipe.read_end.get(), .to = 7}};
    const JobHandle handle = first.submit(job, {.on_record = [&](const CaptureRecord&) { up = true; },
                                                .on_end = [&](RunResult&& r) { text = r.capture.text(STDOUT); }});
    while (!up) REQUIRE(first.run_once());
    Reactor second = std::move(first);
    CHECK(handle.state() == JobState::running);
    support::write_all(pipe.write_end.get(), "x");
    REQUIRE(second.run());
    CHECK(text == "updone");
}

TEST_CASE("a reactor that another is moved into gives up its own jobs") {
    Job job = script("print up then pause");
    Witness witness(job);
    Reactor reactor = support::make_reactor();
    bool up = false;
    const JobHandle old = reactor.submit(job, {.on_record = [&](const CaptureRecord&) { up = true; },
                                               .on_end = [](RunResult&&) { FAIL("it was given up"); }});
    while (!up) REQUIRE(reactor.run_once());
    reactor = support::make_reactor();
    check_dead(old);
    CHECK_FALSE(support::has_children());
    CHECK(witness.all_gone());
    bool ended = false;
    reactor.submit(script("exit 0"), [&](RunResult&&) { ended = true; });
    REQUIRE(reactor.run());
    CHECK(ended);
}
