// SPDX-License-Identifier: MIT
//
// Which program is run, and what it is told: arguments, environment, PATH, working directory, and the errors of a job
// that cannot be run.
#include "support.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <set>
#include <string>
#include <utility>
#include <vector>

using proctor::Error;
using proctor::Job;
using proctor::Outcome;
using proctor::RunResult;
using proctor::Stage;
using support::output_of;
using support::script;
using support::TempDir;

namespace {

std::vector<std::string> split_at_nul(const std::string& text) {
    std::vector<std::string> parts;
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = text.find('\0', begin);
        parts.push_back(text.substr(begin, end - begin));
        begin = end == std::string::npos ? text.size() : end + 1;
    }
    return parts;
}

// The error of a job that must not run.
Error error_of(Job job) {
    const RunResult result = proctor::run(std::move(job));
    INFO(support::describe(result));
    CHECK(result.outcome == Outcome::error);
    CHECK_FALSE(result.returncode.has_value());
    CHECK_FALSE(result.exit_code.has_value());
    CHECK_FALSE(result.signal.has_value());
    CHECK_FALSE(result.usage.has_value());
    CHECK_FALSE(result.reason.has_value());
    REQUIRE(result.error.has_value());
    CHECK_FALSE(result.error->message.empty());
    return *result.error;
}

Error exec_error_of(Job job) {
    Error error = error_of(std::move(job));
    INFO(error.message);
    CHECK(error.stage == Stage::exec);
    return error;
}

Job in_path(std::string path, std::vector<std::string> argv) {
    Job job;
    job.argv = std::move(argv);
    job.environment.set = {{"PATH", std::move(path)}};
    return job;
}

// A variable of this process, for the time of a test.
class HostVariable {
public:
    HostVariable(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
    HostVariable(const HostVariable&) = delete;
    HostVariable& operator=(const HostVariable&) = delete;
    ~HostVariable() { unsetenv(name_); }

private:
    const char* name_;
};

}  // namespace

TEST_CASE("every argument arrives byte for byte") {
    const std::vector<std::string> words{
        "arguments", "",  " ",  "two words", "\"quoted\" 'twice' \\", "a\nb\t", "$HOME *", "\xff\xfe\x01",
        "größe",     "-", "--", ""};
    Job job = script(words);
    const std::vector<std::string> sent = job.argv;
    CHECK(split_at_nul(output_of(std::move(job))) == sent);
}

TEST_CASE("a shell text gets argv as its positional parameters") {
    Job job;
    job.shell = "printf '%s|' \"$#\" \"$1\" \"$2\"";
    job.argv = {"first word", "$2"};
    CHECK(output_of(job) == "2|first word|$2|");
}

TEST_CASE("a shell text without parameters runs") {
    Job job;
    job.shell = "echo $#; exit 7";
    const RunResult result = proctor::run(job);
    CHECK(result.exit_code == 7);
    CHECK(result.capture.text(proctor::STDOUT) == "0\n");
}

TEST_CASE("the environment is the host's, less what is unset, plus what is set") {
    const HostVariable kept("PROCTOR_TEST_KEPT", "kept");
    const HostVariable unset("PROCTOR_TEST_UNSET", "unset");
    const HostVariable replaced("PROCTOR_TEST_REPLACED", "old");
    Job job = script("environment");
    job.environment.set = {
        {"PROCTOR_TEST_REPLACED", "new"}, {"PROCTOR_TEST_ADDED", "a=b \n"}, {"PROCTOR_TEST_EMPTY", ""}};
    job.environment.unset = {"PROCTOR_TEST_UNSET", "PROCTOR_TEST_NEVER_THERE"};
    std::set<std::string> ours;
    std::size_t count = 0;
    for (const std::string& entry : split_at_nul(output_of(job))) {
        if (entry.rfind("PROCTOR_TEST_", 0) != 0 || entry.rfind("PROCTOR_TEST_CHILD=", 0) == 0) continue;
        ours.insert(entry);
        ++count;
    }
    CHECK(count == 4);
    CHECK(ours == std::set<std::string>{"PROCTOR_TEST_KEPT=kept", "PROCTOR_TEST_REPLACED=new",
                                        "PROCTOR_TEST_ADDED=a=b \n", "PROCTOR_TEST_EMPTY="});
}

TEST_CASE("an environment that does not inherit holds what is set and nothing else") {
    Job job = script("environment");
    job.environment.inherit = false;
    CHECK(output_of(job).empty());
    job.environment.set = {{"B", "2"}, {"A", "1"}};
    CHECK(split_at_nul(output_of(job)) == std::vector<std::string>{"B=2", "A=1"});
}

