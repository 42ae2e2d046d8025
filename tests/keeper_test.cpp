// SPDX-License-Identifier: MIT
//
// Jobs in a keeper: how they start, what keeps them from it, and what is reported of them.
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "kept_job.hpp"
#include "support.hpp"

using proctor::Error;
using proctor::Job;
using proctor::RunResult;
using proctor::Stage;
using proctor::detail::Keeper;
using proctor::detail::KeeperMessage;
using proctor::detail::KeeperPlan;
using proctor::detail::KeeperReport;
using proctor::detail::UniqueFd;
using support::as_nobody;
using support::keeper_path;
using support::KeptJob;
using support::nobody;
using support::readable;
using support::script;
using support::TempDir;

namespace {

// Standard output of a job that exits with status 0.
std::string kept_output(const Job& job) {
    KeptJob kept(job);
    std::string output = kept.output();
    const bool empty = kept.await_empty();
    CHECK(empty);
    CHECK(kept.report().wait_status == 0);
    return output;
}

std::int64_t cpu_ns(const proctor::detail::KeeperUsage& usage) { return usage.user_ns + usage.system_ns; }

}  // namespace

TEST_CASE("a keeper tells the start, the main process's status and the end") {
    KeptJob exited(script("exit 42"));
    REQUIRE(exited.await_started());
    CHECK(exited.pidfd() >= 0);
    CHECK(exited.report().pid > 0);
    CHECK(exited.report().pid != exited.keeper().pid());
    REQUIRE(exited.stamp().has_value());
    REQUIRE(exited.await_empty());
    CHECK((exited.told() & proctor::detail::keeper_main_ended) != 0);
    CHECK(WIFEXITED(exited.report().wait_status));
    CHECK(WEXITSTATUS(exited.report().wait_status) == 42);
    CHECK(exited.report().main_ended_ns > exited.report().stamp_ns);
    CHECK(exited.report().reaped == 1);
    CHECK_FALSE(exited.error().has_value());
    const auto status = exited.keeper().reap();
    REQUIRE(status.has_value());
    CHECK(status->exit_code == 0);
    CHECK(status->signal == 0);

    KeptJob signalled(script("raise 15"));
    REQUIRE(signalled.await_empty());
    CHECK(WIFSIGNALED(signalled.report().wait_status));
    CHECK(WTERMSIG(signalled.report().wait_status) == SIGTERM);
}

TEST_CASE("a process in a keeper starts in the same state as one without") {
    Job job = script(
        "status SigBlk then status SigIgn then status SigCgt then limit core then limit open_files then limit stack "
        "then limit file_size then nice then status Umask then status Cpus_allowed_list then dumpable then "
        "parent-death-signal then status NoNewPrivs then groups then status CapEff then cwd then environment then "
        "descriptors");
    // Where no signal is asked for, a keeper takes the process with it.
    Job without = job;
    without.parent_death_signal = SIGKILL;
    CHECK(kept_output(job) == support::output_of(without));
    job.umask = 0137;
    job.nice = 7;
    job.affinity = {0};
    job.cwd = "/tmp";
    job.parent_death_signal = SIGUSR1;
    job.allow_new_privileges = true;
    job.resource_limits.open_files = 50;
    job.resource_limits.stack = 1 << 20;
    job.environment = {.inherit = false, .set = {{"ONE", "1"}, {"TWO", ""}}};
    job.descriptors = {{.from = 0, .to = 3}, {.from = 1, .to = 40}};
    CHECK(kept_output(job) == support::output_of(job));
    if (geteuid() != 0) return;
    const TempDir dir;
    Job other = as_nobody(dir, "status Uid then status Gid then groups then status CapEff then dumpable");
    other.user->gid = 1234;
    other.user->groups = {5, 77777};
    CHECK(kept_output(other) == support::output_of(other));
}

TEST_CASE("a host's blocked and ignored signals reach neither keeper nor job") {
    CHECK(support::in_host([]() -> std::string {
              signal(SIGCHLD, SIG_IGN);
              signal(SIGPIPE, SIG_IGN);
              sigset_t all;
              sigfillset(&all);
              sigprocmask(SIG_SETMASK, &all, nullptr);
              KeptJob job(script("status SigBlk then status SigIgn then exit 3"));
              HOST_CHECK(job.output() == "0000000000000000\n0000000000000000\n");
              HOST_CHECK(job.await_empty());
              HOST_CHECK(WEXITSTATUS(job.report().wait_status) == 3);
              return {};
          }) == "");
}

