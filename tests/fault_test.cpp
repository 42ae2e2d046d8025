// SPDX-License-Identifier: MIT
//
// Each system call that the host makes for a job fails once. Whatever fails: one result comes, right or an error that
// says what failed; nothing is left behind; and the next job works.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "cgroup_ground.hpp"
#include "fault_injector.hpp"
#include "support.hpp"

using namespace std::chrono_literals;
using faults::Fault;
using faults::Injector;
using proctor::Containment;
using proctor::EngineChoice;
using proctor::Input;
using proctor::Job;
using proctor::Outcome;
using proctor::Output;
using proctor::PairResult;
using proctor::Reactor;
using proctor::ReactorOptions;
using proctor::Reason;
using proctor::RunResult;
using proctor::STDERR;
using proctor::STDOUT;
using support::script;

namespace {

// What has come of the jobs that were submitted, and what is wrong with it. It is looked at when no call fails any
// more.
struct Ends {
    int calls = 0;
    int errors = 0;
    std::string complaint{};
    std::vector<std::function<void()>> checks{};

    void look() {
        for (const auto& check : checks) check();
    }

    void check(const RunResult& result, const std::function<bool(const RunResult&)>& is_right) {
        if (result.outcome != Outcome::error) {
            if (!is_right(result)) complaint += "wrong: " + support::describe(result) + "\n";
            return;
        }
        ++errors;
        if (!result.error || result.error->message.empty()) {
            complaint += "an error without a message: " + support::describe(result) + "\n";
        } else if (result.error->cure.empty()) {
            complaint += "an error without a cure: " + support::describe(result) + "\n";
        }
    }
};

struct Kind {
    const char* name;
    std::function<void(Reactor&, Ends&, const std::string& directory)> submit;
};

void submit_one(Reactor& reactor, Ends& ends, Job job, const std::function<bool(const RunResult&)>& is_right) {
    reactor.submit(std::move(job), [&ends, is_right](RunResult&& result) {
        ++ends.calls;
        ends.checks.emplace_back([&ends, is_right, result] { ends.check(result, is_right); });
    });
}

bool echoed(const RunResult& result) {
    return result.passed() && result.capture.text(STDOUT) == "hello" && result.capture.text(STDERR) == "hello";
}

Job echo() {
    Job job = script("copy-to-both");
    job.input = Input::text("hello");
    return job;
}

void submit_plain(Reactor& reactor, Ends& ends, const std::string&) { submit_one(reactor, ends, echo(), echoed); }

// The first is kept in memory; of the rest what is in the file shows whether it can be read back.
void submit_spooled(Reactor& reactor, Ends& ends, const std::string& directory) {
    constexpr std::size_t size = 700'000;
    Job job = script("fill 1 " + std::to_string(size));
    job.capture.max_size = 1000;
    job.capture.spool_directory = directory;
    submit_one(reactor, ends, std::move(job), [](const RunResult& result) {
        return result.passed() && result.capture.text(STDOUT) == support::pattern(size);
    });
}

void submit_limited(Reactor& reactor, Ends& ends, const std::string&) {
    Job job = echo();
    job.limits = {.time = 100s, .cpu_time = 100s, .block = 100s, .memory = 512 << 20, .processes = 100, .tasks = 200};
    submit_one(reactor, ends, std::move(job), echoed);
}

void submit_late(Reactor& reactor, Ends& ends, const std::string&) {
    Job job = script("pause");
    job.limits = {.time = 5ms, .memory = 512 << 20};
    submit_one(reactor, ends, std::move(job),
               [](const RunResult& result) { return result.reason == Reason::time_limit; });
}

void submit_busy(Reactor& reactor, Ends& ends, const std::string&) {
    Job job = script("fork [ ready then spin ] then spin");
    job.limits = {.cpu_time = 10ms};
    submit_one(reactor, ends, std::move(job),
               [](const RunResult& result) { return result.reason == Reason::cpu_limit; });
}

void submit_shell(Reactor& reactor, Ends& ends, const std::string& directory) {
    Job job{.shell = "read word; echo $word >&2; exit 3"};
    job.input = Input::text("hello\n");
    job.cwd = directory;
    submit_one(reactor, ends, std::move(job), [](const RunResult& result) {
        return result.outcome == Outcome::fail && result.exit_code == 3 && result.capture.text(STDERR) == "hello\n";
    });
}

void submit_exact(Reactor& reactor, Ends& ends, const std::string&) {
    Job job = echo();
    job.order = proctor::Order::exact;
    submit_one(reactor, ends, std::move(job), echoed);
}

// Made before the hosts are, which end without destructors.
const support::TempDir& common_files() {
    static const support::TempDir directory;
    static const std::string input = directory.write("in", "hello");
    return directory;
}

// Files that are opened for the job, and an output that is passed on.
void submit_files(Reactor& reactor, Ends& ends, const std::string&) {
    const support::TempDir& files = common_files();
    static const support::Fd out = support::open_file(files.file("passed on"), O_RDWR | O_CREAT | O_CLOEXEC);
    Job job = script("copy-to-both");
    job.input = Input::file(files.file("in"));
    job.output = Output::forward(out.get());
    job.error_output = Output::file(files.file("errors"));
    submit_one(reactor, ends, std::move(job), [](const RunResult& result) {
        return result.passed() && result.capture.text(STDOUT) == "hello" &&
               support::read_file(common_files().file("errors")) == "hello";
    });
}

void submit_pair(Reactor& reactor, Ends& ends, proctor::Wiring wiring) {
    const auto check = [&ends](PairResult&& result) {
        ++ends.calls;
        // Of a pair of which one meets an error, the other is ended, or meets the end of its words.
        const bool broken = result.first.outcome == Outcome::error || result.second.outcome == Outcome::error;
        const auto right = [broken](const RunResult& one) { return one.passed() || broken; };
        ends.checks.emplace_back([&ends, right, result] {
            ends.check(result.first, right);
            ends.check(result.second, right);
        });
    };
    reactor.submit_pair(script("ask 3"), script("copy 0 1"), check, wiring);
}

const std::vector<Kind> kinds{
    {"plain", submit_plain},
    {"spooled", submit_spooled},
    {"limited", submit_limited},
    {"late", submit_late},
    {"busy", submit_busy},
    {"shell", submit_shell},
    {"exact", submit_exact},
    {"files", submit_files},
    {"pair",
     [](Reactor& reactor, Ends& ends, const std::string&) { submit_pair(reactor, ends, proctor::Wiring::recorded); }},
    {"direct pair",
     [](Reactor& reactor, Ends& ends, const std::string&) { submit_pair(reactor, ends, proctor::Wiring::direct); }},
};

ReactorOptions options_for(EngineChoice engine, Containment containment, const std::string& group) {
    const char* const keeper = std::getenv("PROCTOR_KEEPER");
    ReactorOptions options{.max_running = 4, .engine = engine, .containment = containment};
    options.keeper = keeper != nullptr ? keeper : "";
    options.cgroup = containment == Containment::cgroup ? group : "";
    return options;
}

// With each errno value at each place; else with one of them, in turn.
bool every_way() { return std::getenv("PROCTOR_ROUNDS") != nullptr && support::rounds(1) > 1; }

// What a host has that a job may leave behind.
struct Belongings {
    std::set<int> descriptors = support::open_descriptors();
    std::string blocked = support::status_field("self", "SigBlk");
    std::string ignored = support::status_field("self", "SigIgn");
};

// For one kind of job: one fault after another, each in a new reactor.
class Sweep {
public:
    /// What is done to make the reactor is the same for all kinds, so one of them stands for all.
    Sweep(const Kind& kind, const ReactorOptions& options, Injector& injector)
        : kind_(kind), makes_reactor_(&kind == &kinds.front()), options_(options), injector_(injector) {}

