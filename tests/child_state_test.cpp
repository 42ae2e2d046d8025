// SPDX-License-Identifier: MIT
//
// What a child is born with: signals, limits, rights, session. The host's own state must neither leak into it nor
// change because of it.
#include "support.hpp"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>
#include <thread>
#include <vector>

using namespace proctor::literals;
using proctor::Job;
using proctor::Outcome;
using proctor::RunResult;
using proctor::Stage;
using support::output_of;
using support::script;
using support::TempDir;

namespace {

constexpr unsigned nobody = 65534;

std::string limit_text(int resource) {
    rlimit limit{};
    getrlimit(static_cast<__rlimit_resource>(resource), &limit);
    return std::to_string(static_cast<long long>(limit.rlim_cur)) + " " +
           std::to_string(static_cast<long long>(limit.rlim_max)) + "\n";
}

bool is_root() {
    if (geteuid() == 0) return true;
    support::skip("another user can only be taken by root");
    return false;
}

// A helper that every user can reach.
Job as_nobody(const TempDir& dir, const std::string& words) {
    Job job = script(words);
    job.argv[0] = dir.copy_child("child");
    job.cwd = "/";
    job.user = proctor::User{.uid = nobody};
    return job;
}

// SIGPIPE ignored, as Python's hosts have it, and every signal that can be blocked blocked; also those that libc hides.
std::string signals_from_a_strange_host() {
    for (const int number : {SIGPIPE, SIGINT, SIGQUIT, SIGXFSZ, SIGRTMIN, SIGRTMAX}) signal(number, SIG_IGN);
    struct {
        void (*handler)(int);
        unsigned long flags;
        void (*restorer)();
        unsigned long mask;
    } ignore{SIG_IGN, 0, nullptr, 0};
    HOST_CHECK(syscall(SYS_rt_sigaction, 32, &ignore, nullptr, 8) == 0);
    signal(SIGUSR2, [](int) {});
    const unsigned long all = ~0UL;
    HOST_CHECK(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, nullptr, 8) == 0);
    const std::string blocked = support::status_field("self", "SigBlk");
    const std::string ignored = support::status_field("self", "SigIgn");
    const std::string caught = support::status_field("self", "SigCgt");

    const RunResult result = proctor::run(script("status SigBlk then status SigIgn then status SigCgt"));
    const std::string none = "0000000000000000\n";
    HOST_CHECK_RESULT(result.capture.text(proctor::STDOUT) == none + none + none, result);
    HOST_CHECK(support::status_field("self", "SigBlk") == blocked);
    HOST_CHECK(support::status_field("self", "SigIgn") == ignored);
    HOST_CHECK(support::status_field("self", "SigCgt") == caught);
    return {};
}

// Ends when the helper of `job` does: it passes its witness and reports by descriptor 8.
std::string outlive_thread(Job job) {
    support::Witness witness(job);
    support::Pipe report;
    job.descriptors.push_back({.from = report.write_end.get(), .to = 8});
    // Kept when the thread ends: its destructor would kill the job, and that is not what is asked here.
    auto* const reactor = new proctor::Reactor(support::make_reactor());
    std::thread thread([&] {
        bool ready = false;
        auto watch = reactor->watch(report.read_end.get(), [&] { ready = true; });
        reactor->submit(std::move(job));
        while (!ready && reactor->run_once()) {
        }
    });
    thread.join();
    HOST_CHECK(support::await_byte(report.read_end.get()));
    HOST_CHECK(witness.all_gone());
    return {};
}

}  // namespace

TEST_CASE("a child starts with no signal blocked or ignored, whatever the host has done to its own") {
    CHECK(support::in_host(signals_from_a_strange_host) == "");
}

TEST_CASE("a child is killed by SIGPIPE although the host ignores it") {
    const std::string complaint = support::in_host([]() -> std::string {
        signal(SIGPIPE, SIG_IGN);
        const RunResult result = proctor::run(script("raise 13"));
        HOST_CHECK_RESULT(result.signal == SIGPIPE, result);
        return {};
    });
    CHECK(complaint == "");
}