TEST_CASE("a variable that is both unset and set is set") {
    const HostVariable variable("PROCTOR_TEST_BOTH", "host");
    Job job = script("environment");
    job.environment.unset = {"PROCTOR_TEST_BOTH"};
    job.environment.set = {{"PROCTOR_TEST_BOTH", "job"}};
    const std::string all = '\0' + output_of(job);
    using namespace std::string_literals;
    CHECK(all.find("\0PROCTOR_TEST_BOTH=job\0"s) != std::string::npos);
    CHECK(all.find("PROCTOR_TEST_BOTH=host") == std::string::npos);
}

TEST_CASE("the host's environment is taken when the job is launched") {
    proctor::Reactor reactor = support::make_reactor();
    std::string output;
    reactor.submit(script("environment"), [&](RunResult&& r) { output = r.capture.text(proctor::STDOUT); });
    const HostVariable variable("PROCTOR_TEST_WHEN", "at launch");
    REQUIRE(reactor.run());
    CHECK(output.find("PROCTOR_TEST_WHEN=at launch") != std::string::npos);
}

TEST_CASE("a megabyte of arguments and a megabyte of environment arrive") {
    std::vector<std::string> words{"arguments"};
    Job job;
    for (char letter = 'a'; letter < 'k'; ++letter) {
        words.emplace_back(50'000, letter);
        job.environment.set.emplace_back(std::string("BIG_") + letter, std::string(50'000, letter));
    }
    for (int i = 0; i < 10'000; ++i) words.push_back(std::to_string(i));
    job.argv = script(words).argv;
    job.environment.inherit = false;
    CHECK(split_at_nul(output_of(job)) == job.argv);
    job.argv = script("environment").argv;
    std::vector<std::string> entries;
    for (const auto& [name, value] : job.environment.set) entries.push_back(name + "=" + value);
    CHECK(split_at_nul(output_of(job)) == entries);
}

TEST_CASE("arguments that the kernel finds too long are an error of stage exec") {
    const Error error = exec_error_of(script(std::vector<std::string>{"print", std::string(200'000, 'x')}));
    CHECK(error.error_number == E2BIG);
    CHECK(error.program_found);
}

TEST_CASE("a name without a slash is looked up in the child's PATH and not in the host's") {
    const TempDir dir;
    dir.copy_child("proctor-test-program");
    Job job = in_path("/nonexistent:" + dir.path(), {"proctor-test-program", "arguments"});
    CHECK(split_at_nul(output_of(job)) == job.argv);

    const std::string host_path = std::getenv("PATH");
    setenv("PATH", dir.path().c_str(), 1);
    const Error error = exec_error_of(in_path("/nonexistent", {"proctor-test-program"}));
    setenv("PATH", host_path.c_str(), 1);
    CHECK(error.error_number == ENOENT);
    CHECK_FALSE(error.program_found);
}

TEST_CASE("the first program in PATH that can be run is taken") {
    const TempDir without_right;
    const TempDir a_directory;
    const TempDir good;
    const TempDir later;
    without_right.write("tool", "", 0644);
    REQUIRE(mkdir(a_directory.file("tool").c_str(), 0755) == 0);
    good.copy_child("tool");
    later.write("tool", "#!/bin/sh\necho wrong\n", 0755);
    const std::string path =
        without_right.path() + ":/etc/passwd:" + a_directory.path() + ":" + good.path() + ":" + later.path();
    CHECK(output_of(in_path(path, {"tool", "print", "right"})) == "right");
}

TEST_CASE("a file in PATH that may not be run is the error, if nothing better follows") {
    const TempDir dir;
    dir.write("tool", "", 0644);
    const Error error = exec_error_of(in_path(dir.path() + ":/nonexistent", {"tool"}));
    CHECK(error.error_number == EACCES);
    CHECK(error.program_found);
}

TEST_CASE("an empty element of PATH is the child's working directory") {
    const TempDir dir;
    dir.copy_child("tool");
    for (const char* path : {":/nonexistent", "/nonexistent:", "/nonexistent::/bin", ""}) {
        CAPTURE(path);
        Job job = in_path(path, {"tool", "print", "here"});
        job.cwd = dir.path();
        CHECK(output_of(job) == "here");
    }
}

TEST_CASE("a relative element of PATH is seen from the child's working directory") {
    const TempDir dir;
    REQUIRE(mkdir(dir.file("bin").c_str(), 0755) == 0);
    dir.copy_child("bin/tool");
    Job job = in_path("bin", {"tool", "print", "here"});
    job.cwd = dir.path();
    CHECK(output_of(job) == "here");
}

TEST_CASE("without a PATH the system's default is searched") {
    Job job{.argv = {"cat"}};
    job.environment.inherit = false;
    job.input = proctor::Input::text("found");
    CHECK(output_of(job) == "found");
}

TEST_CASE("a program that is not there is told from one that cannot be run") {
    const TempDir dir;
    const std::string plain = dir.write("plain", "#!/bin/sh\n", 0644);
    const std::string no_format = dir.write("no_format", "echo not a script\n", 0755);
    const std::string no_interpreter = dir.write("no_interpreter", "#!/nonexistent/interpreter\n", 0755);
    const std::string empty = dir.write("empty", "", 0755);

    struct Case {
        std::string program;
        int error_number;
        bool found;
    };
    const Case cases[] = {
        {"/nonexistent/program", ENOENT, false},
        {dir.file("missing"), ENOENT, false},
        {plain + "/below", ENOTDIR, false},
        {plain, EACCES, true},
        {dir.path(), EACCES, true},
        {no_format, ENOEXEC, true},
        {empty, ENOEXEC, true},
        {no_interpreter, ENOENT, true},
    };
    for (const Case& entry : cases) {
        CAPTURE(entry.program);
        const Error error = exec_error_of({.argv = {entry.program}});
        CHECK(error.error_number == entry.error_number);
        CHECK(error.program_found == entry.found);
    }
    for (const char* name : {"no_format", "empty", "no_interpreter"}) {
        CAPTURE(name);
        CHECK(exec_error_of(in_path(dir.path(), {name})).program_found);
    }
    CHECK_FALSE(exec_error_of({.argv = {"proctor-test-no-such-program"}}).program_found);
}

TEST_CASE("a name that is longer than any file's is an error of stage exec") {
    CHECK(exec_error_of({.argv = {std::string(300, 'x')}}).error_number == ENAMETOOLONG);
    CHECK(exec_error_of({.argv = {"/" + std::string(PATH_MAX, 'x')}}).error_number == ENAMETOOLONG);
}

TEST_CASE("a symbolic link to itself is an error of stage exec") {
    const TempDir dir;
    REQUIRE(symlink("loop", dir.file("loop").c_str()) == 0);
    const Error error = exec_error_of({.argv = {dir.file("loop")}});
    CHECK(error.error_number == ELOOP);
    CHECK(error.program_found);
}

TEST_CASE("an empty program name is an error") {
    const RunResult result = proctor::run({.argv = {""}});
    CHECK(result.outcome == Outcome::error);
    REQUIRE(result.error.has_value());
    CHECK((result.error->stage == Stage::exec || result.error->stage == Stage::setup));
}

TEST_CASE("the child runs in the working directory that the job names") {
    const TempDir dir;
    Job job = script("cwd");
    job.cwd = dir.path();
    CHECK(output_of(job) == dir.path());
    job.cwd.clear();
    char here[PATH_MAX];
    REQUIRE(getcwd(here, sizeof here) != nullptr);
    CHECK(output_of(job) == here);
}

TEST_CASE("a relative program is seen from the working directory") {
    const TempDir dir;
    dir.copy_child("tool");
    Job job{.argv = {"./tool", "print", "here"}};
    job.cwd = dir.path();
    CHECK(output_of(job) == "here");
}

TEST_CASE("a working directory that cannot be entered is an error of stage chdir") {
    const TempDir dir;
    const std::string file = dir.write("file", "");
    for (const auto& entry : {std::pair{dir.file("missing"), ENOENT}, std::pair{file, ENOTDIR}}) {
        CAPTURE(entry.first);
        Job job = script("cwd");
        job.cwd = entry.first;
        const Error error = error_of(job);
        CHECK(error.stage == Stage::chdir);
        CHECK(error.error_number == entry.second);
        CHECK(error.message.find(entry.first) != std::string::npos);
    }
}

TEST_CASE("an error of exec names the program and what to do") {
    const TempDir dir;
    const std::string plain = dir.write("plain", "#!/bin/sh\n", 0644);
    const Error error = exec_error_of({.argv = {plain}});
    CHECK(error.message.find(plain) != std::string::npos);
    CHECK_FALSE(error.cure.empty());
    CHECK_FALSE(exec_error_of({.argv = {"proctor-test-no-such-program"}}).cure.empty());
}
