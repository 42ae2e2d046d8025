// SPDX-License-Identifier: MIT
//
// Programs that mean harm, each in every containment: there is one result and it is right, nobody and nothing is left,
// the host and the jobs beside and after are as they would be without. What concerns rights is in hostile_rights_test.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "hostile_scene.hpp"

using namespace std::chrono_literals;
using hostile::check_ended_by;
using hostile::check_prints;
using hostile::deed;
using hostile::in_each;
using hostile::may_become_others;
using hostile::Scene;
using hostile::Stranger;
using proctor::Containment;
using proctor::Job;
using proctor::Reactor;
using proctor::Reason;
using proctor::RunResult;
using proctor::STDERR;
using proctor::STDOUT;
using support::script;
using support::TempDir;

// --- Descriptors and streams

TEST_CASE("one that closes all of its descriptors is ended by its limit") {
    in_each([](Scene& scene) {
        Job job = deed("close-all");
        job.limits.time = 300ms;
        check_ended_by(scene.endure(job), Reason::time_limit);
    });
}

TEST_CASE("one that writes to every descriptor reaches its two streams alone") {
    const TempDir directory;
    const std::string path = directory.write("precious", "untouched");
    // Not close-on-exec, as in a host that knows nothing of children, at low and high numbers.
    std::vector<support::Fd> open_files(20);
    for (support::Fd& file : open_files) file = support::open_file(path, O_RDWR);
    const support::Fd high(fcntl(open_files[0].get(), F_DUPFD, 900));
    in_each([&](Scene& scene) {
        const RunResult result = scene.endure(deed("write-everywhere"));
        CHECK_MESSAGE(result.exit_code == 2, support::describe(result));
        CHECK(result.capture.text(STDOUT) == "x");
        CHECK(result.capture.text(STDERR) == "x");
        CHECK(support::read_file(path) == "untouched");
    });
}

TEST_CASE("one that ends while others of it write, in threads and in processes, has its status") {
    in_each([](Scene& scene) {
        Job job = deed("exit-while-writing");
        job.capture.limits.max_stdout_bytes = 10'000;
        const RunResult result = scene.endure(job);
        CHECK_MESSAGE(result.exit_code == 3, support::describe(result));
        CHECK(result.reason == std::nullopt);
    });
}

TEST_CASE("a million empty lines are kept and counted") {
    in_each([](Scene& scene) {
        Job job = deed("write-bytes 10 1000000");
        const RunResult all = scene.endure(job);
        CHECK_MESSAGE(all.passed(), support::describe(all));
        CHECK(all.capture.lines(STDOUT) == 1'000'000);
        CHECK(all.capture.text(STDOUT) == std::string(1'000'000, '\n'));
        job.capture.limits.max_stdout_lines = 1000;
        job.capture.limit_ends_run = true;
        const RunResult few = scene.endure(job);
        check_ended_by(few, Reason::output_limit);
        CHECK(few.capture.text(STDOUT) == std::string(1000, '\n'));
    });
}