    /// Answers what is wrong.
    std::string run() {
        submit_without_fault();
        // Of those that are left out for one kind of job some are met by the next, which begins one later.
        for (int target = static_cast<int>(&kind_ - &kinds.front()) % step();; target += step()) {
            const auto first_way = static_cast<unsigned>(target);
            if (!attempt(target, first_way)) break;
            const unsigned ways = every_way() ? injector_.ways() : 1;
            for (unsigned way = 1; way < ways; ++way) attempt(target, first_way + way);
            ++places_;
        }
        return complaint_;
    }

    [[nodiscard]] int places() const { return places_; }
    [[nodiscard]] int faults() const { return faults_; }
    [[nodiscard]] int errors() const { return errors_; }

private:
    // Every second place; fewer where the machine is said to be slow.
    static int step() {
        constexpr int most = 10;
        return every_way() ? 1 : std::max(most / support::rounds(most), 2);
    }

    // What is made once for all reactors is made before.
    void submit_without_fault() {
        auto reactor = Reactor::create(options_);
        if (!reactor) return;
        Ends ends;
        kind_.submit(*reactor, ends, directory_.path());
        (void)reactor->run();
        ends.look();
        complaint_ += ends.complaint;
    }

    // False if the host does not make so many calls.
    bool attempt(int target, unsigned way) {
        const Belongings before;
        std::string problem;
        if (makes_reactor_) injector_.begin(target, way);
        auto reactor = Reactor::create(options_);
        if (!makes_reactor_) injector_.begin(target, way);
        if (reactor) {
            problem = use(*reactor, target % 2 == 0);
            reactor = proctor::Error{};
        } else {
            fault_ = injector_.end();
            ++errors_;
            if (reactor.error().message.empty()) problem = "no reactor, and no message";
        }
        if (!fault_) return false;
        problem += left_behind(before);
        if (!problem.empty()) {
            complaint_ += std::string(kind_.name) + ", " + faults::describe(*fault_) + ": " + problem + "\n";
        }
        ++faults_;
        return true;
    }

