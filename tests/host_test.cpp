// SPDX-License-Identifier: MIT
//
// Hosts that were not made for this: with signals, descriptors and threads of their own, and graders that write a
// program and run it at once.
#include "support.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <set>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using proctor::Job;
using proctor::Outcome;
using proctor::Reactor;
using proctor::RunResult;
using proctor::Stage;
using proctor::STDOUT;
using support::script;
using support::TempDir;

namespace {

// Right, or told: the status was taken by somebody else, and the result says so.
std::string check_right_or_told(const RunResult& result, int status, const std::string& text, int& told) {
    if (result.outcome == Outcome::error) {
        ++told;
        HOST_CHECK_RESULT(result.error->stage == Stage::wait, result);
        HOST_CHECK_RESULT(result.error->error_number == ECHILD, result);
        HOST_CHECK_RESULT(!result.error->cure.empty(), result);
        HOST_CHECK_RESULT(!result.returncode.has_value(), result);
    } else {
        HOST_CHECK_RESULT(result.exit_code == status, result);
    }
    HOST_CHECK_RESULT(result.capture.text(STDOUT) == text, result);
    return {};
}

std::string run_with_statuses(int count, int& told) {
    Reactor reactor = support::make_reactor({.max_running = 8, .guard = false});
    std::string complaint;
    int ends = 0;
    for (int i = 0; i < count; ++i) {
        const std::string text = std::to_string(i);
        reactor.submit(script("print " + text + " then exit " + std::to_string(i % 250)),
                       [&, i, text](RunResult&& result) {
                           ++ends;
                           if (complaint.empty()) complaint = check_right_or_told(result, i % 250, text, told);
                       });
    }
    HOST_CHECK(reactor.run());
    HOST_CHECK(ends == count);
    return complaint;
}

// Writes, closes and runs programs, at most `in_flight` at once; answers what went wrong.
std::string run_fresh_programs(int count, int in_flight) {
    const TempDir dir;
    const std::string content = support::read_file(support::child());
    Reactor reactor = support::make_reactor();
    std::string complaint;
    int started = 0;
    int right = 0;
    const std::function<void()> start_next = [&] {
        if (started == count) return;
        const std::string name = "program" + std::to_string(started++);
        const std::string path = dir.file(name);
        {
            const support::Fd file = support::open_file(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
            support::write_all(file.get(), content);
        }
        reactor.submit({.argv = {path, "print", name}}, [&, name, path](RunResult&& result) {
            unlink(path.c_str());
            if (result.passed() && result.capture.text(STDOUT) == name)
                ++right;
            else
                complaint += name + ": " + support::describe(result) + "\n";
            start_next();
        });
    };
    for (int i = 0; i < in_flight; ++i) start_next();
    if (!reactor.run()) complaint += "run failed";
    if (right != count) complaint += std::to_string(right) + " of " + std::to_string(count) + " right";
    return complaint;
}

// State that a child between clone and exec would ruin if it used the host's libc: errno, the heap, buffers of stdio.
class BusyThread {
public:
    BusyThread() : thread_([this] { work(); }) {}
    BusyThread(const BusyThread&) = delete;
    BusyThread& operator=(const BusyThread&) = delete;
    ~BusyThread() { stop(); }

    void stop() {
        stopped_ = true;
        if (thread_.joinable()) thread_.join();
    }
    [[nodiscard]] const std::string& complaint() const { return complaint_; }
    [[nodiscard]] unsigned long turns() const { return turns_; }

private:
    void work() {
        while (!stopped_ && complaint_.empty()) {
            errno = static_cast<int>(turns_ % 100 + 1000);
            const std::string filler(100 + turns_ % 5000, static_cast<char>('a' + turns_ % 26));
            if (close(-1) != -1 || errno != EBADF) complaint_ = "errno of a failed call is not its own";
            errno = static_cast<int>(turns_ % 100 + 1000);
            const std::vector<std::string> copies(20, filler);
            for (const std::string& copy : copies) {
                if (copy != filler) complaint_ = "the heap is not as it was left";
            }
            if (errno != static_cast<int>(turns_ % 100 + 1000)) complaint_ = "errno changed by itself";
            ++turns_;
        }
    }

    std::atomic<bool> stopped_{false};
    std::string complaint_{};
    unsigned long turns_ = 0;
    std::thread thread_;
};

void check_nothing_leaks(const std::function<void(Reactor&)>& submit_some) {
    const std::set<int> descriptors = support::open_descriptors();
    {
        constexpr unsigned most_running = 8;
        Reactor reactor = support::make_reactor({.max_running = most_running});
        submit_some(reactor);
        REQUIRE(reactor.run());
        const std::set<int> after_first = support::open_descriptors();
        for (int i = 0; i < 20; ++i) submit_some(reactor);
        REQUIRE(reactor.run());
        // A pool keeps groups for as many jobs as have run at once, with three descriptors each.
        CHECK(support::open_descriptors().size() <= after_first.size() + std::size_t{3} * most_running);
        CHECK_FALSE(support::has_children());
    }
    CHECK(support::open_descriptors() == descriptors);
    CHECK_FALSE(support::has_children());
}

}  // namespace

TEST_CASE("in a host that ignores SIGCHLD each job is told to have lost its status, with the cure") {
    const std::string complaint = support::in_host([]() -> std::string {
        signal(SIGCHLD, SIG_IGN);
        int told = 0;
        std::string problem = run_with_statuses(20, told);
        if (!problem.empty()) return problem;
        HOST_CHECK(told == 20);
        return {};
    });
    CHECK(complaint == "");
}

TEST_CASE("in a host with SA_NOCLDWAIT each job is told to have lost its status, with the cure") {
    const std::string complaint = support::in_host([]() -> std::string {
        struct sigaction action {};
        action.sa_handler = [](int) {};
        action.sa_flags = SA_NOCLDWAIT;
        HOST_CHECK(sigaction(SIGCHLD, &action, nullptr) == 0);
        int told = 0;
        std::string problem = run_with_statuses(20, told);
        if (!problem.empty()) return problem;
        HOST_CHECK(told == 20);
        return {};
    });
    CHECK(complaint == "");
}

TEST_CASE("in a host that waits for any child in another thread each job is right or told") {
    const std::string complaint = support::in_host([]() -> std::string {
        std::atomic<bool> stopped{false};
        std::atomic<int> stolen{0};
        std::thread thief([&] {
            while (!stopped) {
                if (waitpid(-1, nullptr, 0) > 0) ++stolen;
            }
        });
        int told = 0;
        std::string problem = run_with_statuses(200, told);
        stopped = true;
        thief.join();
        if (!problem.empty()) return problem;
        HOST_CHECK(told == stolen);
        return {};
    });
    CHECK(complaint == "");
}

TEST_CASE("in a host with a SIGCHLD handler of its own every status is right") {
    const std::string complaint = support::in_host([]() -> std::string {
        static volatile sig_atomic_t calls = 0;
        signal(SIGCHLD, [](int) { calls = calls + 1; });
        int told = 0;
        std::string problem = run_with_statuses(100, told);
        if (!problem.empty()) return problem;
        HOST_CHECK(told == 0);
        return {};
    });
    CHECK(complaint == "");
}

TEST_CASE("a host that is interrupted by signals all the time gets every result") {
    const std::string complaint = support::in_host([]() -> std::string {
        static volatile sig_atomic_t calls = 0;
        struct sigaction action {};
        action.sa_handler = [](int) { calls = calls + 1; };
        HOST_CHECK(sigaction(SIGALRM, &action, nullptr) == 0);
        const itimerval often{{0, 500}, {0, 500}};
        HOST_CHECK(setitimer(ITIMER_REAL, &often, nullptr) == 0);
        int told = 0;
        std::string problem = run_with_statuses(200, told);
        const itimerval never{};
        setitimer(ITIMER_REAL, &never, nullptr);
        if (!problem.empty()) return problem;
        HOST_CHECK(told == 0);
        HOST_CHECK(calls > 0);
        return {};
    });
    CHECK(complaint == "");
}

TEST_CASE("children of the host's own are left to it") {
    const std::string complaint = support::in_host([]() -> std::string {
        const pid_t own = fork();
        if (own == 0) _exit(42);
        int told = 0;
        std::string problem = run_with_statuses(20, told);
        if (!problem.empty()) return problem;
        int status = 0;
        HOST_CHECK(waitpid(own, &status, 0) == own);
        HOST_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
        return {};
    });
    CHECK(complaint == "");
}

TEST_CASE("threads that use errno, the heap and the lists of libc are not disturbed by 16 launches at once") {
    BusyThread first;
    BusyThread second;
    Reactor reactor = support::make_reactor({.max_running = 16});
    const int jobs = support::rounds(1000);
    int right = 0;
    for (int i = 0; i < jobs; ++i) {
        reactor.submit(i % 4 == 0 ? Job{.argv = {"/nonexistent/program"}} : script("print x"), [&](RunResult&& result) {
            right += result.passed() || (result.error && result.error->stage == Stage::exec) ? 1 : 0;
        });
    }
    errno = 1234;
    const auto run = reactor.run();
    first.stop();
    second.stop();
    REQUIRE(run);
    CHECK(right == jobs);
    CHECK(first.complaint() == "");
    CHECK(second.complaint() == "");
    CHECK(first.turns() > 0);
}

TEST_CASE("1,000 programs are written, closed and run at once, 16 in flight, and none is told to be busy") {
    CHECK(run_fresh_programs(support::rounds(1000), 16) == "");
}

TEST_CASE("programs that are written and run by two reactors are not told to be busy") {
    std::string complaints[2];
    std::thread other([&] { complaints[1] = run_fresh_programs(support::rounds(200), 16); });
    complaints[0] = run_fresh_programs(support::rounds(200), 16);
    other.join();
    CHECK(complaints[0] == "");
    CHECK(complaints[1] == "");
}

TEST_CASE("a program that the host itself keeps open for writing is told to be busy") {
    const TempDir dir;
    const std::string path = dir.copy_child("program");
    const support::Fd writer = support::open_file(path, O_WRONLY | O_CLOEXEC);
    const RunResult result = proctor::run({.argv = {path}});
    INFO(support::describe(result));
    CHECK(result.outcome == Outcome::error);
    REQUIRE(result.error.has_value());
    CHECK(result.error->stage == Stage::exec);
    CHECK(result.error->error_number == ETXTBSY);
    CHECK(result.error->program_found);
}

namespace {

std::string run_out_of_descriptors(proctor::Containment containment) {
    return support::in_host([containment]() -> std::string {
        Reactor reactor = support::make_reactor({.containment = containment});
        const bool pools = containment != proctor::Containment::tree;
        HOST_CHECK(reactor.fd() >= 0);
        rlimit before{};
        HOST_CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
        const std::set<int> descriptors = support::open_descriptors();
        int refused = 0;
        for (int spare = 0; spare < 30; ++spare) {
            rlimit tiny = before;
            tiny.rlim_cur = static_cast<rlim_t>(spare);
            // Numbers count, and not how many there are: fill the gaps that are below.
            for (const int fd : descriptors) tiny.rlim_cur += fd < 100 ? 1 : 0;
            HOST_CHECK(setrlimit(RLIMIT_NOFILE, &tiny) == 0);
            RunResult end;
            reactor.submit(script("copy-to-both"), [&](RunResult&& result) { end = std::move(result); });
            HOST_CHECK(reactor.run());
            HOST_CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
            if (end.outcome == Outcome::error) {
                ++refused;
                HOST_CHECK_RESULT(end.error->stage == (pools ? end.error->stage : Stage::spawn), end);
                HOST_CHECK_RESULT(end.error->error_number == EMFILE, end);
                HOST_CHECK_RESULT(!end.error->cure.empty(), end);
            } else {
                HOST_CHECK_RESULT(end.passed(), end);
            }
            HOST_CHECK(pools || support::open_descriptors() == descriptors);
            reactor.submit(script("print again"), [&](RunResult&& result) { end = std::move(result); });
            HOST_CHECK(reactor.run());
            HOST_CHECK_RESULT(end.capture.text(STDOUT) == "again", end);
        }
        HOST_CHECK(refused > 0 && refused < 30);
        return {};
    });
}

}  // namespace

TEST_CASE("a host that runs out of descriptors is told at each number of them, and can go on when it has more") {
    for (const auto containment : support::containments()) {
        CAPTURE(support::name_of(containment));
        CHECK(run_out_of_descriptors(containment) == "");
    }
}

TEST_CASE("a child's limit on open files is the host's, also when the host has lowered it") {
    const std::string complaint = support::in_host([]() -> std::string {
        rlimit limit{};
        HOST_CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
        HOST_CHECK(limit.rlim_cur > 300);
        limit.rlim_cur = 300;
        HOST_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
        const RunResult result = proctor::run(script("limit open_files"));
        HOST_CHECK_RESULT(result.capture.text(STDOUT).rfind("300 ", 0) == 0, result);
        return {};
    });
    CHECK(complaint == "");
}

TEST_CASE("no descriptor and no zombie is left, however a job fails") {
    const TempDir dir;
    check_nothing_leaks([&](Reactor& reactor) {
        reactor.submit({});
        reactor.submit({.argv = {"/nonexistent/program"}});
        reactor.submit({.argv = {dir.path()}});
        reactor.submit({.argv = {"proctor-test-no-such-program"}});
        Job job = script("copy 0 1");
        job.cwd = "/nonexistent";
        reactor.submit(job);
        job = script("copy 0 1");
        job.input = proctor::Input::file("/nonexistent");
        reactor.submit(job);
        job = script("copy 0 1");
        job.error_output = proctor::Output::file("/nonexistent/file");
        reactor.submit(job);
        job = script("copy 0 1");
        job.descriptors = {{.from = 9999, .to = 5}};
        reactor.submit(job);
        job = script("pause");
        job.limits.time = 1ms;
        reactor.submit(job);
        reactor.submit(script("pause")).cancel();
    });
}

TEST_CASE("no descriptor and no zombie is left by jobs of every kind of stream") {
    const TempDir dir;
    const support::Fd null = support::open_file("/dev/null", O_RDWR | O_CLOEXEC);
    const std::string file = dir.write("file", "content");
    check_nothing_leaks([&](Reactor& reactor) {
        const auto with = [&](proctor::Input input, proctor::Output output, proctor::Output error_output) {
            Job job = script("copy-to-both");
            job.input = std::move(input);
            job.output = std::move(output);
            job.error_output = std::move(error_output);
            reactor.submit(std::move(job), [](RunResult&& result) { CHECK(result.passed()); });
        };
        using proctor::Input;
        using proctor::Output;
        with(Input::empty(), Output::capture(), Output::with_output());
        with(Input::text("text"), Output::null(), Output::capture());
        with(Input::file(file), Output::file(dir.file("out")), Output::with_output());
        with(Input::descriptor(null.get()), Output::forward(null.get()), Output::forward(null.get()));
        with(Input::inherit(null.get()), Output::inherit(null.get()), Output::inherit(null.get()));
    });
}