TEST_CASE("NUL bytes are bytes like others") {
    in_each([](Scene& scene) {
        const RunResult result = scene.endure(deed("write-bytes 0 100000"));
        CHECK_MESSAGE(result.passed(), support::describe(result));
        CHECK(result.capture.text(STDOUT) == std::string(100'000, '\0'));
    });
}

TEST_CASE("a line without end is cut to the byte, and ended") {
    in_each([](Scene& scene) {
        Job job = deed("endless-line");
        job.capture.limits = {.max_stdout_lines = 10, .max_stdout_bytes = 100'000};
        job.capture.limit_ends_run = true;
        const RunResult result = scene.endure(job);
        check_ended_by(result, Reason::output_limit);
        CHECK(result.capture.text(STDOUT) == std::string(100'000, 'x'));
    });
}

// --- Signals, and the parent

TEST_CASE("one that kills all whom it may kill reaches nobody but its own, if it has a user of its own") {
    if (!may_become_others()) return;
    const Stranger stranger;
    in_each([&](Scene& scene) {
        for (const int number : {SIGKILL, SIGTERM}) {
            const RunResult result = scene.endure(stranger.deed("kill-everybody " + std::to_string(number)));
            CHECK_MESSAGE(result.exit_code == number, support::describe(result));
        }
    });
}

TEST_CASE("processes that stop and continue each other without end are ended by their limit") {
    in_each([](Scene& scene) {
        Job job = deed("stop-and-continue");
        job.limits.time = 300ms;
        check_ended_by(scene.endure(job), Reason::time_limit);
    });
}

TEST_CASE("one with a user of its own can do nothing to its parent, keeper or host") {
    if (!may_become_others()) return;
    const Stranger stranger;
    in_each([&](Scene& scene) {
        check_prints(scene.endure(stranger.deed("attack-parent")),
                     "trace: refused\nstop: refused\nkill: refused\nmemory: refused\ndescriptors: refused\n"
                     "limits: refused\npriority: refused\n");
    });
}

TEST_CASE("one of the host's user that traces and stops its parent does no lasting harm") {
    in_each([](Scene& scene) { check_prints(scene.endure(deed("trace-parent")), ""); });
}

// --- Processes

TEST_CASE("processes with a misleading name are counted and ended like others") {
    in_each([](Scene& scene) {
        Job job = deed("misname 3");
        job.limits = {.time = 1min, .processes = 2};
        check_ended_by(scene.endure(job), Reason::process_limit);
    });
}

TEST_CASE("a storm of processes is ended by its limit") {
    in_each([](Scene& scene) {
        Job job = deed("storm 150");
        job.limits = {.time = 1min, .processes = 16};
        check_ended_by(scene.endure(job), Reason::process_limit);
    });
}

TEST_CASE("a storm of threads is ended by its limit") {
    in_each([](Scene& scene) {
        Job job = deed("thread-storm 150");
        job.limits = {.time = 1min, .tasks = 20};
        check_ended_by(scene.endure(job), Reason::process_limit);
    });
}

// --- Files

TEST_CASE("one that goes where no path reaches is run like others, and what it made can be removed") {
    in_each([](Scene& scene) {
        std::string path;
        {
            const TempDir directory;
            path = directory.path();
            Job job = deed("go-deep 40");
            job.cwd = path;
            check_prints(scene.endure(job), "name: refused\n");
        }
        CHECK(access(path.c_str(), F_OK) != 0);
    });
}

TEST_CASE("a program that another job holds open for writing is told to be busy, and the next one runs") {
    for (const Containment kind : support::containments()) {
        CAPTURE(support::name_of(kind));
        const TempDir directory;
        const std::string path = directory.copy_child("program");
        Reactor reactor = support::make_reactor({.containment = kind});
        RunResult busy;
        RunResult free;
        proctor::JobHandle holder;
        const auto on_busy = [&](RunResult&& result) {
            busy = std::move(result);
            holder.cancel();
        };
        holder = reactor.submit(deed("hold-for-writing " + path),
                                {.on_record = [&](auto&&) { reactor.submit({.argv = {path}}, on_busy); },
                                 .on_end =
                                     [&](auto&&) {
                                         reactor.submit({.argv = {path, "print", "free"}},
                                                        [&](RunResult&& result) { free = std::move(result); });
                                     }});
        REQUIRE(reactor.run());
        REQUIRE_MESSAGE(busy.error.has_value(), support::describe(busy));
        CHECK(busy.error->stage == proctor::Stage::exec);
        CHECK(busy.error->error_number == ETXTBSY);
        check_prints(free, "free");
    }
}

TEST_CASE("a file grows no further than its limit, on disk and in memory") {
    const TempDir directory;
    const std::string name = "/proctor-hostile-" + std::to_string(getpid());
    in_each([&](Scene& scene) {
        for (const std::string& path : {directory.path() + name, "/dev/shm" + name}) {
            CAPTURE(path);
            if (access(std::filesystem::path(path).parent_path().c_str(), W_OK) != 0) {
                support::skip(path + " cannot be made");
                continue;
            }
            Job job = deed("fill-file " + path + " 10000000");
            job.resource_limits.file_size = 1'000'000;
            const RunResult result = scene.endure(job);
            CHECK_MESSAGE(result.signal == SIGXFSZ, support::describe(result));
            CHECK(std::filesystem::file_size(path) == 1'000'000);
            CHECK(unlink(path.c_str()) == 0);
        }
    });
}

TEST_CASE("files in memory count as the job's memory where the kernel keeps that limit") {
    const std::string path = "/dev/shm/proctor-hostile-" + std::to_string(getpid());
    if (access("/dev/shm", W_OK) != 0) return support::skip("there is no /dev/shm");
    Scene scene(support::containments().front());
    Job harmless = script("exit 0");
    harmless.require.memory = true;
    if (const RunResult probe = scene.run(harmless); probe.error) return support::skip(probe.error->message);
    Job job = deed("fill-file " + path + " 50000000");
    job.limits = {.time = 1min, .memory = 16 << 20};
    const RunResult result = scene.endure(job);
    unlink(path.c_str());
    check_ended_by(result, Reason::memory_limit);
}
