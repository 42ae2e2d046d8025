// SPDX-License-Identifier: MIT
//
// Each system call that a child makes between clone and execve fails, by a filter of its host: the job's error says at
// which step, and why. The filters refuse only what a host does not do itself.
#include <sys/syscall.h>

#include <cerrno>
#include <functional>
#include <string>
#include <vector>

#include "forbid_calls.hpp"
#include "support.hpp"

using proctor::Containment;
using proctor::Job;
using proctor::Outcome;
using proctor::Reactor;
using proctor::RunResult;
using proctor::Stage;
using support::script;

namespace {

struct Refusal {
    const char* name;
    unsigned call;
    unsigned error_number;
    Stage stage;
    std::function<void(Job&)> needs{};
};

const std::vector<Refusal> refusals{
    {"close_range", __NR_close_range, ENOMEM, Stage::spawn},
    {"setsid", __NR_setsid, EPERM, Stage::start},
    {"setpgid", __NR_setpgid, EPERM, Stage::start, [](Job& job) { job.new_session = false; }},
    {"chdir", __NR_chdir, EIO, Stage::chdir, [](Job& job) { job.cwd = "/"; }},
    {"setpriority", __NR_setpriority, EACCES, Stage::credentials, [](Job& job) { job.nice = 5; }},
    {"sched_setaffinity", __NR_sched_setaffinity, EINVAL, Stage::credentials, [](Job& job) { job.affinity = {0}; }},
    {"setgroups", __NR_setgroups, ENOMEM, Stage::credentials, [](Job& job) { job.user = proctor::User{.uid = 1}; }},
    {"setresgid", __NR_setresgid, EPERM, Stage::credentials, [](Job& job) { job.user = proctor::User{.uid = 1}; }},
    {"setresuid", __NR_setresuid, EAGAIN, Stage::credentials, [](Job& job) { job.user = proctor::User{.uid = 1}; }},
    {"execve", __NR_execve, ENOMEM, Stage::exec},
    {"execve", __NR_execve, E2BIG, Stage::exec},
    {"execve", __NR_execve, EIO, Stage::exec},
};

std::string refuse_in_host(const Refusal& refusal, Containment containment) {
    return support::in_host([&]() -> std::string {
        const auto before = support::open_descriptors();
        {
            Reactor reactor = support::make_reactor({.containment = containment});
            HOST_CHECK(support::forbid_call(refusal.call, refusal.error_number));
            Job job = script("copy-to-both");
            job.input = proctor::Input::text("hello");
            if (refusal.needs) refusal.needs(job);
            int ends = 0;
            RunResult end;
            reactor.submit(std::move(job), [&](RunResult&& result) {
                ++ends;
                end = std::move(result);
            });
            HOST_CHECK(reactor.run());
            HOST_CHECK(ends == 1);
            HOST_CHECK_RESULT(end.outcome == Outcome::error, end);
            HOST_CHECK_RESULT(end.error->error_number == static_cast<int>(refusal.error_number), end);
            HOST_CHECK_RESULT(!end.error->message.empty(), end);
            HOST_CHECK_RESULT(!end.error->cure.empty(), end);
            // A keeper meets the same on its own way, before the job does.
            HOST_CHECK_RESULT(end.error->stage == refusal.stage || containment == Containment::keeper, end);
        }
        HOST_CHECK(support::open_descriptors() == before);
        HOST_CHECK(!support::has_children());
        return {};
    });
}

}  // namespace

TEST_CASE("whatever a child cannot do before its execve, the error has the step and the errno value") {
    const std::string why_not =
        support::in_host([] { return std::string(support::forbid_call(__NR_acct, EPERM) ? "" : "no"); });
    if (!why_not.empty()) {
        support::skip("this kernel has no seccomp filters");
        return;
    }
    for (const Containment containment : support::containments()) {
        for (const Refusal& refusal : refusals) {
            CAPTURE(std::string(refusal.name));
            CAPTURE(std::string(support::name_of(containment)));
            CHECK(refuse_in_host(refusal, containment) == "");
        }
    }
}
