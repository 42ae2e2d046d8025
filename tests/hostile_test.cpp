// SPDX-License-Identifier: MIT
//
// Programs that mean harm, each in every containment: there is one result and it is right, nobody and nothing is left,
// the host and the jobs beside and after are as they would be without.
#include <fcntl.h>
#include <pwd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cgroup_ground.hpp"

using namespace std::chrono_literals;
using proctor::Containment;
using proctor::Job;
using proctor::Outcome;
using proctor::Reactor;
using proctor::Reason;
using proctor::RunResult;
using proctor::STDERR;
using proctor::STDOUT;
using support::script;
using support::TempDir;
using support::Witness;

namespace {

std::string hostile_program() {
    const char* const path = std::getenv("PROCTOR_HOSTILE_PROGRAM");
    REQUIRE_MESSAGE(path != nullptr, "PROCTOR_HOSTILE_PROGRAM must name the hostile program");
    return path;
}

Job deed(std::string_view words) {
    Job job = script(words);
    job.argv[0] = hostile_program();
    return job;
}

bool owns_processes(unsigned user) {
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        struct stat status {};
        if (stat(entry.path().c_str(), &status) == 0 && status.st_uid == user) return true;
    }
    return false;
}

// A user whom nobody knows and who has no process. Suites that run at once take different ones.
unsigned unused_user() {
    unsigned user = 40'000 + static_cast<unsigned>(getpid()) % 20'000;
    while (getpwuid(user) != nullptr || owns_processes(user)) ++user;
    return user;
}

// Deeds of a user of their own, done with a copy of the program, since the program may lie where that user cannot go.
class Stranger {
public:
    [[nodiscard]] unsigned user() const { return user_; }
    [[nodiscard]] Job deed(std::string_view words) const {
        Job job = script(words);
        job.argv[0] = program_;
        job.user = {.uid = user_};
        return job;
    }

private:
    unsigned user_ = unused_user();
    TempDir directory_{};
    std::string program_ = directory_.write("program", support::read_file(hostile_program()), 0755);
};

bool may_become_others() {
    if (geteuid() == 0) return true;
    support::skip("only root may start a job as another user");
    return false;
}

// A reactor with a bystander, which runs while the deed is done, and a job after it.
class Scene {
public:
    explicit Scene(Containment kind)
        : kind_(kind), group_(kind == Containment::cgroup ? ground::Group::make() : std::nullopt) {
        if (group_) options_.cgroup = group_->path();
        options_.containment = kind;
    }

    [[nodiscard]] const std::optional<ground::Group>& group() const { return group_; }

    RunResult run(Job job) const {
        Reactor reactor = support::make_reactor(options_);
        RunResult result;
        reactor.submit(std::move(job), [&](RunResult&& ended) { result = std::move(ended); });
        REQUIRE(reactor.run());
        return result;
    }

    RunResult endure(Job job) {
        const auto descriptors = support::open_descriptors();
        job.capture.spool_directory = spool_.path();
        {
            Reactor reactor = support::make_reactor(options_);
            Witness witness(job);
            play(reactor, job, witness);
            // Without containment they are killed, and nobody waits for that.
            if (kind_ == Containment::tree) CHECK(witness.all_gone());
        }
        CHECK(support::open_descriptors() == descriptors);
        CHECK_FALSE(support::has_children());
        CHECK(std::filesystem::is_empty(spool_.path()));
        if (group_) CHECK(left_in_group() == 0);
        return std::move(result_);
    }

private:
    void play(Reactor& reactor, const Job& job, Witness& witness) {
        int ends = 0;
        bool begun = false;
        std::string after;
        support::Pipe release;
        const auto on_deed_end = [&](RunResult&& result) {
            ++ends;
            if (kind_ != Containment::tree) CHECK_FALSE(witness.anybody_left());
            result_ = std::move(result);
            release.write_end.reset();
            reactor.submit(script("print after"), [&](RunResult&& next) { after = next.capture.text(STDOUT); });
        };
        Job bystander = script("print up then await-end 8 then print -and-on");
        bystander.descriptors.push_back({.from = release.read_end.get(), .to = 8});
        RunResult beside;
        reactor.submit(bystander, {.on_record =
                                       [&](auto&&) {
                                           if (!std::exchange(begun, true)) reactor.submit(job, on_deed_end);
                                       },
                                   .on_end = [&](RunResult&& result) { beside = std::move(result); }});
        REQUIRE(reactor.run());
        CHECK(ends == 1);
        CHECK(after == "after");
        CHECK_MESSAGE(beside.passed(), support::describe(beside));
        CHECK(beside.capture.text(STDOUT) == "up-and-on");
        CHECK_MESSAGE(result_.outcome != Outcome::error, support::describe(result_));
    }

