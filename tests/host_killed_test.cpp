// SPDX-License-Identifier: MIT
//
// A host that is killed, at whatever moment, leaves no process of its jobs; groups that it leaves are swept by the
// next.
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <random>
#include <string>
#include <thread>

#include "cgroup_ground.hpp"
#include "support.hpp"
#include "watched_child.hpp"

using namespace std::chrono_literals;
using proctor::Containment;
using proctor::Job;
using proctor::Reactor;
using proctor::ReactorOptions;
using support::script;

namespace {

const std::array<const char*, 5> fugitives = {
    "fork [ new-session then pause ] then exit 0",
    "fork [ fork [ new-session then ignore 15 then pause ] then pause ] then pause",
    "fork [ new-session then raise 19 ] then pause",
    "burn 5 then fork [ new-session then burn 5 ] then exit 0",
    "fork [ new-session then thread [ pause ] then end-thread ] then pause",
};

// Runs jobs that try to escape until it is killed from outside.
std::string run_for_ever(const ReactorOptions& options, const Job& pattern) {
    Reactor reactor = support::make_reactor(options);
    std::size_t next = 0;
    for (;;) {
        for (int i = 0; i < 8; ++i) {
            Job job = script(fugitives[next++ % fugitives.size()]);
            job.descriptors = pattern.descriptors;
            job.limits.time = 10ms;
            job.drain_grace = 1ms;
            job.output = job.error_output = proctor::Output::null();
            reactor.submit(std::move(job));
        }
        HOST_CHECK(reactor.run());
    }
}

}  // namespace

TEST_CASE("a host that is killed at any moment leaves nobody") {
    const unsigned seed = std::random_device{}();
    CAPTURE(seed);
    std::mt19937 random(seed);
    for (const Containment kind : support::containments()) {
        if (kind == Containment::tree) continue;  // best effort: what is not the main process lives on
        CAPTURE(support::name_of(kind));
        const auto ground = kind == Containment::cgroup ? ground::Group::make() : std::nullopt;
        if (kind == Containment::cgroup && !ground) continue;
        const ReactorOptions options{
            .max_running = 8, .containment = kind, .cgroup = ground ? ground->path() : std::string()};
        const int rounds = support::rounds(20);
        for (int round = 0; round < rounds; ++round) {
            Job pattern;
            support::Witness witness(pattern);
            const auto moment = std::chrono::microseconds(random() % 60'000);
            CAPTURE(moment.count());
            const std::string how = support::in_host([&]() -> std::string {
                const pid_t host = getpid();
                std::thread([host, moment] {
                    std::this_thread::sleep_for(moment);
                    kill(host, SIGKILL);
                }).detach();
                return run_for_ever(options, pattern);
            });
            CHECK(how == "the host was killed by signal 9");
            CHECK(witness.all_gone());
        }
        // What is left of groups is swept by those who come after, when the dying have left them.
        if (ground) {
            CHECK(support::eventually([&] {
                (void)support::make_reactor(options).run();
                return ground::groups_in(ground->path()).empty();
            }));
        }
    }
}
