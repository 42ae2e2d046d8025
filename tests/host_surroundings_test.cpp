// SPDX-License-Identifier: MIT
//
// Hosts in odd surroundings: without /proc, without cgroups, without rights, without descriptors, and hosts that become
// another program. Each works, or is told why not.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include "cgroup_ground.hpp"
#include "forbid_calls.hpp"
#include "support.hpp"
#include "watched_child.hpp"

using namespace std::chrono_literals;
using proctor::Bytes;
using proctor::Containment;
using proctor::Job;
using proctor::Outcome;
using proctor::Reactor;
using proctor::ReactorOptions;
using proctor::Reason;
using proctor::RunResult;
using proctor::Stage;
using support::script;

namespace {

constexpr uid_t nobody = 65534;
constexpr const char* cannot_mount = "cannot mount";

// An empty directory over this one, in a mount namespace of this process.
bool hide(const char* directory) {
    return unshare(CLONE_NEWNS) == 0 && mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
           mount("none", directory, "tmpfs", 0, nullptr) == 0;
}

std::string in_host_without(const char* directory, const std::function<std::string()>& host) {
    if (geteuid() != 0) {
        support::skip("only root can mount");
        return {};
    }
    std::string answer = support::in_host([&] { return hide(directory) ? host() : cannot_mount; });
    if (answer == cannot_mount) {
        support::skip("no mount may be made here");
        return {};
    }
    return answer;
}

RunResult run_on(Reactor& reactor, Job job) {
    std::optional<RunResult> result;
    reactor.submit(std::move(job), [&](RunResult&& ended) { result = std::move(ended); });
    if (const auto ran = reactor.run(); !ran) {
        RunResult failed;
        failed.outcome = Outcome::error;
        failed.error = ran.error();
        return failed;
    }
    return std::move(*result);
}

Job limited(std::string_view words, void (*set)(proctor::RunLimits&)) {
    Job job = script(words);
    set(job.limits);
    return job;
}

// One of each that a judge would see, with what any containment can keep.
std::string try_ordinary_jobs(Reactor& reactor) {
    Job greeting = script("print out then print-to 2 err then exit 3");
    const RunResult greeted = run_on(reactor, std::move(greeting));
    HOST_CHECK_RESULT(greeted.returncode == 3, greeted);
    HOST_CHECK_RESULT(greeted.capture.text(proctor::STDOUT) == "out", greeted);
    HOST_CHECK_RESULT(greeted.capture.text(proctor::STDERR) == "err", greeted);

    Job echo = script("copy 0 1");
    echo.input = proctor::Input::text("what goes in");
    const RunResult echoed = run_on(reactor, std::move(echo));
    HOST_CHECK_RESULT(echoed.capture.text(proctor::STDOUT) == "what goes in", echoed);

    Job family =
        limited("fork [ ready then ignore 15 then pause ] then pause", [](auto& limits) { limits.time = 50ms; });
    support::Witness witness(family);
    const RunResult late = run_on(reactor, std::move(family));
    HOST_CHECK_RESULT(late.reason == Reason::time_limit, late);
    HOST_CHECK(witness.all_gone());
    return {};
}

std::string refused(Reactor& reactor, Job job) {
    const RunResult result = run_on(reactor, std::move(job));
    HOST_CHECK_RESULT(result.outcome == Outcome::error, result);
    HOST_CHECK_RESULT(result.error && result.error->stage == Stage::setup, result);
    HOST_CHECK_RESULT(result.error->message.find("/proc") != std::string::npos, result);
    HOST_CHECK_RESULT(!result.error->cure.empty(), result);
    return {};
}

std::string keep_to_processor_time(Reactor& reactor) {
    const RunResult spun =
        run_on(reactor, limited("fork [ ready then spin ] then pause", [](auto& limits) { limits.cpu_time = 50ms; }));
    HOST_CHECK_RESULT(spun.reason == Reason::cpu_limit, spun);
    return {};
}

// What this process hands on to whatever it executes: the three, and what it was itself started with.
std::string descriptors_for_others() {
    std::string text;
    for (const int fd : support::open_descriptors()) {
        if ((fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0) text += std::to_string(fd) + " ";
    }
    return text;
}

}  // namespace

TEST_CASE("a host without /proc runs jobs in a tree, and refuses limits that it cannot keep") {
    CHECK(in_host_without("/proc", []() -> std::string {
              Reactor reactor = support::make_reactor({.containment = Containment::tree});
              if (std::string wrong = try_ordinary_jobs(reactor); !wrong.empty()) return wrong;
              for (auto* const set : {+[](proctor::RunLimits& limits) { limits.cpu_time = 1s; },
                                      +[](proctor::RunLimits& limits) { limits.block = 1s; },
                                      +[](proctor::RunLimits& limits) { limits.memory = 1 << 30; },
                                      +[](proctor::RunLimits& limits) { limits.processes = 4; },
                                      +[](proctor::RunLimits& limits) { limits.tasks = 4; }}) {
                  if (std::string wrong = refused(reactor, limited("exit 0", set)); !wrong.empty()) return wrong;
              }
              return try_ordinary_jobs(reactor);
          }) == "");
}

TEST_CASE("a host without /proc ends one that has left its process group, with a child in it") {
    const char* const program = std::getenv("PROCTOR_HOSTILE_PROGRAM");
    REQUIRE(program != nullptr);
    CHECK(in_host_without("/proc", [&]() -> std::string {
              Reactor reactor = support::make_reactor({.containment = Containment::tree});
              Job job = limited("change-process-group", [](auto& limits) { limits.time = 300ms; });
              job.argv[0] = program;
              job.new_session = false;
              support::Witness witness(job);
              const RunResult late = run_on(reactor, std::move(job));
              HOST_CHECK_RESULT(late.reason == Reason::time_limit && !late.error, late);
              HOST_CHECK(witness.all_gone());
              return {};
          }) == "");
}

TEST_CASE("a host without /proc runs jobs in cgroups, which tell their processor time") {
    const auto group = ground::Group::make();
    if (!group) return;
    CHECK(in_host_without("/proc", [&]() -> std::string {
              Reactor reactor = support::make_reactor({.containment = Containment::cgroup, .cgroup = group->path()});
              if (std::string wrong = try_ordinary_jobs(reactor); !wrong.empty()) return wrong;
              if (std::string wrong = keep_to_processor_time(reactor); !wrong.empty()) return wrong;
              return refused(reactor, limited("exit 0", [](auto& limits) { limits.processes = 4; }));
          }) == "");
}

TEST_CASE("a host without /proc is told that it can watch nobody by a pidfd") {
    CHECK(in_host_without("/proc", []() -> std::string {
              const support::Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, getppid(), 0)));
              Reactor reactor = support::make_reactor({.containment = Containment::tree});
              const auto handle = reactor.monitor_descriptor(pidfd.get(), {});
              HOST_CHECK(!handle);
              HOST_CHECK(handle.error().error_number == ENOENT);
              HOST_CHECK(handle.error().message.find("/proc") != std::string::npos);
              HOST_CHECK(!handle.error().cure.empty());
              return {};
          }) == "");
}

