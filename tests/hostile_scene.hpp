// SPDX-License-Identifier: MIT
//
// For the suites about programs that mean harm: their deeds, as the host's user or as a stranger, and the scene in
// which they are done.
#pragma once

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "cgroup_ground.hpp"

namespace hostile {

using proctor::Containment;
using proctor::Job;
using proctor::Outcome;
using proctor::Reactor;
using proctor::Reason;
using proctor::RunResult;
using proctor::STDOUT;
using support::script;
using support::TempDir;
using support::Witness;

inline std::string hostile_program() {
    const char* const path = std::getenv("PROCTOR_HOSTILE_PROGRAM");
    REQUIRE_MESSAGE(path != nullptr, "PROCTOR_HOSTILE_PROGRAM must name the hostile program");
    return path;
}

inline Job deed(std::string_view words) {
    Job job = script(words);
    job.argv[0] = hostile_program();
    return job;
}

inline bool owns_processes(unsigned user) {
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        struct stat status {};
        if (stat(entry.path().c_str(), &status) == 0 && status.st_uid == user) return true;
    }
    return false;
}

/// A user whom nobody knows and who has no process. Suites that run at once take different ones.
inline unsigned unused_user() {
    unsigned user = 40'000 + static_cast<unsigned>(getpid()) % 20'000;
    while (getpwuid(user) != nullptr || owns_processes(user)) ++user;
    return user;
}

/// Deeds of a user of their own, done with a copy of the program, since the program may lie where that user cannot go.
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

inline bool may_become_others() {
    if (geteuid() == 0) return true;
    support::skip("only root may start a job as another user");
    return false;
}

/// A reactor with a bystander, which runs while the deed is done, and a job after it.
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

inline void in_each(const std::function<void(Scene&)>& act) {
    for (const Containment kind : support::containments()) {
        CAPTURE(support::name_of(kind));
        Scene scene(kind);
        act(scene);
    }
}

inline void check_ended_by(const RunResult& result, Reason reason) {
    CHECK_MESSAGE(result.reason == reason, support::describe(result));
    CHECK(result.outcome == Outcome::fail);
}

inline void check_prints(const RunResult& result, const std::string& text) {
    CHECK_MESSAGE(result.capture.text(STDOUT) == text, support::describe(result));
    CHECK(result.passed());
}

}  // namespace hostile
