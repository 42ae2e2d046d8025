// SPDX-License-Identifier: MIT
//
// soak MINUTES [--engine ENGINE] [--seed N]: keeps one reactor for each containment busy with random jobs of every
// kind, compares each result with what its child was told to do, and watches what the host holds. A line a minute, and
// a verdict at the end, by which it exits. soak --short-jobs N [--engine ENGINE] [--containment KIND]: very many short
// jobs. soak --many N [--count-calls] …: many children at once, and how long it takes to hear of their ends.
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <proctor/proctor.hpp>

#include "soak_crowds.hpp"
#include "soak_jobs.hpp"
#include "soak_watch.hpp"

namespace soak {
namespace {

using namespace std::chrono_literals;
using proctor::Containment;
using proctor::Reactor;

constexpr std::size_t open_at_once = 22;  // of each reactor, some of which wait for their turn
constexpr unsigned running_at_once = 16;
constexpr auto patience = 60s;

struct Options {
    double minutes = 0;
    std::uint64_t seed = std::random_device{}();
    CrowdOptions crowd{};
    bool short_jobs = false;
    bool many = false;
};

class Soak {
public:
    Soak(const Options& options, const Places& places) : random_(options.seed), places_(places) {
        before_ = look(ground_, places_.spool);
        for (const Containment each : {Containment::cgroup, Containment::keeper, Containment::tree}) {
            proctor::ReactorOptions wanted = options.crowd.reactor;
            wanted.max_running = running_at_once;
            wanted.containment = each;
            if (each == Containment::cgroup) wanted.cgroup = ground_.path();
            auto reactor = Reactor::create(wanted);
            if (reactor) {
                lanes_.push_back(std::make_unique<Lane>(std::move(*reactor), each, random_, tally_, places_));
                std::printf("a reactor: %s\n", std::string(name_of(each)).c_str());
            } else {
                std::printf("no reactor: %s: %s\n", std::string(name_of(each)).c_str(),
                            reactor.error().message.c_str());
            }
        }
    }

    // Whether all was well.
    bool run(std::chrono::duration<double> time) {
        const auto begin = Clock::now();
        const auto end = begin + std::chrono::duration_cast<Clock::duration>(time);
        const auto rhythm =
            std::chrono::duration_cast<Clock::duration>(std::min(time / 3, std::chrono::duration<double>(10)));
        auto minute = begin + 1min;
        while (Clock::now() < end && !lanes_.empty()) {
            const auto quiet = std::min(end, Clock::now() + rhythm);
            while (Clock::now() < quiet) pass(true);
            if (!come_to_rest()) return verdict(begin);
            if (Clock::now() >= minute) {
                tell_minute(begin);
                minute += 1min;
            }
        }
        compare_with_before();
        return verdict(begin);
    }

private:
    struct Lane {
        Lane(Reactor made, Containment containment, Random& random, Tally& tally, const Places& places)
            : reactor(std::move(made)), jobs(reactor, containment, random, tally, places) {}
        Reactor reactor;
        Jobs jobs;
    };

    // Sleeps until one of the reactors has something to do, and lets all of them do it.
    void pass(bool submitting) {
        std::vector<pollfd> entries;
        auto wake = Clock::now() + 100ms;
        for (const auto& lane : lanes_) {
            while (submitting && lane->jobs.open() < open_at_once) lane->jobs.submit_one();
            entries.push_back({lane->reactor.fd(), POLLIN, 0});
            wake = std::min(wake, lane->jobs.next_act());
        }
        const auto rest = std::chrono::ceil<std::chrono::milliseconds>(wake - Clock::now());
        poll(entries.data(), entries.size(), std::max(static_cast<int>(rest.count()), 0));
        // A host may be busy with other things.
        if (random_.one_in(300)) std::this_thread::sleep_for(random_.millis(1, 30));
        for (const auto& lane : lanes_) {
            if (const auto ran = lane->reactor.run_once(0ns); !ran) throw std::runtime_error(ran.error().message);
            lane->jobs.act();
        }
    }

    // Until no job is left, and groups are removed; then the host holds what it always does. Whether it came so far.
    bool come_to_rest() {
        if (random_.one_in(4)) {
            for (const auto& lane : lanes_) lane->jobs.cancel_all();
        }
        const auto late = Clock::now() + patience;
        while (std::any_of(lanes_.begin(), lanes_.end(), [](const auto& lane) { return lane->jobs.open() > 0; })) {
            pass(false);
            if (Clock::now() < late) continue;
            for (const auto& lane : lanes_) {
                if (lane->jobs.open() > 0) tally_.blame("jobs that do not end:" + lane->jobs.open_kinds());
            }
            return false;
        }
        for (const auto until = Clock::now() + 200ms; Clock::now() < until;) pass(false);
        seen_.push_back(look(ground_, places_.spool));
        const Holding& now = seen_.back();
        // A group keeps at most four of its files open.
        if (now.zombies > 0 || now.files > 0 || now.children > lanes_.size() || now.group_descriptors > 4 * now.groups)
            tally_.blame("at rest: " + to_string(now));
        return true;
    }