TEST_CASE("a host without /proc is told that there can be no keeper") {
    CHECK(in_host_without("/proc", []() -> std::string {
              const auto reactor = Reactor::create({.containment = Containment::keeper});
              HOST_CHECK(!reactor);
              HOST_CHECK(reactor.error().message.find("/proc") != std::string::npos);
              HOST_CHECK(!reactor.error().cure.empty());
              for (const proctor::Capability& each : proctor::examine({.containment = Containment::keeper})) {
                  if (each.name == "keeper" || each.name == "proc") HOST_CHECK(!each.available && !each.cure.empty());
              }
              for (const proctor::Capability& each : proctor::examine()) {
                  HOST_CHECK(each.detail.find("looked at every") == std::string::npos);
              }
              return {};
          }) == "");
}

TEST_CASE("a host that finds no cgroups takes a keeper, and tells so") {
    CHECK(in_host_without("/sys/fs/cgroup", []() -> std::string {
              const auto wanted = Reactor::create({.containment = Containment::cgroup});
              HOST_CHECK(!wanted);
              HOST_CHECK(!wanted.error().cure.empty());
              Reactor reactor = support::make_reactor();
              const RunResult result = run_on(reactor, script("exit 0"));
              HOST_CHECK_RESULT(result.sources.containment == "keeper", result);
              if (std::string wrong = keep_to_processor_time(reactor); !wrong.empty()) return wrong;
              return try_ordinary_jobs(reactor);
          }) == "");
}

