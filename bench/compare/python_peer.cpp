// SPDX-License-Identifier: MIT
//
// Both Python peers: python_peers.py does the work in a process of its own and tells its figures as JSON.
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <simdjson.h>

#include "library_tools.hpp"
#include "peers.hpp"

namespace compare {

namespace {

using Words = std::vector<std::string>;

// Debian's own Python has Debian's psutil; another one may come first in PATH.
std::string interpreter() {
    if (const char* const chosen = std::getenv("COMPARE_PYTHON")) {
        return chosen;
    }
    return ::access("/usr/bin/python3", X_OK) == 0 ? "/usr/bin/python3" : "python3";
}

// What this process holds, in MiB: a large host is to be large where the work is done.
std::uint64_t resident_mib() {
    std::uint64_t total = 0;
    std::uint64_t resident = 0;
    std::ifstream("/proc/self/statm") >> total >> resident;
    return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) >> 20U;
}

[[noreturn]] void become(Words& words, int output) {
    std::vector<char*> arguments;
    for (std::string& word : words) {
        arguments.push_back(word.data());
    }
    arguments.push_back(nullptr);
    ::dup2(output, STDOUT_FILENO);
    ::close_range(STDERR_FILENO + 1, ~0U, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // a measurement that takes too long leaves nobody behind
    ::execvp(arguments.front(), arguments.data());
    ::_exit(127);
}

std::string read_to_end(int fd) {
    std::string text;
    char piece[4096];
    for (ssize_t count = 0; (count = ::read(fd, piece, sizeof piece)) != 0;) {
        if (count > 0) {
            text.append(piece, static_cast<std::size_t>(count));
        } else if (errno != EINTR) {
            throw_errno("read");
        }
    }
    return text;
}

std::string output_of(Words words) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) < 0) {
        throw_errno("pipe2");
    }
    const OwnedFd reader(ends[0]);
    OwnedFd writer(ends[1]);
    const pid_t pid = ::fork();
    if (pid < 0) {
        throw_errno("fork");
    }
    if (pid == 0) {
        become(words, writer.get());
    }
    writer.reset();
    std::string output = read_to_end(reader.get());
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            throw_errno("waitpid");
        }
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
        throw Unavailable("there is no " + words.front());
    }
    require(status == 0, words.front() + " ended with wait status " + std::to_string(status));
    return output;
}

Figures parse_figures(const std::string& text) {
    simdjson::dom::parser parser;
    simdjson::dom::object object;
    require(parser.parse(text).get(object) == simdjson::SUCCESS, "no figures in '" + text + "'");
    Figures figures;
    for (const auto field : object) {
        std::string_view reason;
        if (field.key == "unavailable" && field.value.get(reason) == simdjson::SUCCESS) {
            throw Unavailable(std::string(reason));
        }
        double value = 0;
        require(field.value.get(value) == simdjson::SUCCESS, "a figure is not a number in '" + text + "'");
        figures[std::string(field.key)] = value;
    }
    return figures;
}

class PythonPeer final : public Peer {
public:
    explicit PythonPeer(std::string name) : name_(std::move(name)) {}

    Figures spawn(const SpawnWork& work) override {
        return measure(
            "spawn",
            {"--jobs", text(work.jobs), "--at-once", text(work.at_once), "--expected-output", work.expected_output},
            {work.program});
    }
    Figures flood(const FloodWork& work) override {
        const char* const keep = work.keep == Keep::nothing ? "nothing" : work.keep == Keep::memory ? "memory" : "disk";
        return measure("flood", {"--bytes", text(work.bytes), "--keep", keep}, work.argv);
    }
    Figures lines(const LinesWork& work) override { return measure("lines", {"--lines", text(work.lines)}, work.argv); }
    Figures echo(const EchoWork& work) override { return measure("echo", {"--bytes", text(work.bytes)}, work.argv); }
    Figures round_trips(const RoundTripWork& work) override {
        return measure("round_trips", {"--count", text(work.count), "--warm-up", text(warm_up_round_trips)}, work.argv);
    }
    Figures overshoot(const OvershootWork& work) override {
        Words options{"--milliseconds",   std::to_string(work.limit.count()), "--runs", text(work.runs), "--sleepers",
                      text(work.sleepers)};
        for (const std::string& word : work.sleeper_argv) {
            options.push_back("--sleeper=" + word);
        }
        return measure("overshoot", std::move(options), work.argv);
    }
    Figures idle(const IdleWork& work) override {
        return measure("idle", {"--children", text(work.children), "--milliseconds", std::to_string(work.time.count())},
                       work.argv);
    }
    Figures burst(const BurstWork& work) override {
        return measure("burst",
                       {"--children", text(work.children), "--milliseconds", std::to_string(settling_time.count())},
                       work.argv);
    }

private:
    static std::string text(std::size_t number) { return std::to_string(number); }

    Figures measure(const char* workload, Words options, const Words& argv) const {
        Words words{interpreter(), COMPARE_PYTHON_SCRIPT, name_, workload, "--host-mib", text(resident_mib())};
        words.insert(words.end(), options.begin(), options.end());
        words.emplace_back("--");
        words.insert(words.end(), argv.begin(), argv.end());
        return parse_figures(output_of(std::move(words)));
    }

    std::string name_;
};

}  // namespace

std::unique_ptr<Peer> make_asyncio() { return std::make_unique<PythonPeer>("asyncio"); }
std::unique_ptr<Peer> make_python_psutil() { return std::make_unique<PythonPeer>("python_psutil"); }

}  // namespace compare