    [[nodiscard]] std::size_t left_in_group() const {
        std::size_t left = 0;
        for (const std::string& name : ground::groups_in(group_->path()))
            left += name.rfind("proctor-", 0) == 0 ? 1 : 0;
        return left;
    }

    Containment kind_;
    std::optional<ground::Group> group_;
    proctor::ReactorOptions options_{};
    TempDir spool_{};
    RunResult result_{};
};

void in_each(const std::function<void(Scene&)>& act) {
    for (const Containment kind : support::containments()) {
        CAPTURE(support::name_of(kind));
        Scene scene(kind);
        act(scene);
    }
}

void check_ended_by(const RunResult& result, Reason reason) {
    CHECK_MESSAGE(result.reason == reason, support::describe(result));
    CHECK(result.outcome == Outcome::fail);
}

void check_prints(const RunResult& result, const std::string& text) {
    CHECK_MESSAGE(result.capture.text(STDOUT) == text, support::describe(result));
    CHECK(result.passed());
}

}  // namespace

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
    std::vector<support::Fd> open_files;
    for (int i = 0; i < 20; ++i) open_files.push_back(support::open_file(path, O_RDWR));
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

// --- Rights

TEST_CASE("a set-uid program gives a job no rights, unless the job allows it") {
    if (!may_become_others()) return;
    const Stranger stranger;
    const TempDir directory;
    const std::string path = directory.write("setuid", support::read_file(hostile_program()), 04755);
    struct statvfs mount {};
    REQUIRE(statvfs(path.c_str(), &mount) == 0);
    const std::string user = std::to_string(stranger.user());
    in_each([&](Scene& scene) {
        Job job = stranger.deed("users");
        job.argv[0] = path;
        check_prints(scene.endure(job), user + " " + user + " " + user + "\n");
        if ((mount.f_flag & ST_NOSUID) != 0) return support::skip("set-uid programs have no effect in " + path);
        if (support::status_field("self", "NoNewPrivs") != "0") return support::skip("the host may gain no rights");
        job.allow_new_privileges = true;
        check_prints(scene.endure(job), user + " 0 0\n");
    });
}

TEST_CASE("one with a user of its own cannot take precedence") {
    if (!may_become_others()) return;
    for (const auto resource : {RLIMIT_NICE, RLIMIT_RTPRIO}) {
        rlimit limit{};
        REQUIRE(getrlimit(resource, &limit) == 0);
        if (limit.rlim_cur > 0) return support::skip("the limits here let everybody take precedence");
    }
    const Stranger stranger;
    in_each([&](Scene& scene) {
        check_prints(scene.endure(stranger.deed("raise-priority")), "nice: refused\nreal time: refused\n");
    });
}

TEST_CASE("one with a user of its own cannot raise its limits") {
    if (!may_become_others()) return;
    const Stranger stranger;
    in_each([&](Scene& scene) {
        Job job = stranger.deed("raise-limits");
        job.resource_limits = {.core = 0, .file_size = 1'000'000, .open_files = 50, .stack = 8 << 20};
        check_prints(scene.endure(job), "limit: refused\nlimit: refused\nlimit: refused\nlimit: refused\n");
    });
}

TEST_CASE("one of the host's user that has left its control group is ended by its limit nevertheless") {
    Scene scene(support::containments().front());
    if (!scene.group()) return support::skip("there are no control groups");
    const ground::Group elsewhere(scene.group()->file("elsewhere"));
    Job job = deed("change-group " + elsewhere.file("cgroup.procs"));
    job.limits.time = 300ms;
    check_ended_by(scene.endure(job), Reason::time_limit);
}

TEST_CASE("one with a user of its own cannot leave its control group") {
    if (!may_become_others()) return;
    Scene scene(support::containments().front());
    if (!scene.group()) return support::skip("there are no control groups");
    const ground::Group elsewhere(scene.group()->file("elsewhere"));
    const Stranger stranger;
    check_prints(scene.endure(stranger.deed("change-group " + elsewhere.file("cgroup.procs"))), "group: refused\n");
}

TEST_CASE("one that has left its process group, and leaves a child in it, is ended by its limit") {
    in_each([](Scene& scene) {
        Job job = deed("change-process-group");
        job.new_session = false;
        job.limits.time = 300ms;
        check_ended_by(scene.endure(job), Reason::time_limit);
    });
}