TEST_CASE("an ordinary user's host works with what such a user can have") {
    if (geteuid() != 0) return support::skip("only root can become somebody else");
    const support::TempDir directory;
    const std::string& there = directory.path();
    for (const Containment kind : {Containment::automatic, Containment::keeper, Containment::tree}) {
        CAPTURE(support::name_of(kind));
        CHECK(support::in_host([&]() -> std::string {
                  HOST_CHECK(setgid(nobody) == 0 && setuid(nobody) == 0 && chdir(there.c_str()) == 0);
                  Reactor reactor = support::make_reactor({.containment = kind});
                  if (std::string wrong = keep_to_processor_time(reactor); !wrong.empty()) return wrong;
                  Job other = script("exit 0");
                  other.user = proctor::User{.uid = 0};
                  const RunResult result = run_on(reactor, std::move(other));
                  HOST_CHECK_RESULT(result.outcome == Outcome::error, result);
                  return try_ordinary_jobs(reactor);
              }) == "");
    }
}

TEST_CASE("an ordinary user's host keeps its limits where /proc hides whom it may not trace") {
    if (geteuid() != 0) return support::skip("only root can mount, and become somebody else");
    const support::TempDir directory;
    for (const Containment kind : {Containment::keeper, Containment::tree}) {
        CAPTURE(support::name_of(kind));
        const std::string complaint = support::in_host([&]() -> std::string {
            if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
                mount("proc", "/proc", "proc", 0, "hidepid=2") != 0) {
                return cannot_mount;
            }
            HOST_CHECK(setgid(nobody) == 0 && setuid(nobody) == 0 && chdir(directory.path().c_str()) == 0);
            HOST_CHECK(access("/proc/1", F_OK) != 0);
            Reactor reactor = support::make_reactor({.containment = kind});
            if (std::string wrong = keep_to_processor_time(reactor); !wrong.empty()) return wrong;
            const RunResult many =
                run_on(reactor, limited("fork [ ready then pause ] then fork [ ready then pause ] then pause",
                                        [](auto& limits) { limits.processes = 2; }));
            HOST_CHECK_RESULT(many.reason == Reason::process_limit, many);
            HOST_CHECK_RESULT(many.usage && many.usage->proc == 3, many);
            const RunResult large =
                run_on(reactor, limited("fork [ touch-memory 209715200 then ready then pause ] then pause",
                                        [](auto& limits) { limits.memory = Bytes{64} << 20; }));
            HOST_CHECK_RESULT(large.reason == Reason::memory_limit, large);
            return try_ordinary_jobs(reactor);
        });
        if (complaint == cannot_mount) return support::skip("no mount may be made here");
        CHECK(complaint == "");
    }
}

