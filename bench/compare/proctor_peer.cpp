// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <proctor/proctor.hpp>

#include "line_order.hpp"
#include "peers.hpp"
#include "support.hpp"

namespace compare {

namespace {

using namespace std::chrono_literals;
using namespace proctor::literals;
using proctor::Job;
using proctor::JobHandle;
using proctor::JobState;
using proctor::Reactor;
using proctor::RunResult;

// With the limits that a user sets, none of which is reached.
Job limited(const std::vector<std::string>& argv) {
    return {.argv = argv, .limits = {.time = 120s, .cpu_time = 60s, .memory = 1_GiB, .processes = 32}};
}

void require_passed(const RunResult& result) { require(result.passed(), proctor::to_json(result)); }

void require_passed(const proctor::Result<void>& done) {
    if (!done) {
        throw std::runtime_error(done.error().message);
    }
}

// No exception may leave a handler, so complaints wait here for the end of the loop.
class Complaint {
public:
    void unless(bool holds, const RunResult& result) {
        if (!holds && text_.empty()) {
            text_ = proctor::to_json(result);
        }
    }
    void raise() const { require(text_.empty(), text_); }

private:
    std::string text_{};
};

class ProctorPeer final : public Peer {
public:
    ProctorPeer(proctor::Containment containment, proctor::Order order) : containment_(containment), order_(order) {}

    Figures spawn(const SpawnWork& work) override {
        Reactor reactor = make_reactor(work.at_once);
        std::size_t to_submit = work.jobs;
        Complaint complaint;
        std::function<void()> submit_next = [&] {
            --to_submit;
            reactor.submit(limited({work.program}), [&](const RunResult& result) {
                complaint.unless(result.passed() && result.capture.text(proctor::STDOUT) == work.expected_output &&
                                     result.capture.text(proctor::STDERR).empty(),
                                 result);
                if (to_submit > 0) {
                    submit_next();
                }
            });
        };
        const Stopwatch watch;
        for (std::size_t i = std::min(work.at_once, work.jobs); i > 0; --i) {
            submit_next();
        }
        require_passed(reactor.run());
        const double seconds = watch.seconds();
        complaint.raise();
        return {{"jobs_per_s", static_cast<double>(work.jobs) / seconds}};
    }

    Figures flood(const FloodWork& work) override {
        Job job = limited(work.argv);
        const auto bytes = static_cast<proctor::Bytes>(work.bytes);
        switch (work.keep) {
            case Keep::nothing: job.capture.limits.max_stdout_bytes = 0; break;
            case Keep::memory: job.capture.max_size = bytes + bytes / 8 + 1_MiB; break;
            case Keep::disk: break;
        }
        const auto [result, seconds] = run(std::move(job));
        const proctor::StreamTotals totals = result.capture.totals(proctor::STDOUT);
        require(totals.total_bytes == bytes && totals.bytes == (work.keep == Keep::nothing ? 0 : bytes),
                "the flood was not complete: " + std::to_string(totals.total_bytes));
        return {{"gib_per_s", gib(work.bytes) / seconds}};
    }

    Figures lines(const LinesWork& work) override {
        Job job = limited(work.argv);
        job.order = order_;
        const auto [result, seconds] = run(std::move(job));
        LineOrder order;
        auto playback = result.capture.playback();
        for (const proctor::CaptureRecord& record : playback) {
            order.add(record.stream == proctor::STDOUT ? 0 : 1, record.data);
        }
        return {{"lines_per_s", static_cast<double>(work.lines) / seconds}, {"in_order", order.in_order(work.lines)}};
    }

    Figures echo(const EchoWork& work) override {
        Job job = limited(work.argv);
        const auto bytes = static_cast<proctor::Bytes>(work.bytes);
        job.input = proctor::Input::text(std::string(work.bytes, 'x'));
        job.capture.input = false;
        job.capture.max_size = bytes + bytes / 8 + 1_MiB;
        const auto [result, seconds] = run(std::move(job));
        auto playback = result.capture.playback();
        while (const auto record = playback.next(proctor::STDOUT)) {
            require(record->data.find_first_not_of('x') == record->data.npos, "the echo is not what was said");
        }
        require(result.capture.size(proctor::STDOUT) == bytes, "the echo was not complete");
        return {{"gib_per_s", gib(work.bytes) / seconds}};
    }

    Figures round_trips(const RoundTripWork& work) override {
        Reactor reactor = make_reactor(1);
        Dialogue dialogue{.count = work.count, .left = work.count + warm_up_round_trips};
        std::optional<RunResult> result;
        Job job = limited(work.argv);
        job.input = proctor::Input::live();
        dialogue.child = reactor.submit(
            std::move(job), {.on_record = [&](const proctor::CaptureRecord& record) { dialogue.hear(record); },
                             .on_end = [&](RunResult&& ended) { result = std::move(ended); }});
        while (dialogue.child.state() == JobState::queued || dialogue.child.state() == JobState::starting) {
            require_passed(reactor.run_once(10ms));
        }
        dialogue.ask();
        require_passed(reactor.run());
        require_passed(*result);
        require(dialogue.right && dialogue.left == 0, "a wrong answer");
        return round_trip_figures(dialogue.microseconds);
    }

