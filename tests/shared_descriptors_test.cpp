// SPDX-License-Identifier: MIT
//
// Descriptors of the host's that others use at the same time: files whose position they share, terminals that they
// read, connections that they close.
#include "support.hpp"
#include "terminal.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using proctor::Input;
using proctor::Job;
using proctor::Order;
using proctor::Outcome;
using proctor::Output;
using proctor::Reactor;
using proctor::Reason;
using proctor::RunResult;
using proctor::STDOUT;
using support::Fd;
using support::script;
using support::TempDir;
using support::Terminal;

namespace {

RunResult run_on(Reactor& reactor, const Job& job) {
    RunResult ended;
    reactor.submit(job, [&](RunResult&& result) { ended = std::move(result); });
    REQUIRE(reactor.run());
    return ended;
}

// All that are submitted at once.
std::vector<RunResult> run_all(std::vector<Job> jobs) {
    Reactor reactor = support::make_reactor();
    std::vector<RunResult> results;
    for (Job& job : jobs) {
        reactor.submit(std::move(job), [&](RunResult&& result) { results.push_back(std::move(result)); });
    }
    REQUIRE(reactor.run());
    REQUIRE(results.size() == jobs.size());
    return results;
}

// Of two programs that want one line each of what only has one, the one that gets none waits for its limit.
void check_one_line_for_two(const Terminal& terminal, const Input& input) {
    support::write_all(terminal.outside.get(), "a line\n");
    const Job job{.argv = {"head", "-n1"}, .input = input, .limits = {.time = 3s}};
    int passed = 0;
    for (const RunResult& result : run_all({job, job})) {
        INFO(support::describe(result));
        CHECK((result.passed() || result.reason == Reason::time_limit));
        passed += result.passed() ? 1 : 0;
        CHECK(result.capture.text(STDOUT) == (result.passed() ? "a line\n" : ""));
    }
    CHECK(passed == 1);
}

int descriptors_of(const std::string& path) {
    const std::set<int> all = support::open_descriptors();
    return static_cast<int>(std::count_if(all.begin(), all.end(), [&](int fd) {
        std::error_code wrong;
        return std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd), wrong) == path;
    }));
}

// Both ends of a connection; none where there is no loopback interface.
std::pair<Fd, Fd> connect_to_ourselves() {
    const Fd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
    socklen_t size = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    if (bind(listener.get(), generic, size) != 0 || listen(listener.get(), 1) != 0 ||
        getsockname(listener.get(), generic, &size) != 0) {
        return {};
    }
    Fd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (connect(client.get(), generic, size) != 0) return {};
    return {std::move(client), Fd(accept(listener.get(), nullptr, nullptr))};
}

}  // namespace

TEST_CASE("what is forwarded to a file is not lost where the child writes there, too") {
    const TempDir directory;
    const std::string path = directory.file("log");
    for (const int flags : {0, O_APPEND}) {
        const Fd log = support::open_file(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | flags);
        constexpr int lines = 3000;
        Job job{.shell = "i=0; while [ $i -lt " + std::to_string(lines) +
                         " ]; do echo forwarded; echo inherited >&2; i=$((i + 1)); done"};
        job.output = Output::forward(log.get());
        job.error_output = Output::inherit(log.get());
        const RunResult result = proctor::run(job);
        INFO(support::describe(result));
        CHECK(result.passed());
        const std::string text = support::read_file(path);
        CHECK(text.size() == lines * std::string("forwarded\ninherited\n").size());
        CHECK(text.find('\0') == std::string::npos);
    }
}

TEST_CASE("jobs that are fed from one file share it: each piece is read by one of them") {
    const TempDir directory;
    constexpr int pieces = 16;
    const std::string path = directory.write("data", std::string(std::size_t{pieces} << 20, 'x'));
    const Fd file = support::open_file(path, O_RDONLY | O_CLOEXEC);
    // From the disk, where it takes a while.
    REQUIRE(fsync(file.get()) == 0);
    (void)posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED);
    const Job job{.argv = {"wc", "-c"}, .input = Input::descriptor(file.get())};
    long total = 0;
    for (const RunResult& result : run_all({job, job, job})) {
        INFO(support::describe(result));
        CHECK(result.passed());
        total += std::atol(result.capture.text(STDOUT).c_str());
    }
    CHECK(total == long{pieces} << 20);
    CHECK(lseek(file.get(), 0, SEEK_CUR) == off_t{pieces} << 20);
}