    std::string use(Reactor& reactor, bool goes_on) {
        Ends ends;
        kind_.submit(reactor, ends, directory_.path());
        auto done = reactor.run();
        fault_ = injector_.end();
        if (!done) {
            ++errors_;
            if (done.error().message.empty()) return "run failed without a message";
            if (!goes_on) return "";  // it is destroyed with what runs
            done = reactor.run();
            if (!done) return "the next run failed, too: " + done.error().message;
        }
        ends.look();
        errors_ += ends.errors;
        if (ends.errors > 0 && fault_ && fault_->error_number == EINTR) return "a signal made the job fail";
        if (ends.calls != 1) return std::to_string(ends.calls) + " results";
        if (!ends.complaint.empty()) return ends.complaint;
        return use_again(reactor);
    }

    std::string use_again(Reactor& reactor) {
        Ends ends;
        submit_plain(reactor, ends, "");
        if (const auto done = reactor.run(); !done) return "the run of the next job failed: " + done.error().message;
        ends.look();
        return ends.calls == 1 && ends.errors == 0 ? ends.complaint : "the next job failed";
    }

    std::string left_behind(const Belongings& before) const {
        std::string all;
        const std::set<int> descriptors = support::open_descriptors();
        for (const int fd : descriptors) {
            if (before.descriptors.count(fd) == 0) all += "descriptor " + name_of_file(fd) + " is left; ";
        }
        for (const int fd : before.descriptors) {
            if (descriptors.count(fd) == 0) all += "descriptor " + std::to_string(fd) + " was closed; ";
        }
        if (support::has_children()) all += "a child is left; ";
        if (support::status_field("self", "SigBlk") != before.blocked) all += "other signals are blocked; ";
        if (support::status_field("self", "SigIgn") != before.ignored) all += "other signals are ignored; ";
        if (!std::filesystem::is_empty(directory_.path())) all += "a temporary file is left; ";
        if (!options_.cgroup.empty() && !ground::groups_in(options_.cgroup).empty()) all += "a group is left; ";
        return all;
    }

    static std::string name_of_file(int fd) {
        std::error_code ignored;
        return std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd), ignored).string();
    }

    const Kind& kind_;
    bool makes_reactor_;
    const ReactorOptions& options_;
    Injector& injector_;
    support::TempDir directory_{};
    std::optional<Fault> fault_{};
    std::string complaint_{};
    int places_ = 0;
    int faults_ = 0;
    int errors_ = 0;
};

// "places faults errors" is what a host tells if nothing is wrong.
std::string sweep_host(const Kind& kind, const ReactorOptions& options, Injector& injector) {
    Sweep sweep(kind, options, injector);
    std::string complaint = sweep.run();
    if (!complaint.empty()) return complaint;
    std::ostringstream counts;
    counts << "right " << sweep.places() << ' ' << sweep.faults() << ' ' << sweep.errors();
    return counts.str();
}

struct Counts {
    int places = 0;
    int faults = 0;
    int errors = 0;
};

void sweep_all(EngineChoice engine, Containment containment) {
    const auto group = containment == Containment::cgroup ? ground::Group::make() : std::nullopt;
    if (containment == Containment::cgroup && !group) return;
    const ReactorOptions options = options_for(engine, containment, group ? group->path() : "");
    Counts all;
    for (const Kind& kind : kinds) {
        CAPTURE(std::string(kind.name));
        CAPTURE(std::string(support::name_of(containment)));
        const std::string answer =
            faults::in_watched_host([&](Injector& injector) { return sweep_host(kind, options, injector); });
        Counts counts;
        std::string word;
        std::istringstream in(answer);
        in >> word >> counts.places >> counts.faults >> counts.errors;
        if (word != "right" || counts.faults == 0) {
            FAIL_CHECK(answer);
            continue;
        }
        all.places += counts.places;
        all.faults += counts.faults;
        all.errors += counts.errors;
    }
    MESSAGE(std::string(support::name_of(containment))
            << ": " << all.faults << " faults at " << all.places << " places; " << all.errors << " ended in an error");
}

void sweep_engine(EngineChoice engine) {
    (void)common_files();
    if (!faults::can_inject()) {
        support::skip("system calls of another process cannot be made to fail here (ptrace)");
        return;
    }
    if (const auto reactor = Reactor::create({.engine = engine, .containment = Containment::tree}); !reactor) {
        support::skip("this engine cannot be had: " + reactor.error().message);
        return;
    }
    for (const Containment containment : support::containments()) sweep_all(engine, containment);
}

}  // namespace

TEST_CASE("each system call fails once, with the ring") { sweep_engine(EngineChoice::io_uring); }

TEST_CASE("each system call fails once, with the poll engine") { sweep_engine(EngineChoice::poll); }
