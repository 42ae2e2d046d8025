// SPDX-License-Identifier: MIT
//
// What a run does as one of a pair.
#include <poll.h>

#include <utility>

#include "accounting/process_stat.hpp"
#include "process/processors.hpp"
#include "reactor/reactor_core.hpp"
#include "reactor/run.hpp"

namespace proctor::detail {

void Run::assign_half(Job job, std::shared_ptr<Pair> pair, Side side, std::uint64_t id) {
    Handlers handlers;
    handlers.on_end = [pair, side](RunResult&& result) { pair->take_result(side, std::move(result)); };
    assign(std::move(job), std::move(handlers), id);
    pair_ = std::move(pair);
}

unsigned Run::launch_with_partner(bool may_wait) {
    if (pair_) {
        return pair_->launch(may_wait);
    }
    return launch(may_wait, current_processor()) ? 1U : 0U;
}

// With both launched, what it says may go to its partner.
void Run::begin_words(int listener) noexcept {
    output_.open(std::move(words_), HostDescriptor::borrow(listener), true);
}

void Run::on_forward_closed() noexcept {
    if (pair_) {
        pair_->on_partner_deaf(*this);
    }
}

void Run::on_passed_on(std::string_view data) noexcept {
    if (pair_) {
        pair_->on_passed_on(*this, data);
    }
}

// By the kernel, and not by what the reactor has come to see in this pass. A process lets go of its descriptors before
// its pidfd tells of its death, so its partner may know of it, and act on it, earlier than we.
Run::Life Run::look_at_life() noexcept {
    if (exited_at_ || !launched()) {
        return Life::over;
    }
    if (!child_ && !keeper_gone_) {
        take_news();
    }
    if (!child_) {
        return Life::unknown;
    }
    pollfd entry{child_.pidfd(), POLLIN, 0};
    if (::poll(&entry, 1, 0) != 0) {
        return Life::over;
    }
    const auto& proc = core_.tools().proc;
    bool any_runs = !proc;
    if (proc) {
        proc->for_each_thread(child_.pid(), [&](pid_t thread) {
            const auto stat = read_thread_stat(*proc, child_.pid(), thread);
            any_runs = any_runs || (stat && !stat->exiting());
        });
    }
    return any_runs ? Life::runs : Life::over;
}

}  // namespace proctor::detail