TEST_CASE("a child may not dump core unless the job says so") {
    CHECK(output_of(script("limit core")) == "0 0\n");
    Job job = script("limit core");
    job.resource_limits.core = std::nullopt;
    CHECK(output_of(job) == limit_text(RLIMIT_CORE));
}

TEST_CASE("limits that the job does not set are the host's") {
    CHECK(output_of(script("limit file_size then limit open_files then limit stack")) ==
          limit_text(RLIMIT_FSIZE) + limit_text(RLIMIT_NOFILE) + limit_text(RLIMIT_STACK));
}

TEST_CASE("limits that the job sets are soft and hard") {
    Job job = script("limit file_size then limit open_files then limit stack");
    job.resource_limits.file_size = 12345;
    job.resource_limits.open_files = 50;
    job.resource_limits.stack = 1_MiB;
    CHECK(output_of(job) == "12345 12345\n50 50\n1048576 1048576\n");
}

TEST_CASE("a limit on open files below the number of a passed descriptor does not keep it from the child") {
    Job job = script("descriptors");
    job.resource_limits.open_files = 10;
    const support::Fd file = support::open_file("/dev/null", O_RDONLY | O_CLOEXEC);
    job.descriptors = {{.from = file.get(), .to = 9}};
    CHECK(output_of(job) == "0 1 2 9 ");
}

TEST_CASE("a file that grows over its limit kills its writer") {
    const TempDir dir;
    Job job = script("fill 1 100000");
    job.output = proctor::Output::file(dir.file("out"));
    job.resource_limits.file_size = 1000;
    const RunResult result = proctor::run(job);
    INFO(support::describe(result));
    CHECK(result.outcome == Outcome::fail);
    CHECK(result.signal == SIGXFSZ);
    CHECK(support::read_file(dir.file("out")).size() == 1000);
}

TEST_CASE("a limit that may not be raised is an error of stage rlimit, which says which one") {
    if (!is_root()) return;
    struct Raised {
        int resource;
        proctor::ResourceLimits limits;
        std::string named;
    };
    constexpr rlim_t hard = rlim_t{8} << 20;
    constexpr proctor::Bytes above = proctor::Bytes{9} << 20;
    const std::vector<Raised> all{
        {RLIMIT_CORE, {.core = above}, "core files"},
        {RLIMIT_FSIZE, {.file_size = above}, "bytes a file"},
        {RLIMIT_STACK, {.stack = above}, "bytes of stack"},
        {RLIMIT_NOFILE, {.open_files = 200}, "200 open files"},
    };
    for (const Raised& raised : all) {
        CAPTURE(raised.named);
        const TempDir dir;
        Job job = as_nobody(dir, "exit 0");
        job.user.reset();
        job.resource_limits = raised.limits;
        const std::string complaint = support::in_host([&]() -> std::string {
            const rlim_t most = raised.resource == RLIMIT_NOFILE ? 100 : hard;
            const rlimit low{most, most};
            HOST_CHECK(setrlimit(static_cast<__rlimit_resource>(raised.resource), &low) == 0);
            HOST_CHECK(setresuid(nobody, nobody, nobody) == 0);
            const RunResult result = proctor::run(job);
            HOST_CHECK_RESULT(result.outcome == Outcome::error, result);
            HOST_CHECK_RESULT(result.error->stage == Stage::rlimit, result);
            HOST_CHECK_RESULT(result.error->error_number == EPERM, result);
            HOST_CHECK_RESULT(result.error->message.find(raised.named) != std::string::npos, result);
            HOST_CHECK_RESULT(!result.error->cure.empty(), result);
            return {};
        });
        CHECK(complaint == "");
    }
}

TEST_CASE("umask, nice and affinity are as the job says") {
    Job job = script("status Umask then nice then status Cpus_allowed_list");
    job.umask = 0137;
    job.nice = 7;
    cpu_set_t ours;
    REQUIRE(sched_getaffinity(0, sizeof ours, &ours) == 0);
    unsigned processor = 0;
    while (!CPU_ISSET(processor, &ours)) ++processor;
    job.affinity = {processor};
    CHECK(output_of(job) == "0137\n7\n" + std::to_string(processor) + "\n");
}