TEST_CASE("a job that is cancelled while it is fed from a shared file ends") {
    const TempDir directory;
    const Fd file =
        support::open_file(directory.write("data", std::string(std::size_t{4} << 20, 'x')), O_RDONLY | O_CLOEXEC);
    Reactor reactor = support::make_reactor();
    RunResult ended;
    Job job = script("print ready then pause");
    job.input = Input::descriptor(file.get());
    proctor::JobHandle handle;
    handle = reactor.submit(job, {.on_record = [&](const proctor::CaptureRecord&) { handle.cancel(); },
                                  .on_end = [&](RunResult&& result) { ended = std::move(result); }});
    REQUIRE(reactor.run());
    REQUIRE(ended.error);
    CHECK(ended.error->stage == proctor::Stage::cancelled);
}

TEST_CASE("two jobs that read one terminal do not hold up each other's limits") {
    const Terminal terminal;
    SUBCASE("by a descriptor") { check_one_line_for_two(terminal, Input::descriptor(terminal.inside.get())); }
    SUBCASE("by its name") { check_one_line_for_two(terminal, Input::file(ptsname(terminal.outside.get()))); }
    CHECK((fcntl(terminal.inside.get(), F_GETFL) & O_NONBLOCK) == 0);
}

TEST_CASE("a terminal is let go when the job has ended") {
    for (const Order order : {Order::pipe, Order::exact}) {
        const Terminal terminal;
        Reactor reactor = support::make_reactor();
        Job job = script("print hello");
        job.order = order;
        job.output = job.error_output = Output::forward(terminal.inside.get());
        CHECK(run_on(reactor, job).passed());
        job.input = Input::descriptor(terminal.inside.get());
        job.output = job.error_output = {};
        CHECK(run_on(reactor, job).passed());
        CHECK(descriptors_of(ptsname(terminal.outside.get())) == 1);
    }
}

TEST_CASE("a terminal that cannot be opened anew holds up no limit, where the ring waits for it") {
    if (support::engine() != "io_uring") return support::skip("the engine of epoll has nobody else to wait for it");
    for (const Order order : {Order::pipe, Order::exact}) {
        const Terminal terminal;
        Job job = script("fill 1 1000000 then pause");
        job.order = order;
        job.output = Output::forward(terminal.outside.get());  // its master: to open that is to make another
        job.limits.time = 200ms;
        std::vector<RunResult> results = run_all({job, script("exit 0")});
        INFO(support::describe(results.back()));
        CHECK(results.front().passed());
        CHECK(results.back().reason == Reason::time_limit);
    }
}

TEST_CASE("a connection that is closed with bytes unread is a pipe that nobody reads any more") {
    for (const Order order : {Order::pipe, Order::exact}) {
        auto [ours, peers] = connect_to_ourselves();
        if (ours.get() < 0 || peers.get() < 0) return support::skip("there is no loopback interface");
        support::write_all(ours.get(), "unread");
        peers = {};
        Job job = script("fill 1 8388608");
        job.order = order;
        job.output = Output::forward(ours.get());
        const RunResult result = proctor::run(job);
        INFO(support::describe(result));
        CHECK(result.outcome == Outcome::fail);
        CHECK_FALSE(result.error.has_value());
    }
}

TEST_CASE("a forward to what cannot be written at all is an error, and not waited for") {
    if (!support::kernel_is_at_least(6, 18)) return support::skip("older kernels have it waited for (seen on 6.1)");
    const Fd timer(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
    Job job = script("print hello");
    job.output = Output::forward(timer.get());
    const RunResult result = proctor::run(job);
    INFO(support::describe(result));
    REQUIRE(result.error.has_value());
    CHECK(result.error->stage == proctor::Stage::io);
    CHECK(result.error->error_number == EINVAL);
}
