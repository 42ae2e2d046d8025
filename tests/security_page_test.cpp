// SPDX-License-Identifier: MIT
//
// The commands of SECURITY.md, to the letter: what is in the box runs, as whom the page says, and sees what it says.
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "support.hpp"

using proctor::Job;
using proctor::RunResult;
using proctor::STDERR;
using proctor::STDOUT;

namespace {

// With nothing but a shell: who runs it, and whether it sees the machine's list of users.
constexpr std::string_view program = R"(#!/bin/sh
while read -r key user others; do
    if [ "$key" = Uid: ]; then echo "user $user"; fi
done </proc/self/status
if [ -e /etc/passwd ]; then echo "sees files"; else echo "sees nothing"; fi
)";

std::string variable(const char* name) {
    const char* const value = std::getenv(name);
    REQUIRE_MESSAGE(value != nullptr, name);
    return value;
}

// The page's blocks of commands, in order.
std::vector<std::string> commands() {
    constexpr std::string_view begin = "```sh\n";
    const std::string page = support::read_file(variable("PROCTOR_SECURITY_PAGE"));
    std::vector<std::string> found;
    for (std::size_t at = 0; (at = page.find(begin, at)) != std::string::npos;) {
        at += begin.size();
        found.push_back(page.substr(at, page.find("```", at) - at));
    }
    return found;
}

std::string command_with(std::string_view word) {
    for (const std::string& command : commands()) {
        if (command.find(word) != std::string::npos) return command;
    }
    return {};
}

// As somebody would type it who has the box in his directory and proctor in his PATH.
RunResult type_in(const std::string& command) {
    const support::TempDir directory;
    REQUIRE(mkdir(directory.file("box").c_str(), 0755) == 0);
    (void)directory.write("box/program", program, 0755);
    Job job{.shell = command, .cwd = directory.path()};
    const std::string own = std::filesystem::path(variable("PROCTOR_COMMAND")).parent_path().string();
    job.environment.set = {{"PATH", own + ":" + variable("PATH")}};
    return proctor::run(job);
}

bool can_play() {
    if (std::getenv("PROCTOR_COMMAND") == nullptr) {
        support::skip("the command was not built");
        return false;
    }
    if (geteuid() == 0) return true;
    support::skip("only root may start a job as another user");
    return false;
}

// Whether a jailer is there and may make its namespaces, as an unused user and without gaining rights.
bool can_jail(const std::string& name, const std::string& words) {
    if (!proctor::run({.shell = "command -v " + name}).passed()) {
        support::skip("there is no " + name);
        return false;
    }
    Job job{.shell = words};
    job.user = {.uid = 64999};
    const RunResult result = proctor::run(job);
    if (result.passed()) return true;
    support::skip(name + " may not make its namespaces: " + result.capture.text(STDERR));
    return false;
}

void check_prints(const RunResult& result, const std::string& text) {
    CHECK_MESSAGE(result.passed(), support::describe(result));
    CHECK(result.capture.text(STDOUT) == text);
}

}  // namespace

TEST_CASE("the page has an example of each") {
    CHECK(commands().size() == 3);
    CHECK(command_with("--clear-env") != "");
    CHECK(command_with("bwrap") != "");
    CHECK(command_with("nsjail") != "");
}

TEST_CASE("a user of its own") {
    if (!can_play()) return;
    const std::string sight = access("/etc/passwd", F_OK) == 0 ? "sees files\n" : "sees nothing\n";
    check_prints(type_in(command_with("--clear-env")), "user 64999\n" + sight);
}

TEST_CASE("behind bubblewrap") {
    if (!can_play() || !can_jail("bwrap", "bwrap --unshare-all --ro-bind / / --proc /proc true")) return;
    check_prints(type_in(command_with("bwrap")), "user 64999\nsees nothing\n");
}

TEST_CASE("behind nsjail") {
    if (!can_play() || !can_jail("nsjail", "nsjail -Mo --really_quiet --chroot / -- /bin/true")) return;
    check_prints(type_in(command_with("nsjail")), "user 64999\nsees nothing\n");
}

TEST_CASE("who is behind bubblewrap is ended with the rest, in whatever session") {
    if (!can_play() || !can_jail("bwrap", "bwrap --unshare-all --ro-bind / / --proc /proc true")) return;
    for (const proctor::Containment kind : support::containments()) {
        if (kind == proctor::Containment::tree) continue;  // which is best effort
        CAPTURE(support::name_of(kind));
        Job job = support::script("fork [ new-session then ignore 15 then ready then pause ] then pause");
        const std::vector<std::string> jail = {"bwrap", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc"};
        job.argv.insert(job.argv.begin(), jail.begin(), jail.end());
        job.limits.time = std::chrono::seconds(1);
        support::Witness witness(job);
        const RunResult result = support::run_in(kind, job);
        CHECK_MESSAGE(result.reason == proctor::Reason::time_limit, support::describe(result));
        CHECK_FALSE(witness.anybody_left());
    }
}