    void tell_minute(Clock::time_point begin) {
        const std::chrono::duration<double> time = Clock::now() - begin;
        std::printf("minute %.0f: %zu jobs, %.0f a second, failures: %s; %s\n", time.count() / 60, tally_.jobs(),
                    static_cast<double>(tally_.jobs() - told_) / 60, tally_.failed_kinds().c_str(),
                    to_string(seen_.back()).c_str());
        told_ = tally_.jobs();
    }

    // With the reactors gone, nothing of theirs is left.
    void compare_with_before() {
        if (lanes_.empty()) return tally_.blame("no reactor could be made");
        lanes_.clear();
        const Holding now = look(ground_, places_.spool);
        if (now.descriptors != before_.descriptors || now.group_descriptors > 0 || now.children > 0 || now.groups > 0) {
            tally_.blame("left by the reactors: " + to_string(now) + "; before: " + to_string(before_));
        }
    }

    bool verdict(Clock::time_point begin) {
        const std::string grown = growth(seen_);
        if (!grown.empty()) tally_.blame(grown);
        const std::chrono::duration<double> time = Clock::now() - begin;
        std::printf("kinds: %s\n", tally_.all_kinds().c_str());
        if (!seen_.empty()) {
            std::printf("at first: %s\nat last:  %s\n", to_string(seen_.front()).c_str(),
                        to_string(seen_.back()).c_str());
        }
        const bool well = tally_.failures() == 0;
        std::printf("soak: %s: %zu jobs in %.0f s, %zu failures (%s)%s\n", well ? "PASSED" : "FAILED", tally_.jobs(),
                    time.count(), tally_.failures(), tally_.failed_kinds().c_str(),
                    grown.empty() ? "" : (", " + grown).c_str());
        return well;
    }

    Random random_;
    const Places& places_;
    Ground ground_{};
    Tally tally_{};
    Holding before_{};
    std::vector<std::unique_ptr<Lane>> lanes_{};
    std::vector<Holding> seen_{};
    std::size_t told_ = 0;
};

std::string beside_this(const char* name) { return std::filesystem::canonical("/proc/self/exe").parent_path() / name; }

[[noreturn]] void refuse() {
    std::fputs(
        "usage: soak (MINUTES | --short-jobs N | --many N) [--engine automatic|io_uring|poll] [--seed N]\n"
        "            [--containment automatic|cgroup|keeper|tree] [--count-calls]\n",
        stderr);
    std::exit(2);
}

template <typename Choice>
Choice choose(const std::string& word, std::initializer_list<const char*> names) {
    unsigned char at = 0;
    for (const char* const name : names) {
        if (word == name) return static_cast<Choice>(at);
        ++at;
    }
    refuse();
}

Options read_options(int count, char** words) {
    Options options;
    for (int i = 1; i < count; ++i) {
        const std::string word = words[i];
        if (word == "--count-calls") {
            options.crowd.count_calls = true;
            continue;
        }
        if (word[0] != '-') {
            options.minutes = std::strtod(words[i], nullptr);
            continue;
        }
        if (++i == count) refuse();
        const std::string value = words[i];
        if (word == "--engine") {
            options.crowd.reactor.engine = choose<proctor::EngineChoice>(value, {"automatic", "io_uring", "poll"});
        } else if (word == "--containment") {
            options.crowd.reactor.containment = choose<Containment>(value, {"automatic", "cgroup", "keeper", "tree"});
        } else if (word == "--seed") {
            options.seed = std::strtoull(value.c_str(), nullptr, 10);
        } else if (word == "--short-jobs" || word == "--many") {
            (word == "--many" ? options.many : options.short_jobs) = true;
            options.crowd.count = std::strtoull(value.c_str(), nullptr, 10);
        } else {
            refuse();
        }
    }
    const bool crowd = options.many || options.short_jobs;
    if (crowd ? options.crowd.count == 0 : !(options.minutes > 0)) refuse();
    return options;
}

bool tell_crowd(const std::string& fault) {
    std::printf("soak: %s%s\n", fault.empty() ? "PASSED" : "FAILED: ", fault.c_str());
    return fault.empty();
}

bool run(Options options) {
    options.crowd.child = beside_this("child_program");
    options.crowd.tiny_child = beside_this("soak_tiny_child");
    if (options.short_jobs) return tell_crowd(run_short_jobs(options.crowd));
    if (options.many) return tell_crowd(run_many(options.crowd));

    const Folder spool;
    const Folder other;
    const Places places{.child = options.crowd.child, .input = other.path() + "/input", .spool = spool.path()};
    std::ofstream(places.input) << pattern(input_size);
    std::printf("seed %llu\n", static_cast<unsigned long long>(options.seed));
    return Soak(options, places).run(std::chrono::duration<double>(options.minutes * 60));
}

}  // namespace
}  // namespace soak

int main(int count, char** words) {
    // Whoever reads a file or a pipe shall see each line when it is said.
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    try {
        return soak::run(soak::read_options(count, words)) ? 0 : 1;
    } catch (const std::exception& failure) {
        std::printf("soak: FAILED: %s\n", failure.what());
        return 1;
    }
}