TEST_CASE("a host whose seccomp profile refuses clone3 is told so by each job in a cgroup") {
    const auto group = ground::Group::make();
    if (!group) return;
    for (const int error_number : {EPERM, ENOSYS}) {
        CAPTURE(error_number);
        CHECK(support::in_host([&]() -> std::string {
                  Reactor reactor = support::make_reactor(
                      {.containment = Containment::cgroup, .cgroup = group->path(), .guard = false});
                  HOST_CHECK(support::forbid_call(__NR_clone3, static_cast<unsigned>(error_number)));
                  const RunResult result = run_on(reactor, script("exit 0"));
                  HOST_CHECK_RESULT(result.outcome == Outcome::error, result);
                  HOST_CHECK_RESULT(result.error->stage == Stage::cgroup, result);
                  HOST_CHECK_RESULT(result.error->error_number == error_number, result);
                  HOST_CHECK_RESULT(result.error->cure.find("clone3") != std::string::npos, result);
                  return {};
              }) == "");
    }
}

TEST_CASE("a host whose seccomp profile refuses clone3 from the beginning gets another containment") {
    const auto group = ground::Group::make();
    if (!group) return;
    for (const int error_number : {EPERM, ENOSYS}) {
        CAPTURE(error_number);
        CHECK(support::in_host([&]() -> std::string {
                  HOST_CHECK(support::forbid_call(__NR_clone3, static_cast<unsigned>(error_number)));
                  const auto none =
                      Reactor::create({.containment = Containment::cgroup, .cgroup = group->path(), .guard = false});
                  HOST_CHECK(!none);
                  HOST_CHECK(none.error().stage == Stage::cgroup);
                  HOST_CHECK(none.error().cure.find("clone3") != std::string::npos);
                  Reactor reactor = support::make_reactor();
                  const RunResult result = run_on(reactor, script("exit 0"));
                  HOST_CHECK_RESULT(result.passed(), result);
                  HOST_CHECK_RESULT(result.sources.containment != "cgroup", result);
                  return {};
              }) == "");
    }
}

TEST_CASE("a host whose seccomp profile refuses epoll_ctl gets no poll engine") {
    for (const int error_number : {EPERM, ENOSYS}) {
        CAPTURE(error_number);
        CHECK(support::in_host([&]() -> std::string {
                  HOST_CHECK(support::forbid_call(__NR_epoll_ctl, static_cast<unsigned>(error_number)));
                  const auto none = Reactor::create({.engine = proctor::EngineChoice::poll});
                  HOST_CHECK(!none);
                  HOST_CHECK(none.error().stage == Stage::setup);
                  HOST_CHECK(none.error().error_number == error_number);
                  HOST_CHECK(none.error().cure.find("seccomp") != std::string::npos);
                  return {};
              }) == "");
    }
}