TEST_CASE("umask, nice and affinity are the host's if the job does not say") {
    const mode_t mask = umask(0027);
    const std::string output = output_of(script("status Umask then nice then status Cpus_allowed_list"));
    umask(mask);
    CHECK(output == "0027\n" + std::to_string(getpriority(PRIO_PROCESS, 0)) + "\n" +
                        support::status_field("self", "Cpus_allowed_list") + "\n");
}

TEST_CASE("processors that do not exist are an error") {
    Job job = script("exit 0");
    job.affinity = {1023};
    const RunResult result = proctor::run(job);
    INFO(support::describe(result));
    CHECK(result.outcome == Outcome::error);
    REQUIRE(result.error.has_value());
    CHECK(result.error->stage != Stage::exec);
}

TEST_CASE("a child has a session of its own, or else a process group of its own in the host's") {
    Job job = script("ids");
    int pid = 0;
    proctor::Reactor reactor = support::make_reactor();
    std::string own_session;
    proctor::JobHandle handle;
    handle = reactor.submit(job, {.on_record = [&](const proctor::CaptureRecord&) { pid = handle.pid().value_or(0); },
                                  .on_end = [&](RunResult&& r) { own_session = r.capture.text(proctor::STDOUT); }});
    REQUIRE(reactor.run());
    const std::string own = std::to_string(pid);
    const std::string host = std::to_string(getpid());
    CHECK(own_session == "pid=" + own + " ppid=" + host + " sid=" + own + " pgid=" + own + "\n");

    job.new_session = false;
    std::string own_group;
    handle = reactor.submit(job, {.on_record = [&](const proctor::CaptureRecord&) { pid = handle.pid().value_or(0); },
                                  .on_end = [&](RunResult&& r) { own_group = r.capture.text(proctor::STDOUT); }});
    REQUIRE(reactor.run());
    const std::string group = std::to_string(pid);
    CHECK(own_group ==
          "pid=" + group + " ppid=" + host + " sid=" + std::to_string(getsid(0)) + " pgid=" + group + "\n");
}

TEST_CASE("a child gains no privileges by what it executes, unless the job allows it") {
    CHECK(output_of(script("status NoNewPrivs")) == "1\n");
    Job job = script("status NoNewPrivs");
    job.allow_new_privileges = true;
    CHECK(output_of(job) == support::status_field("self", "NoNewPrivs") + "\n");
}

TEST_CASE("a job with a user runs as that user alone, with exactly its groups and no capability") {
    if (!is_root()) return;
    const TempDir dir;
    Job job = as_nobody(dir, "status Uid then status Gid then groups then status CapEff then status CapPrm");
    CHECK(output_of(job) ==
          "65534\t65534\t65534\t65534\n65534\t65534\t65534\t65534\n"
          "0000000000000000\n0000000000000000\n");
    job.argv[0] = dir.file("child");
    job.user->gid = 1234;
    job.user->groups = {5, 77777};
    CHECK(output_of(job) ==
          "65534\t65534\t65534\t65534\n1234\t1234\t1234\t1234\n5 77777 "
          "0000000000000000\n0000000000000000\n");
}

TEST_CASE("starting jobs for another user leaves the host's rights and dumpable flag alone") {
    if (!is_root()) return;
    const TempDir dir;
    const Job job = as_nobody(dir, "status Uid");
    const std::string complaint = support::in_host([&]() -> std::string {
        for (const int dumpable : {1, 0}) {
            HOST_CHECK(prctl(PR_SET_DUMPABLE, dumpable) == 0);
            const RunResult result = proctor::run(job);
            HOST_CHECK_RESULT(result.passed(), result);
            HOST_CHECK(prctl(PR_GET_DUMPABLE) == dumpable);
            HOST_CHECK(geteuid() == 0 && getegid() == getgid());
            HOST_CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0);
        }
        return {};
    });
    CHECK(complaint == "");
}

