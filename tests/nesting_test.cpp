// SPDX-License-Identifier: MIT
//
// The reactor inside of another loop, one pass at a time, and other descriptors inside of the reactor.
#include "support.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>

using namespace std::chrono_literals;
using proctor::Job;
using proctor::Reactor;
using proctor::RunResult;
using proctor::STDOUT;
using proctor::Watch;
using support::Pipe;
using support::script;

namespace {

// As a foreign loop does: sleeps on the descriptor alone, without an end.
bool await_reactor(Reactor& reactor) {
    pollfd entry{reactor.fd(), POLLIN, 0};
    int ready = 0;
    do {
        ready = poll(&entry, 1, 60'000);
    } while (ready < 0 && errno == EINTR);
    return ready == 1;
}

void read_one(int fd) {
    char byte = 0;
    CHECK(read(fd, &byte, 1) == 1);
}

Watch watch(Reactor& reactor, int fd, std::function<void()> on_readable) {
    auto made = reactor.watch(fd, std::move(on_readable));
    REQUIRE(made);
    return std::move(*made);
}

}  // namespace

TEST_CASE("a loop that sleeps on the reactor's descriptor alone runs all jobs") {
    Reactor reactor = support::make_reactor({.max_running = 4});
    int ended = 0;
    for (int i = 0; i < 20; ++i) {
        Job job = script("copy 0 1");
        job.input = proctor::Input::text("text");
        reactor.submit(job, [&](RunResult&& result) {
            CHECK(result.capture.text(STDOUT) == "text");
            ++ended;
        });
    }
    while (reactor.size() > 0) {
        REQUIRE(await_reactor(reactor));
        REQUIRE(reactor.run_once(0ns));
    }
    CHECK(ended == 20);
}

TEST_CASE("a job that is submitted between passes wakes a loop that sleeps on the descriptor") {
    Reactor reactor = support::make_reactor();
    REQUIRE(reactor.fd() >= 0);
    for (int i = 0; i < 20; ++i) {
        CAPTURE(i);
        bool ended = false;
        // The last one is refused, and that has to be told as well.
        reactor.submit(i < 19 ? script("print x") : Job{}, [&](RunResult&&) { ended = true; });
        while (!ended) {
            REQUIRE(await_reactor(reactor));
            REQUIRE(reactor.run_once(0ns));
        }
    }
}

TEST_CASE("what is done between passes reaches a loop that sleeps on the descriptor") {
    Reactor reactor = support::make_reactor();
    bool ended = false;
    bool paused = false;
    proctor::JobHandle handle;
    SUBCASE("cancel") {
        REQUIRE(reactor.fd() >= 0);
        handle = reactor.submit(script("pause"), [&](RunResult&&) { ended = true; });
        REQUIRE(reactor.run_once(0ns));
        handle.cancel();
    }
    SUBCASE("cancel of a job that waits for its turn") {
        reactor = support::make_reactor({.max_running = 1});
        REQUIRE(reactor.fd() >= 0);
        reactor.submit(script("pause"));
        handle = reactor.submit(script("pause"), [&](RunResult&&) { ended = true; });
        REQUIRE(reactor.run_once(0ns));
        handle.cancel();
    }
    SUBCASE("resume") {
        handle = reactor.submit(script("fill 1 1000000"), {.on_record =
                                                               [&](const proctor::CaptureRecord&) {
                                                                   if (!paused) handle.pause_output(STDOUT);
                                                                   paused = true;
                                                               },
                                                           .on_end = [&](RunResult&&) { ended = true; }});
        while (!paused) {
            REQUIRE(await_reactor(reactor));
            REQUIRE(reactor.run_once(0ns));
        }
        handle.resume_output(STDOUT);
    }
    SUBCASE("a time limit") {
        Job job = script("pause");
        job.limits.time = 50ms;
        reactor.submit(job, [&](RunResult&& result) {
            CHECK(result.reason == proctor::Reason::time_limit);
            ended = true;
        });
    }
    SUBCASE("the end of a drain grace") {
        Job job = script("fork [ ready then pause ] then exit 0");
        job.drain_grace = 50ms;
        reactor.submit(job, [&](RunResult&&) { ended = true; });
    }
    while (!ended) {
        REQUIRE(await_reactor(reactor));
        REQUIRE(reactor.run_once(0ns));
    }
}

TEST_CASE("a reactor's descriptor is watched beside others in one poll") {
    Reactor reactor = support::make_reactor();
    Pipe pipe;
    Job job = script("print-to 8 r then await-byte 7 then print done");
    Pipe answer;
    job.descriptors = {{.from = pipe.write_end.get(), .to = 8}, {.from = answer.read_end.get(), .to = 7}};
    std::string text;
    reactor.submit(job, [&](RunResult&& result) { text = result.capture.text(STDOUT); });
    while (text.empty()) {
        pollfd entries[2] = {{reactor.fd(), POLLIN, 0}, {pipe.read_end.get(), POLLIN, 0}};
        REQUIRE(poll(entries, 2, 60'000) > 0);
        if (entries[0].revents != 0) REQUIRE(reactor.run_once(0ns));
        if (entries[1].revents == 0) continue;
        read_one(pipe.read_end.get());
        support::write_all(answer.write_end.get(), "x");
    }
    CHECK(text == "done");
}

TEST_CASE("a child that floods its pipe keeps nobody else from ending, in whatever way the loop is run") {
    Reactor reactor = support::make_reactor();
    Job flood = script("fill 1 1000000000000");
    flood.capture.keep = false;
    bool flood_ended = false;
    int others = 0;
    proctor::JobHandle flooding;
    std::function<void(RunResult &&)> next = [&](RunResult&& result) {
        CHECK(result.passed());
        if (++others == 20)
            flooding.cancel();
        else
            reactor.submit(script("print x"), next);
    };
    flooding = reactor.submit(flood, {.on_record =
                                          [&](const proctor::CaptureRecord&) {
                                              if (others == 0) reactor.submit(script("print x"), next);
                                              others = std::max(others, 1);
                                          },
                                      .on_end = [&](RunResult&&) { flood_ended = true; }});
    SUBCASE("to the end") { REQUIRE(reactor.run()); }
    SUBCASE("pass by pass") {
        while (!flood_ended) REQUIRE(reactor.run_once());
    }
    SUBCASE("pass by pass, without waiting") {
        while (!flood_ended) REQUIRE(reactor.run_once(0ns));
    }
    SUBCASE("by its descriptor") {
        while (!flood_ended) {
            REQUIRE(await_reactor(reactor));
            REQUIRE(reactor.run_once(0ns));
        }
    }
    CHECK(flood_ended);
    CHECK(others == 20);
}

TEST_CASE("a pass with nothing to do returns at once, or when its time is over") {
    Reactor reactor = support::make_reactor();
    REQUIRE(reactor.run_once(0ns));
    REQUIRE(reactor.run_once());
    REQUIRE(reactor.run_once(-1ns));
    const Pipe silent;
    const Watch silence = watch(reactor, silent.read_end.get(), [] { FAIL("nothing was written"); });
    const auto before = std::chrono::steady_clock::now();
    REQUIRE(reactor.run_once(50ms));
    CHECK(std::chrono::steady_clock::now() - before >= 50ms);
    REQUIRE(reactor.run_once(0ns));
}

TEST_CASE("a pass without a time limit waits for a watched descriptor") {
    Reactor reactor = support::make_reactor();
    Pipe pipe;
    int calls = 0;
    const Watch watched = watch(reactor, pipe.read_end.get(), [&] {
        read_one(pipe.read_end.get());
        ++calls;
    });
    std::thread writer([&] { support::write_all(pipe.write_end.get(), "x"); });
    while (calls == 0) REQUIRE(reactor.run_once());
    writer.join();
    CHECK(calls == 1);
}

TEST_CASE("a watch is called again as long as there is something to read, and at the end of file") {
    Reactor reactor = support::make_reactor();
    Pipe pipe;
    std::string read;
    bool at_end = false;
    support::write_all(pipe.write_end.get(), "abc");
    const Watch watched = watch(reactor, pipe.read_end.get(), [&] {
        char byte = 0;
        const ssize_t count = ::read(pipe.read_end.get(), &byte, 1);
        if (count == 1) read += byte;
        if (count == 0) at_end = true;
        if (read == "abc") pipe.write_end.reset();
    });
    while (!at_end) REQUIRE(reactor.run_once());
    CHECK(read == "abc");
}

TEST_CASE("a watch can be destroyed in its own callback, and in another's") {
    Reactor reactor = support::make_reactor();
    Pipe first;
    Pipe second;
    support::write_all(first.write_end.get(), "x");
    support::write_all(second.write_end.get(), "x");
    std::optional<Watch> first_watch;
    std::optional<Watch> second_watch;
    int calls = 0;
    const auto destroy = [&] {
        ++calls;
        first_watch.reset();
        second_watch.reset();
    };
    first_watch = watch(reactor, first.read_end.get(), destroy);
    second_watch = watch(reactor, second.read_end.get(), destroy);
    while (calls == 0) REQUIRE(reactor.run_once());
    for (int i = 0; i < 5; ++i) REQUIRE(reactor.run_once(1ms));
    CHECK(calls == 1);
}

TEST_CASE("a watch does not keep run going, and works while it goes") {
    Reactor reactor = support::make_reactor();
    Pipe pipe;
    Job job = script("print-to 8 r then await-byte 7");
    Pipe answer;
    job.descriptors = {{.from = pipe.write_end.get(), .to = 8}, {.from = answer.read_end.get(), .to = 7}};
    int calls = 0;
    const Watch watched = watch(reactor, pipe.read_end.get(), [&] {
        read_one(pipe.read_end.get());
        ++calls;
        support::write_all(answer.write_end.get(), "x");
    });
    REQUIRE(reactor.run());
    CHECK(calls == 0);
    reactor.submit(job, [&](RunResult&& result) { CHECK(result.passed()); });
    REQUIRE(reactor.run());
    CHECK(calls == 1);
}

TEST_CASE("a watch may submit jobs and cancel them") {
    Reactor reactor = support::make_reactor();
    Pipe pipe;
    support::write_all(pipe.write_end.get(), "x");
    const proctor::JobHandle waiting = reactor.submit(script("pause"));
    int ended = 0;
    const Watch watched = watch(reactor, pipe.read_end.get(), [&] {
        read_one(pipe.read_end.get());
        waiting.cancel();
        reactor.submit(script("exit 0"), [&](RunResult&&) { ++ended; });
    });
    REQUIRE(reactor.run());
    CHECK(ended == 1);
}

TEST_CASE("watches may be moved and outlive their reactor") {
    Pipe pipe;
    support::write_all(pipe.write_end.get(), "x");
    Watch kept;
    int calls = 0;
    {
        Reactor reactor = support::make_reactor();
        Watch made = watch(reactor, pipe.read_end.get(), [&] { ++calls; });
        kept = std::move(made);
        while (calls == 0) REQUIRE(reactor.run_once());
        Watch replaced = watch(reactor, pipe.read_end.get(), [] { FAIL("it was replaced"); });
        replaced = std::move(kept);
        kept = std::move(replaced);
        calls = 0;
        while (calls == 0) REQUIRE(reactor.run_once());
    }
    kept = Watch();
}

TEST_CASE("descriptors that cannot be watched are refused") {
    Reactor reactor = support::make_reactor();
    const int closed = fcntl(0, F_DUPFD_CLOEXEC, 600);
    close(closed);
    const auto not_open = reactor.watch(closed, [] {});
    REQUIRE_FALSE(not_open);
    CHECK(not_open.error().error_number == EBADF);
    const support::TempDir dir;
    const support::Fd file = support::open_file(dir.write("file", "x"), O_RDONLY | O_CLOEXEC);
    const auto regular_file = reactor.watch(file.get(), [] {});
    REQUIRE_FALSE(regular_file);
    CHECK(regular_file.error().error_number == EPERM);
}