TEST_CASE("a host without stdin, stdout and stderr can keep a job") {
    CHECK(support::in_host([]() -> std::string {
              for (const int fd : {0, 1, 2}) close(fd);
              KeptJob job(script("print hello then descriptors"));
              HOST_CHECK(job.control().socket() > 2);
              HOST_CHECK(job.output() == "hello0 1 2 ");
              HOST_CHECK(job.await_empty());
              return {};
          }) == "");
}

TEST_CASE("a job has its descriptors and nothing of its keeper") {
    CHECK(kept_output(script("descriptors")) == "0 1 2 ");
    const support::Fd file = support::open_file("/dev/null", O_RDONLY | O_CLOEXEC);
    for (const int high : {3, 4, 5, 63, 900}) {
        Job job = script("descriptors");
        job.descriptors = {{.from = file.get(), .to = high}};
        CHECK(kept_output(job) == "0 1 2 " + std::to_string(high) + " ");
    }
    Job crossed = script("descriptors");
    crossed.descriptors = {{.from = file.get(), .to = 4}, {.from = file.get(), .to = 3}, {.from = 0, .to = 100}};
    CHECK(kept_output(crossed) == support::output_of(crossed));
}

TEST_CASE("a megabyte of arguments and a megabyte of environment pass through a keeper") {
    std::vector<std::string> words{"arguments"};
    for (int i = 0; i < 20; ++i) words.emplace_back(50'000, static_cast<char>('a' + i));
    for (int i = 0; i < 5000; ++i) words.push_back(std::to_string(i));
    Job job = script(words);
    std::string expected;
    for (const std::string& word : job.argv) expected += word + '\0';
    CHECK(kept_output(job) == expected);
    job = script("environment");
    job.environment.inherit = false;
    expected.clear();
    for (int i = 0; i < 20; ++i) {
        job.environment.set.emplace_back("BIG" + std::to_string(i), std::string(50'000, static_cast<char>('a' + i)));
        expected += job.environment.set.back().first + "=" + job.environment.set.back().second + '\0';
    }
    CHECK(kept_output(job) == expected);
}

TEST_CASE("what keeps a job from its program is the same error with a keeper as without") {
    const TempDir dir;
    dir.write("no-right", "", 0644);
    dir.write("no-format", "neither", 0755);
    dir.write("no-interpreter", "#!/nonexistent/interpreter\n", 0755);
    std::vector<Job> jobs;
    for (const char* const name : {"no-right", "no-format", "no-interpreter", "nothing-there", "no-right/below"}) {
        jobs.push_back({.argv = {dir.file(name)}});
    }
    jobs.push_back({.argv = {"no-such-program-anywhere"}});
    jobs.push_back(script(std::vector<std::string>{"print", std::string(200'000, 'x')}));
    jobs.push_back({.argv = {std::string(200'000, 'x')}});
    jobs.push_back({.shell = "exit 0 # " + std::string(200'000, 'x')});
    rlimit limit{};
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    for (int i = 0; i < 6; ++i) jobs.push_back(script("exit 0"));
    (jobs.end() - 6)->cwd = "/nonexistent";
    (jobs.end() - 5)->affinity = {1023};
    (jobs.end() - 4)->resource_limits.open_files = std::int64_t{1} << 40;
    (jobs.end() - 3)->descriptors = {{.from = 0, .to = static_cast<int>(limit.rlim_cur)}};
    (jobs.end() - 2)->resource_limits.open_files = 4;  // no error
    (jobs.end() - 1)->cwd = dir.file("no-right");
    for (const Job& job : jobs) {
        const RunResult direct = proctor::run(job);
        KeptJob kept(job);
        const std::optional<Error> error = kept.error();
        std::ostringstream texts[2];
        if (direct.error) texts[0] << *direct.error << direct.error->program_found;
        if (error) texts[1] << *error << error->program_found;
        CHECK(texts[1].str() == texts[0].str());
        const bool reached = (kept.told() & proctor::detail::keeper_started) != 0;
        CHECK(kept.stamp().has_value() == reached);
    }
}

TEST_CASE("rights that the host lacks are the same error with a keeper as without") {
    if (geteuid() != 0) return;
    const TempDir dir;
    const std::string keeper = support::copy_keeper(dir);
    Job user = as_nobody(dir, "exit 0");
    user.user->uid = 0;
    user.user->gid = 77;
    Job nice = user;
    nice.user.reset();
    nice.nice = -5;
    CHECK(support::in_host([&]() -> std::string {
              const rlimit none{0, 0};
              HOST_CHECK(setrlimit(RLIMIT_NICE, &none) == 0);
              HOST_CHECK(setresuid(nobody, nobody, nobody) == 0);
              for (const Job& job : {user, nice}) {
                  const RunResult direct = proctor::run(job);
                  KeptJob kept(job, {keeper});
                  const std::optional<Error> error = kept.error();
                  HOST_CHECK_RESULT(direct.error && error && *error == *direct.error, direct);
                  HOST_CHECK(error->stage == Stage::credentials);
              }
              return {};
          }) == "");
}

TEST_CASE("a keeper that cannot be run is an error of stage spawn with a cure") {
    const TempDir dir;
    dir.write("not-a-program", "neither", 0755);
    for (const std::string& path : {dir.file("missing"), dir.file("not-a-program"), dir.path()}) {
        KeptJob kept(script("exit 0"), {path});
        const std::optional<Error> error = kept.error();
        REQUIRE(error.has_value());
        CHECK(error->stage == Stage::spawn);
        CHECK(error->message.find(path) != std::string::npos);
        CHECK_FALSE(error->cure.empty());
    }
    for (const std::string& path : {dir.file("missing"), dir.write("no-right", "", 0644), dir.path()}) {
        const auto found = proctor::detail::find_keeper(path);
        REQUIRE_FALSE(found.has_value());
        CHECK(found.error().stage == Stage::spawn);
        CHECK_FALSE(found.error().cure.empty());
    }
    CHECK(proctor::detail::find_keeper(keeper_path()) == keeper_path());
}

TEST_CASE("a program that runs from the build tree finds the keeper that was built there") {
    if (std::getenv("PROCTOR_ROOM_CGROUP") != nullptr) {
        return support::skip("the build tree has been moved into the virtual machine");
    }
    CHECK(proctor::detail::find_keeper("") == keeper_path());
}

TEST_CASE("a keeper of another version refuses, and a stranger is told what it is") {
    for (const bool foreign : {true, false}) {
        int ends[2];
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
        Keeper control{UniqueFd(ends[0])};
        const support::Fd keepers(ends[1]);
        const support::Fd file(memfd_create("plan", MFD_CLOEXEC));
        KeeperPlan plan;
        plan.control = 3;
        (foreign ? plan.magic : plan.protocol) += 1;
        support::write_all(file.get(), {reinterpret_cast<const char*>(&plan), sizeof plan});
        Job job;
        job.argv = {keeper_path(), "job", "4", "name"};
        job.descriptors = {{.from = keepers.get(), .to = 3}, {.from = file.get(), .to = 4}};
        const RunResult result = proctor::run(job);
        CHECK(result.exit_code == 2);
        CHECK(result.capture.text(proctor::STDERR).empty() != foreign);
        KeeperMessage message;
        const bool told = control.receive(message) == Keeper::Received::report;
        CHECK(told != foreign);
        if (told) CHECK(message.report.news == proctor::detail::keeper_refused);
    }
}

TEST_CASE("end of file on the job's output comes although the keeper lives") {
    KeptJob job(script("fork [ close 1 then close 2 then new-session then ready then pause ] then print all"));
    CHECK(job.output() == "all");
    CHECK(job.await_main_end());
    CHECK((job.told() & proctor::detail::keeper_empty) == 0);
    CHECK_FALSE(readable(job.keeper().pidfd(), 0));
    CHECK(job.kill());
}

TEST_CASE("a keeper sums up what the main process and its orphans used") {
    // The orphan begins to burn after its parent has gone, so nobody but the keeper waits for it.
    KeptJob job(script("burn 30 then fork [ fork [ new-session then ready then await-orphaned then burn 60 ] ]"));
    REQUIRE(job.await_empty());
    const KeeperReport& report = job.report();
    CHECK(report.reaped == 3);
    CHECK(cpu_ns(report.main) >= 29'000'000);
    CHECK(cpu_ns(report.tree) >= cpu_ns(report.main) + 59'000'000);
    CHECK(report.tree.peak_bytes >= report.main.peak_bytes);
}

TEST_CASE("the peak of a tiny job in a keeper is not that of a large host") {
    constexpr std::size_t size = std::size_t{64} << 20;
    CHECK(support::in_host([]() -> std::string {
              const std::vector<char> memory(size, 'x');
              KeptJob tiny(script("exit 0"));
              HOST_CHECK(tiny.await_empty());
              HOST_CHECK(tiny.report().main.peak_bytes > 0);
              HOST_CHECK(tiny.report().main.peak_bytes < static_cast<std::int64_t>(size) / 8);
              KeptJob large(script("touch-memory 20000000"));
              HOST_CHECK(large.await_empty());
              HOST_CHECK(large.report().main.peak_bytes >= 20'000'000);
              HOST_CHECK(large.report().main.peak_bytes < static_cast<std::int64_t>(size));
              HOST_CHECK(memory[size / 2] == 'x');
              return {};
          }) == "");
}