    Figures overshoot(const OvershootWork& work) override {
        Reactor reactor = make_reactor(work.sleepers + 1);
        const std::vector<JobHandle> sleepers =
            start_many(reactor, limited(work.sleeper_argv), work.sleepers, [](RunResult&&) {});
        std::vector<double> late;
        Complaint complaint;
        for (std::size_t i = 0; i < work.runs; ++i) {
            Job job = limited(work.argv);
            job.limits.time = work.limit;
            const std::size_t before = reactor.size();
            reactor.submit(std::move(job), [&](const RunResult& result) {
                const bool right = result.reason == proctor::Reason::time_limit && result.limit_events.signalled_at;
                complaint.unless(right, result);
                if (right) {
                    const auto beyond = *result.limit_events.signalled_at - work.limit;
                    late.push_back(std::chrono::duration<double, std::milli>(beyond).count());
                }
            });
            while (reactor.size() > before) {
                require_passed(reactor.run_once());
            }
        }
        complaint.raise();
        reactor.cancel_all();
        require_passed(reactor.run());
        return overshoot_figures(late);
    }

    Figures idle(const IdleWork& work) override {
        Reactor reactor = make_reactor(work.children);
        std::size_t ended = 0;
        Complaint complaint;
        start_many(reactor, limited(work.argv), work.children, [&](const RunResult& result) {
            ++ended;
            complaint.unless(result.error && result.error->stage == proctor::Stage::cancelled, result);
        });
        const double before = own_cpu_seconds();
        run_for(reactor, work.time);
        const double own = own_cpu_seconds() - before;
        require(ended == 0, "a sleeper ended by itself");
        reactor.cancel_all();
        require_passed(reactor.run());
        complaint.raise();
        require(ended == work.children, "not every sleeper was told to have ended");
        return {{"own_cpu_s", own}, {"ended_well", static_cast<double>(ended)}};
    }

    Figures burst(const BurstWork& work) override {
        Reactor reactor = make_reactor(work.children);
        int ends[2];
        require(::pipe2(ends, O_CLOEXEC) == 0, "pipe2");
        Job job = limited(work.argv);
        job.descriptors = {{.from = ends[0], .to = 3}};
        Complaint complaint;
        const auto children = start_many(reactor, job, work.children,
                                         [&](const RunResult& result) { complaint.unless(result.passed(), result); });
        ::close(ends[0]);
        run_for(reactor, settling_time);  // till all of them wait
        const double before = own_cpu_seconds();
        const Stopwatch watch;
        ::close(ends[1]);
        require_passed(reactor.run());
        const double milliseconds = watch.seconds() * 1000;
        const double own = own_cpu_seconds() - before;
        complaint.raise();
        return {{"median_ms", milliseconds}, {"own_cpu_s", own / static_cast<double>(work.children)}};
    }

private:
    static constexpr double longest_wait = 10;  // seconds, for one child after another that has started

    // What is said to an echoing child, and how long its answers take.
    struct Dialogue {
        static constexpr std::string_view line = "question\n";

        std::size_t count = 0;
        std::size_t left = 0;
        JobHandle child{};
        bool right = true;
        std::vector<double> microseconds{};
        std::optional<Stopwatch> asked{};

        void ask() {
            asked.emplace();
            right = right && child.write_input(std::string(line)).has_value();
        }

        void hear(const proctor::CaptureRecord& record) {
            if (record.stream != proctor::STDOUT) {
                return;
            }
            const double took = asked->seconds() * 1e6;
            right = right && record.data == line;
            --left;
            if (left < count) {
                microseconds.push_back(took);
            }
            if (left > 0) {
                ask();
            } else {
                child.close_input();
            }
        }
    };

    struct Timed {
        RunResult result{};
        double seconds = 0;
    };

    [[nodiscard]] Reactor make_reactor(std::size_t at_once) const {
        auto reactor = Reactor::create({.max_running = static_cast<unsigned>(at_once), .containment = containment_});
        if (!reactor) {
            std::ostringstream text;
            text << reactor.error();
            throw Unavailable(text.str());
        }
        return *std::move(reactor);
    }

    [[nodiscard]] Timed run(Job job) const {
        Reactor reactor = make_reactor(1);
        Timed timed;
        const Stopwatch watch;
        reactor.submit(std::move(job), [&](RunResult&& ended) { timed.result = std::move(ended); });
        require_passed(reactor.run());
        timed.seconds = watch.seconds();
        require_passed(timed.result);
        return timed;
    }

    static void run_for(Reactor& reactor, std::chrono::nanoseconds time) {
        const auto end = std::chrono::steady_clock::now() + time;
        for (auto left = time; left > 0ns; left = end - std::chrono::steady_clock::now()) {
            require_passed(reactor.run_once(left));
        }
    }

    // Returns when all of them run. Jobs for which there is no descriptor wait for the end of others, which would be
    // for ever here.
    template <typename OnEnd>
    static std::vector<JobHandle> start_many(Reactor& reactor, const Job& job, std::size_t count, OnEnd on_end) {
        std::vector<JobHandle> handles;
        handles.reserve(count);
        while (handles.size() < count) {
            handles.push_back(reactor.submit(job, on_end));
        }
        for (const JobHandle& each : handles) {
            const Stopwatch watch;
            while (each.state() == JobState::queued || each.state() == JobState::starting) {
                require_passed(reactor.run_once(10ms));
                if (watch.seconds() > longest_wait) {
                    throw Unavailable("it needs more descriptors or processes than there may be");
                }
            }
            require(each.state() == JobState::running, "a child ended by itself");
        }
        return handles;
    }

    proctor::Containment containment_;
    proctor::Order order_;
};

}  // namespace

std::unique_ptr<Peer> make_proctor(proctor::Containment containment, proctor::Order order) {
    return std::make_unique<ProctorPeer>(containment, order);
}

}  // namespace compare
