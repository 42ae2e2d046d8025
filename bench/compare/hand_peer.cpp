// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <system_error>
#include <utility>

#include "hand_children.hpp"
#include "peers.hpp"
#include "support.hpp"
#include "vfork_child.hpp"

namespace compare {

namespace {

using Children = std::vector<std::unique_ptr<ReadingChild>>;

// One of those that are run at once: ends, and is started anew.
class SpawnedChild final : public CapturingChild {
public:
    SpawnedChild(HandLoop& loop, const SpawnWork& work, std::size_t& to_start, std::size_t& to_end)
        : loop_(loop), work_(work), argv_{work.program}, to_start_(to_start), to_end_(to_end) {}

    void start() {
        --to_start_;
        text[0].clear();
        text[1].clear();
        loop_.start(*this, {.argv = &argv_});
    }

    void on_end(int end_status) override {
        require(end_status == 0 && text[0] == work_.expected_output && text[1].empty(),
                "wait status " + std::to_string(end_status) + ", stdout '" + text[0] + "', stderr '" + text[1] + "'");
        --to_end_;
        if (to_start_ > 0) {
            start();
        }
    }

private:
    HandLoop& loop_;
    const SpawnWork& work_;
    std::vector<std::string> argv_;
    std::size_t& to_start_;
    std::size_t& to_end_;
};

class HandPeer final : public Peer {
public:
    explicit HandPeer(std::unique_ptr<HandLoop> loop) : loop_(std::move(loop)) {}

    Figures spawn(const SpawnWork& work) override {
        std::size_t to_start = work.jobs;
        std::size_t to_end = work.jobs;
        std::vector<std::unique_ptr<SpawnedChild>> children;
        const Stopwatch watch;
        while (children.size() < work.at_once && to_start > 0) {
            children.push_back(std::make_unique<SpawnedChild>(*loop_, work, to_start, to_end));
            children.back()->start();
        }
        loop_->run_until([&] { return to_end == 0; });
        return {{"jobs_per_s", static_cast<double>(work.jobs) / watch.seconds()}};
    }

    Figures flood(const FloodWork& work) override {
        FloodedChild child(work.keep);
        const double seconds = run(child, {.argv = &work.argv});
        require(child.bytes() == work.bytes, "the flood was not complete");
        return {{"gib_per_s", gib(work.bytes) / seconds}};
    }

    Figures lines(const LinesWork& work) override {
        MergingChild child;
        const double seconds = run(child, {.argv = &work.argv});
        return {{"lines_per_s", static_cast<double>(work.lines) / seconds}, {"in_order", child.in_order(work.lines)}};
    }

    Figures echo(const EchoWork& work) override {
        const std::string input(work.bytes, 'x');
        FedChild child(*loop_, input);
        const Stopwatch watch;
        loop_->start(child, {.argv = &work.argv, .with_input = true});
        loop_->watch_input(child, true);
        wait_for(child);
        const double seconds = watch.seconds();
        require(child.text[0] == input, "the echo is not what was said");
        return {{"gib_per_s", gib(work.bytes) / seconds}};
    }

    Figures round_trips(const RoundTripWork& work) override {
        AskedChild child(*loop_, work.count);
        loop_->start(child, {.argv = &work.argv, .with_input = true});
        child.ask();
        wait_for(child);
        return round_trip_figures(child.microseconds);
    }

    Figures overshoot(const OvershootWork& work) override {
        Children sleepers = start_many({.argv = &work.sleeper_argv}, work.sleepers);
        std::vector<double> late;
        for (std::size_t run = 0; run < work.runs; ++run) {
            ReadingChild child;
            loop_->start(child, {.argv = &work.argv});
            // Both ways of starting return when the execve is done.
            const SteadyTime limit = std::chrono::steady_clock::now() + work.limit;
            loop_->run_until(limit);
            loop_->kill(child);
            const auto beyond = std::chrono::steady_clock::now() - limit;
            late.push_back(std::chrono::duration<double, std::milli>(beyond).count());
            loop_->run_until([&] { return child.ended(); });
            require(was_killed(child), "the child ended by itself");
        }
        kill_all(sleepers);
        return overshoot_figures(late);
    }

    Figures idle(const IdleWork& work) override {
        Children children = start_many({.argv = &work.argv}, work.children);
        const double before = own_cpu_seconds();
        loop_->run_until(std::chrono::steady_clock::now() + work.time);
        const double own = own_cpu_seconds() - before;
        kill_all(children);
        return {{"own_cpu_s", own}, {"ended_well", static_cast<double>(children.size())}};
    }

    Figures burst(const BurstWork& work) override {
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) < 0) {
            throw_errno("pipe2");
        }
        Children children = start_many({.argv = &work.argv, .extra = ends[0]}, work.children);
        ::close(ends[0]);
        // Till all of them wait.
        loop_->run_until(std::chrono::steady_clock::now() + settling_time);
        const double before = own_cpu_seconds();
        const Stopwatch watch;
        ::close(ends[1]);
        for (const auto& child : children) {
            loop_->run_until([&] { return child->ended(); });
        }
        const double milliseconds = watch.seconds() * 1000;
        const double own = own_cpu_seconds() - before;
        for (const auto& child : children) {
            require(child->status == 0, "a child of the burst failed");
        }
        return {{"median_ms", milliseconds}, {"own_cpu_s", own / static_cast<double>(work.children)}};
    }

private:
    double run(ReadingChild& child, const HandStart& how) {
        const Stopwatch watch;
        loop_->start(child, how);
        wait_for(child);
        return watch.seconds();
    }

    void wait_for(const ReadingChild& child) {
        loop_->run_until([&] { return child.ended(); });
        require(child.status == 0, "wait status " + std::to_string(child.status.value_or(-1)));
    }

    Children start_many(const HandStart& how, std::size_t count) {
        Children children;
        try {
            while (children.size() < count) {
                children.push_back(std::make_unique<ReadingChild>());
                loop_->start(*children.back(), how);
            }
        } catch (const std::system_error& failure) {
            if (failure.code().value() == EMFILE || failure.code().value() == EAGAIN) {
                throw Unavailable("it needs more descriptors or processes than there may be");
            }
            throw;
        }
        return children;
    }

    static bool was_killed(const ReadingChild& child) {
        return child.status && WIFSIGNALED(*child.status) && WTERMSIG(*child.status) == SIGKILL;
    }

    void kill_all(const Children& children) {
        for (const auto& child : children) {
            loop_->kill(*child);
        }
        for (const auto& child : children) {
            loop_->run_until([&] { return child->ended(); });
            require(was_killed(*child), "a sleeper ended by itself");
        }
    }

    std::unique_ptr<HandLoop> loop_;
};

}  // namespace

std::unique_ptr<Peer> make_hand_epoll() { return std::make_unique<HandPeer>(make_epoll_loop()); }
std::unique_ptr<Peer> make_hand_poll() { return std::make_unique<HandPeer>(make_poll_loop()); }

}  // namespace compare