TEST_CASE("a host that has no memory for a reactor is told so, and gets one when it has") {
    if (support::sanitized) return support::skip("a sanitizer needs room of its own");
    for (const auto engine : {proctor::EngineChoice::io_uring, proctor::EngineChoice::poll}) {
        if (!Reactor::create({.engine = engine})) continue;
        CHECK(support::in_host([&]() -> std::string {
                  const auto before = support::open_descriptors();
                  rlimit room{};
                  HOST_CHECK(getrlimit(RLIMIT_AS, &room) == 0);
                  const rlimit none{.rlim_cur = 0, .rlim_max = room.rlim_max};
                  // Till the heap has no more to give.
                  std::vector<std::unique_ptr<char[]>> all(100'000);
                  HOST_CHECK(setrlimit(RLIMIT_AS, &none) == 0);
                  for (auto& each : all) {
                      each.reset(new (std::nothrow) char[4096]);
                      if (!each) break;
                  }
                  const auto refused = Reactor::create({.engine = engine});
                  HOST_CHECK(setrlimit(RLIMIT_AS, &room) == 0);
                  HOST_CHECK(!refused);
                  HOST_CHECK(refused.error().error_number == ENOMEM);
                  HOST_CHECK(!refused.error().cure.empty());
                  HOST_CHECK(support::open_descriptors() == before);
                  Reactor reactor = support::make_reactor({.engine = engine});
                  return try_ordinary_jobs(reactor);
              }) == "");
    }
}

TEST_CASE("an ordinary user's host works in a cgroup that it was given") {
    if (geteuid() != 0) return support::skip("only root can become somebody else");
    const auto group = ground::Group::make();
    if (!group) return;
    for (const char* const name : {"", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"}) {
        REQUIRE(chown(group->file(name).c_str(), nobody, nobody) == 0);
    }
    const ground::Group leaf(group->file("leaf"));
    CHECK(support::in_host([&]() -> std::string {
              HOST_CHECK(ground::write_to(leaf.file("cgroup.procs"), "0"));
              HOST_CHECK(setgid(nobody) == 0 && setuid(nobody) == 0);
              Reactor reactor = support::make_reactor({.containment = Containment::cgroup, .cgroup = group->path()});
              if (std::string wrong = keep_to_processor_time(reactor); !wrong.empty()) return wrong;
              return try_ordinary_jobs(reactor);
          }) == "");
}

TEST_CASE("a host without any of the three standard descriptors loses none of its jobs' words") {
    for (const Containment kind : support::containments()) {
        CAPTURE(support::name_of(kind));
        CHECK(support::in_host([&]() -> std::string {
                  for (const int fd : {0, 1, 2}) close(fd);
                  Reactor reactor = support::make_reactor({.containment = kind});
                  return try_ordinary_jobs(reactor);
              }) == "");
    }
}

TEST_CASE("a host that becomes another program hands nothing on to it, and leaves nobody") {
    for (const Containment kind : support::containments()) {
        if (kind == Containment::tree) continue;  // best effort: nobody is there who would see it
        CAPTURE(support::name_of(kind));
        Job job = script("fork [ new-session then ready then pause ] then print-to 8 r then pause");
        support::Witness witness(job);
        const support::Pipe word;
        job.descriptors.push_back({word.write_end.get(), 8});
        support::Pipe question;
        support::Pipe answer;
        const std::string inherited = descriptors_for_others();
        const pid_t host = fork();
        REQUIRE(host >= 0);
        if (host == 0) {
            Reactor reactor = support::make_reactor({.containment = kind});
            bool said = false;
            const auto watch = reactor.watch(word.read_end.get(), [&] { said = true; });
            reactor.submit(std::move(job));
            while (!said && reactor.run_once()) {
            }
            dup2(question.read_end.get(), 0);
            dup2(answer.write_end.get(), 1);
            execl(support::child().c_str(), "child_program", "descriptors", "then", "await-end", "0", nullptr);
            _exit(1);
        }
        // The other program lives on.
        CHECK(witness.all_gone());
        question.write_end.reset();
        answer.write_end.reset();
        CHECK(support::read_to_end(answer.read_end.get()) == inherited);
        int status = -1;
        CHECK(waitpid(host, &status, 0) == host);
        CHECK(status == 0);
    }
}

TEST_CASE("a host that closes all descriptors under its reactor is told, and lives") {
    for (const Containment kind : support::containments()) {
        CAPTURE(support::name_of(kind));
        // In a tree nobody is left who could kill it.
        Job job = script(kind == Containment::tree ? "await-end 0" : "pause");
        job.input = proctor::Input::held_open();
        support::Witness witness(job);
        CHECK(support::in_host([&]() -> std::string {
                  {
                      Reactor reactor = support::make_reactor({.containment = kind});
                      reactor.submit(std::move(job));
                      HOST_CHECK(reactor.run_once(0ns));
                      for (const int fd : support::open_descriptors()) {
                          if (fd > 2) close(fd);
                      }
                      HOST_CHECK(!reactor.run());
                  }
                  Reactor another = support::make_reactor({.containment = kind});
                  return try_ordinary_jobs(another);
              }) == "");
        CHECK(witness.all_gone());
    }
}