TEST_CASE("starting a job changes no state that the host shares with nobody") {
    const mode_t mask = umask(022);
    umask(mask);
    char before[4096];
    REQUIRE(getcwd(before, sizeof before) != nullptr);
    Job job = script("exit 0");
    job.cwd = "/";
    job.umask = 0777;
    job.nice = 5;
    job.affinity = {0};
    job.parent_death_signal = SIGKILL;
    job.resource_limits.open_files = 20;
    const std::string descriptor_limit = limit_text(RLIMIT_NOFILE);
    const int priority = getpriority(PRIO_PROCESS, 0);
    const std::string processors = support::status_field("self", "Cpus_allowed_list");
    const pid_t session = getsid(0);
    CHECK(proctor::run(job).passed());
    char after[4096];
    REQUIRE(getcwd(after, sizeof after) != nullptr);
    CHECK(std::string(before) == after);
    CHECK(umask(mask) == mask);
    CHECK(limit_text(RLIMIT_NOFILE) == descriptor_limit);
    CHECK(getpriority(PRIO_PROCESS, 0) == priority);
    CHECK(support::status_field("self", "Cpus_allowed_list") == processors);
    CHECK(getsid(0) == session);
    int death_signal = -1;
    prctl(PR_GET_PDEATHSIG, &death_signal);
    CHECK(death_signal == 0);
}

TEST_CASE("a user that the host may not become is an error of stage credentials") {
    if (!is_root()) return;
    const TempDir dir;
    Job job = as_nobody(dir, "exit 0");
    job.user = proctor::User{.uid = 0};
    const std::string complaint = support::in_host([&]() -> std::string {
        HOST_CHECK(setgroups(0, nullptr) == 0);
        HOST_CHECK(setresgid(nobody, nobody, nobody) == 0 && setresuid(nobody, nobody, nobody) == 0);
        const RunResult result = proctor::run(job);
        HOST_CHECK_RESULT(result.outcome == Outcome::error, result);
        HOST_CHECK_RESULT(result.error->stage == Stage::credentials, result);
        HOST_CHECK_RESULT(result.error->error_number == EPERM, result);
        HOST_CHECK_RESULT(!result.error->cure.empty(), result);
        return {};
    });
    CHECK(complaint == "");
}

TEST_CASE("a priority that the host may not give is an error of stage credentials") {
    if (!is_root()) return;
    const TempDir dir;
    Job job = as_nobody(dir, "exit 0");
    job.user.reset();
    job.nice = -5;
    const std::string complaint = support::in_host([&]() -> std::string {
        const rlimit none{0, 0};
        HOST_CHECK(setrlimit(RLIMIT_NICE, &none) == 0);
        HOST_CHECK(setresuid(nobody, nobody, nobody) == 0);
        const RunResult result = proctor::run(job);
        HOST_CHECK_RESULT(result.outcome == Outcome::error, result);
        HOST_CHECK_RESULT(result.error->stage == Stage::credentials, result);
        return {};
    });
    CHECK(complaint == "");
}

TEST_CASE("the parent death signal is set, also for another user") {
    CHECK(output_of(script("parent-death-signal")) == "0\n");
    Job job = script("parent-death-signal");
    job.parent_death_signal = SIGUSR1;
    CHECK(output_of(job) == "10\n");
    if (!is_root()) return;
    const TempDir dir;
    job = as_nobody(dir, "parent-death-signal");
    job.parent_death_signal = SIGTERM;
    CHECK(output_of(job) == "15\n");
}

TEST_CASE("a job with a parent death signal gets it when the thread of its reactor ends") {
    Job job = script("print-to 8 r then pause");
    job.parent_death_signal = SIGTERM;
    CHECK(support::in_host([&] { return outlive_thread(job); }) == "");
}

TEST_CASE("a job with a parent death signal dies with a host that is killed") {
    Job job = script("print-to 8 r then pause");
    job.parent_death_signal = SIGKILL;
    support::Witness witness(job);
    support::Pipe report;
    job.descriptors.push_back({.from = report.write_end.get(), .to = 8});
    const std::string complaint = support::in_host([&]() -> std::string {
        proctor::Reactor reactor = support::make_reactor();
        bool ready = false;
        auto watch = reactor.watch(report.read_end.get(), [&] { ready = true; });
        reactor.submit(job);
        while (!ready) HOST_CHECK(reactor.run_once());
        kill(getpid(), SIGKILL);
        return "still alive";
    });
    CHECK(complaint == "the host was killed by signal 9");
    CHECK(witness.all_gone());
}
