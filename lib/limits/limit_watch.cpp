// SPDX-License-Identifier: MIT
#include "limits/limit_watch.hpp"

#include <algorithm>
#include <limits>

namespace proctor::detail {

namespace {

using std::chrono::milliseconds;

// A tree that has little left and uses none of it is looked at less and less often, down to this.
constexpr Nanoseconds longest_cpu_pause = milliseconds(16);

constexpr Nanoseconds shortest_look = milliseconds(2);
constexpr Nanoseconds longest_look = milliseconds(250);
// What a tree may plausibly take in a second: the kernel clears pages at 2 to 4 GiB/s for each processor.
constexpr Bytes memory_per_second = Bytes{2} << 30;
// A fork takes 50 us or more for each processor.
constexpr int processes_per_second = 20'000;

}  // namespace

void LimitWatch::start(const WatchPlan& plan) {
    plan_ = plan;
    started_ = last_look_ = now();
    cpu_seen_ = {};
    cpu_pause_ = CpuPrediction::shortest;
    look_cpu_ = Nanoseconds(-1);
    cpu_read_at_ = {};
    looks_ = 0;
    if (plan_.limits.cpu_time) {
        engine_.start(cpu_timer_, started_ + cpu_prediction().wait({}, std::numeric_limits<int>::max()));
    }
    if (plan_.limits.block) {
        window_.start(started_, *plan_.limits.block);
        engine_.start(block_timer_, started_ + *plan_.limits.block / BlockWindow::dense);
    }
    const bool by_looking = plan_.limits.processes || (plan_.limits.memory && !plan_.memory_by_kernel) ||
                            (plan_.limits.tasks && !plan_.tasks_by_kernel);
    if (by_looking || plan_.sample) {
        look_wish_ = next_look({});
        sampler_.start(look_timer_, look_wish_);
    }
}

void LimitWatch::stop() noexcept {
    engine_.cancel(cpu_timer_);
    engine_.cancel(block_timer_);
    sampler_.cancel(look_timer_);
}

CpuPrediction LimitWatch::cpu_prediction() const noexcept {
    return {*plan_.limits.cpu_time, plan_.processors, plan_.machine};
}

void LimitWatch::on_cpu_timer(int /*result*/) noexcept {
    const Instant time = now();
    if (!owner_.began()) {
        return engine_.start(cpu_timer_, time + CpuPrediction::shortest);
    }
    const Nanoseconds used = tree_.cpu_to_the_moment();
    if (used > *plan_.limits.cpu_time) {
        return owner_.on_limit(Reason::cpu_limit, time);
    }
    cpu_pause_ = used == cpu_seen_ ? std::min(cpu_pause_ * 2, longest_cpu_pause) : CpuPrediction::shortest;
    cpu_seen_ = used;
    const int threads = plan_.processors > 1 ? tree_.threads() : 1;
    engine_.start(cpu_timer_, time + std::max(cpu_prediction().wait(used, threads), cpu_pause_));
}

void LimitWatch::on_block_timer(int /*result*/) noexcept {
    const Instant time = now();
    const auto began = owner_.began();
    window_.note_progress(owner_.awaits_paced_input() ? time : began.value_or(time));
    BlockWindow::Verdict verdict = window_.look(time, tree_.cpu());
    if (verdict.blocked) {
        // What runs now is accounted at ticks, and the limit may be shorter than a tick.
        verdict = window_.look(time, tree_.cpu_to_the_moment());
    }
    if (verdict.blocked && !tree_.wants_processor()) {
        return owner_.on_limit(Reason::block_limit, time);
    }
    // Whom the machine does not let run, having too much to do or standing still itself, is not blocked.
    const Nanoseconds pause = std::max(*plan_.limits.block / BlockWindow::sparse, shortest_look);
    engine_.start(block_timer_, verdict.blocked ? time + pause : verdict.next_look);
}

void LimitWatch::on_look(int /*result*/) noexcept {
    if (!owner_.began()) {
        return look_again(shortest_look);  // it has the host's memory still
    }
    const auto unchanged = [&] { look_again(std::min(look_wish_ * 2, longest_look)); };
    if (look_cpu_ >= Nanoseconds::zero() && tree_.idle_since(cpu_read_at_)) {
        return unchanged();
    }
    const Instant time = now();
    const Nanoseconds used = tree_.cpu();
    cpu_read_at_ = time;
    if (used == look_cpu_) {
        return unchanged();
    }
    const TreeLook look = tree_.look();
    // Who has done nothing since is as he was, unless that is not known yet.
    look_cpu_ = look.unconfirmed_memory ? Nanoseconds(-1) : used;
    ++looks_;
    last_look_ = time;
    if (const std::optional<Reason> reason = crossed_by_look(look)) {
        raise_limits(look);
        look_again(shortest_look);  // unless the owner kills at once
        return owner_.on_limit(*reason, time);
    }
    look_again(next_look(look));
}

// Who has crossed one may be given time to clean up, with what he has and a little memory to do it with. To take more
// is to cross it again.
void LimitWatch::raise_limits(const TreeLook& look) noexcept {
    constexpr int memory_share = 8;
    RunLimits& limits = plan_.limits;
    if (look.over_memory) {
        limits.memory = look.memory.value_or(0) + *limits.memory / memory_share;
    }
    const auto raise = [](std::optional<int>& limit, int there) {
        limit = limit ? std::optional(std::max(*limit, there)) : limit;
    };
    raise(limits.processes, look.processes);
    raise(limits.tasks, look.tasks);
    tree_.raise_limits(limits);
}

std::optional<Reason> LimitWatch::crossed_by_look(const TreeLook& look) noexcept {
    if (look.over_memory && !plan_.memory_by_kernel) {
        return Reason::memory_limit;
    }
    if (plan_.limits.processes && look.processes > *plan_.limits.processes) {
        return Reason::process_limit;
    }
    if (plan_.limits.tasks && !plan_.tasks_by_kernel && look.tasks > *plan_.limits.tasks) {
        return Reason::process_limit;
    }
    return std::nullopt;
}

Nanoseconds LimitWatch::next_look(const TreeLook& look) const noexcept {
    Nanoseconds wish = longest_look;
    if (plan_.limits.memory && !plan_.memory_by_kernel) {
        const Bytes left = std::max(*plan_.limits.memory - look.memory.value_or(0), Bytes{0});
        const double seconds = static_cast<double>(left) / static_cast<double>(memory_per_second);
        wish = std::min(wish, std::chrono::duration_cast<Nanoseconds>(std::chrono::duration<double>(seconds)));
    }
    const auto in_time = [&](int left) {
        wish = std::min(wish, Nanoseconds(std::chrono::seconds(std::max(left, 0))) / processes_per_second);
    };
    if (plan_.limits.processes) {
        in_time(*plan_.limits.processes - look.processes);
    }
    if (plan_.limits.tasks && !plan_.tasks_by_kernel) {
        in_time(*plan_.limits.tasks - look.tasks);
    }
    return std::max(wish, shortest_look);
}

void LimitWatch::look_again(Nanoseconds wish) noexcept {
    look_wish_ = wish;
    sampler_.start(look_timer_, wish);
}

std::optional<Nanoseconds> LimitWatch::sample_interval() const noexcept {
    if (looks_ == 0) {
        return std::nullopt;
    }
    return (last_look_ - started_) / looks_;
}

}  // namespace proctor::detail
