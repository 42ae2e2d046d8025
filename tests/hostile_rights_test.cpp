// SPDX-License-Identifier: MIT
//
// Programs that want more than they were given: rights, precedence, higher limits, to be out of their groups.
#include <sys/resource.h>
#include <sys/statvfs.h>

#include <chrono>
#include <string>

#include "hostile_scene.hpp"

using namespace std::chrono_literals;
using hostile::check_ended_by;
using hostile::check_prints;
using hostile::deed;
using hostile::in_each;
using hostile::may_become_others;
using hostile::Scene;
using hostile::Stranger;
using proctor::Job;
using proctor::Reason;
using support::TempDir;

TEST_CASE("a set-uid program gives a job no rights, unless the job allows it") {
    if (!may_become_others()) return;
    const Stranger stranger;
    const TempDir directory;
    const std::string path = directory.write("setuid", support::read_file(hostile::hostile_program()), 04755);
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
