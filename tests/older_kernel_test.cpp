// SPDX-License-Identifier: MIT
//
// What the library does on kernels that offer less than this one, by pretending. The emulated machine has the kernels.
#include "support.hpp"

#include <csignal>

#include <chrono>
#include <memory>
#include <string>

#include "reactor/reactor_core.hpp"

using namespace std::chrono_literals;
using proctor::Job;
using proctor::Outcome;
using proctor::RunResult;
using proctor::detail::ReactorCore;
using support::script;

namespace {

std::shared_ptr<ReactorCore> make_core() {
    auto core = ReactorCore::create({}, {});
    REQUIRE(core.has_value());
    return *core;
}

RunResult run_alone(Job job) {
    const auto core = make_core();
    RunResult result;
    core->submit(std::move(job), {.on_end = [&](RunResult&& ended) { result = std::move(ended); }});
    REQUIRE(core->run());
    core->retire();
    return result;
}

// SIGPIPE ends a program that has neither blocked nor ignored it, so a test that comes to its end has seen none.
class DefaultSigpipe {
public:
    DefaultSigpipe() { before_ = std::signal(SIGPIPE, SIG_DFL); }
    DefaultSigpipe(const DefaultSigpipe&) = delete;
    DefaultSigpipe& operator=(const DefaultSigpipe&) = delete;
    ~DefaultSigpipe() { std::signal(SIGPIPE, before_); }

private:
    void (*before_)(int) = SIG_DFL;
};

}  // namespace

TEST_CASE("before 6.18: children that end without reading their input send no SIGPIPE to the host") {
    const DefaultSigpipe unprotected;
    for (int round = 0; round < 20; ++round) {
        const auto core = make_core();
        int ends = 0;
        for (int i = 0; i < 20; ++i) {
            // Some never read, some read a part, so that writes fail at once and after waiting for room.
            Job job = script(i % 2 == 0 ? "exit 0" : "read 10000 then exit 0");
            job.input = proctor::Input::text(std::string(300'000, 'x'));
            core->submit(std::move(job), {.on_end = [&](RunResult&& result) {
                             CHECK_MESSAGE(result.outcome == Outcome::pass, support::describe(result));
                             ++ends;
                         }});
        }
        REQUIRE(core->run());
        CHECK(ends == 20);
        core->retire();
    }
}

TEST_CASE("before 6.18: a ring that is closed while a write waits sends no SIGPIPE") {
    const DefaultSigpipe unprotected;
    for (int passes = 0; passes < 30; ++passes) {
        const auto core = make_core();
        Job job = script("ready then exit 0");
        job.input = proctor::Input::text(std::string(300'000, 'x'));
        for (int i = 0; i < 5; ++i) core->submit(job, {});
        for (int i = 0; i < passes; ++i) REQUIRE(core->run_once(0ns));
        core->retire();
    }
    CHECK_FALSE(support::has_children());
}

TEST_CASE("before 6.18: a SIGPIPE that the host has pending is left to it") {
    CHECK(support::in_host([]() -> std::string {
              sigset_t pipe_only;
              sigemptyset(&pipe_only);
              sigaddset(&pipe_only, SIGPIPE);
              HOST_CHECK(::sigprocmask(SIG_BLOCK, &pipe_only, nullptr) == 0);
              HOST_CHECK(::raise(SIGPIPE) == 0);
              Job job = script("exit 0");
              job.input = proctor::Input::text(std::string(300'000, 'x'));
              HOST_CHECK(run_alone(std::move(job)).outcome == Outcome::pass);
              sigset_t pending;
              HOST_CHECK(::sigpending(&pending) == 0);
              HOST_CHECK(sigismember(&pending, SIGPIPE) == 1);
              return {};
          }).empty());
}

TEST_CASE("before 6.9: the group is killed, and only the group of our own leader") {
    Job job = script("fork [ ignore 15 then ready then pause ] then print up");
    support::Witness witness(job);
    const RunResult result = run_alone(std::move(job));
    CHECK_MESSAGE(result.outcome == Outcome::pass, support::describe(result));
    CHECK(result.capture.text(proctor::STDOUT) == "up");
    CHECK(witness.all_gone());
}

TEST_CASE("before 6.4: a flood both ways arrives whole, and no kernel worker is made") {
    Job job = script("copy 0 1");
    const std::string text = support::pattern(8 << 20);
    job.input = proctor::Input::text(text);
    const RunResult result = run_alone(std::move(job));
    CHECK_MESSAGE(result.outcome == Outcome::pass, support::describe(result));
    CHECK(result.capture.text(proctor::STDOUT) == text);
}
