// SPDX-License-Identifier: MIT
//
// How the work is done by a library with a loop: as somebody writes it who knows that library, and the same for each.
#pragma once

#include <algorithm>
#include <array>
#include <csignal>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "library_tools.hpp"

namespace compare {

/// Starts the same program again and again.
template <typename Library>
class SpawnSlot {
public:
    SpawnSlot(typename Library::Loop& loop, const SpawnWork& work, const Stopwatch& watch, std::size_t& to_start)
        : work_(work), watch_(watch), to_start_(to_start), child_(loop) {
        child_.on_output = [this](std::size_t stream, std::string_view bytes) { output_.at(stream).append(bytes); };
        child_.on_end = [this] {
            require(child_.passed() && output_[0] == work_.expected_output && output_[1].empty(), "wrong output");
            start_next();
        };
    }

    void start_next() {
        if (to_start_ == 0 || watch_.seconds() > spawning_limit) {
            return;
        }
        --to_start_;
        output_ = {};
        child_.start({work_.program});
    }

private:
    const SpawnWork& work_;
    const Stopwatch& watch_;
    std::size_t& to_start_;
    std::array<std::string, 2> output_{};
    typename Library::Child child_;
};

/// Does all work by a library, which is given as three types: Loop, Child and Timer.
template <typename Library>
class LibraryPeer final : public Peer {
    using Loop = typename Library::Loop;
    using Child = typename Library::Child;
    using Timer = typename Library::Timer;
    using Children = std::vector<std::unique_ptr<Child>>;

public:
    LibraryPeer() { std::signal(SIGPIPE, SIG_IGN); }

    Figures spawn(const SpawnWork& work) override {
        Loop loop;
        std::size_t to_start = work.jobs;
        std::vector<std::unique_ptr<SpawnSlot<Library>>> slots;
        const double before = own_cpu_seconds();
        const Stopwatch watch;
        for (std::size_t index = 0; index < std::min(work.at_once, work.jobs); ++index) {
            slots.push_back(std::make_unique<SpawnSlot<Library>>(loop, work, watch, to_start));
            slots.back()->start_next();
        }
        loop.run();
        const double seconds = watch.seconds();
        const auto ended = static_cast<double>(work.jobs - to_start);
        return {{"jobs_per_s", ended / seconds}, {"own_cpu_s", (own_cpu_seconds() - before) / ended}};
    }

    Figures flood(const FloodWork& work) override {
        FloodSink sink(work.keep);
        Loop loop;
        Child child(loop);
        child.on_output = [&sink](std::size_t /*stream*/, std::string_view bytes) { sink.take(bytes); };
        const Stopwatch watch;
        child.start(work.argv);
        loop.run();
        const double seconds = watch.seconds();
        require(child.passed() && sink.size() == work.bytes, "bytes are missing");
        return {{"gib_per_s", gib(work.bytes) / seconds}};
    }

    Figures lines(const LinesWork& work) override {
        MergedRecord record;
        Loop loop;
        Child child(loop);
        child.on_output = [&record](std::size_t stream, std::string_view bytes) { record.take(stream, bytes); };
        const Stopwatch watch;
        child.start(work.argv);
        loop.run();
        const double seconds = watch.seconds();
        require(child.passed(), "the child failed");
        return {{"lines_per_s", static_cast<double>(work.lines) / seconds}, {"in_order", record.in_order(work.lines)}};
    }

    Figures echo(const EchoWork& work) override {
        const std::string input = numbered_text(work.bytes);
        std::string output;
        Loop loop;
        Child child(loop);
        child.on_output = [&output](std::size_t /*stream*/, std::string_view bytes) { output.append(bytes); };
        const Stopwatch watch;
        child.start(work.argv, Child::Input::pipe);
        child.write(input);
        child.end_input();
        loop.run();
        const double seconds = watch.seconds();
        require(child.passed() && output == input, "what came back is not what was sent");
        return {{"gib_per_s", gib(work.bytes) / seconds}};
    }

    Figures round_trips(const RoundTripWork& work) override {
        TripLog trips(work.count);
        Loop loop;
        Child child(loop);
        child.on_output = [&](std::size_t /*stream*/, std::string_view bytes) {
            if (!trips.take(bytes)) {
                return;
            }
            if (trips.done()) {
                child.close_input();
            } else {
                child.write(trips.next_line());
            }
        };
        child.start(work.argv, Child::Input::pipe);
        child.write(trips.next_line());
        loop.run();
        require(child.passed() && trips.done(), "the child failed");
        return trips.figures();
    }

    Figures overshoot(const OvershootWork& work) override {
        Loop loop;
        Children sleepers;
        launch(loop, sleepers, work.sleepers, work.sleeper_argv);
        std::vector<double> late;
        Child child(loop);
        Timer timer(loop);
        const auto run_next = [&] {
            child.start(work.argv);  // comes back when the child's execve has happened
            const Stopwatch running;
            timer.start(work.limit, [&, running] {
                child.kill();
                late.push_back(running.seconds() * 1e3 - static_cast<double>(work.limit.count()));
            });
        };
        child.on_end = [&] {
            require(child.killed(), "the child ended before it was killed");
            if (late.size() < work.runs) {
                run_next();
            } else {
                kill_all(sleepers);
            }
        };
        run_next();
        loop.run();
        return overshoot_figures(late);
    }

    Figures idle(const IdleWork& work) override {
        Loop loop;
        Children children;
        launch(loop, children, work.children, work.argv);
        loop.poll();
        const double before = own_cpu_seconds();
        double used = 0;
        Timer timer(loop);
        timer.start(work.time, [&] {
            used = own_cpu_seconds() - before;
            kill_all(children);
        });
        loop.run();
        return {{"own_cpu_s", used}};
    }

    Figures burst(const BurstWork& work) override {
        BurstPipe pipe;
        Loop loop;
        Children children;
        launch(loop, children, work.children, work.argv, pipe.reader.get());
        pipe.reader.reset();
        for (const auto& child : children) {
            child->on_end = [&child = *child] { require(child.passed(), "a child failed"); };
        }
        Stopwatch ending;
        double before = 0;
        Timer timer(loop);
        timer.start(settling_time, [&] {
            before = own_cpu_seconds();
            ending = Stopwatch();
            pipe.writer.reset();
        });
        loop.run();
        const double milliseconds = ending.seconds() * 1e3;
        const double own = own_cpu_seconds() - before;
        return {{"median_ms", milliseconds}, {"own_cpu_s", own / static_cast<double>(work.children)}};
    }

private:
    static void launch(Loop& loop, Children& children, std::size_t count, const std::vector<std::string>& argv,
                       int third = -1) {
        const Stopwatch launching;
        while (children.size() < count) {
            children.push_back(std::make_unique<Child>(loop));
            try {
                children.back()->start(argv, Child::Input::none, third);
            } catch (const std::exception& failure) {
                throw Unavailable(std::to_string(children.size() - 1) + " children, then " + failure.what());
            }
            if (launching.seconds() > launching_limit) {
                throw Unavailable("launched only " + std::to_string(children.size()) + " children in a minute");
            }
        }
    }

    static void kill_all(Children& children) {
        for (const auto& child : children) {
            child->on_end = [&child = *child] { require(child.killed(), "a sleeper ended otherwise"); };
            child->kill();
        }
    }
};

}  // namespace compare
