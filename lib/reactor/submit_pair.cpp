// SPDX-License-Identifier: MIT
#include <cerrno>
#include <memory>
#include <utility>

#include "reactor/job_check.hpp"
#include "reactor/reactor_core.hpp"

namespace proctor::detail {

PairHandle ReactorCore::submit_pair(Job first, Job second, PairHandlers handlers, Wiring wiring) {
    if (is_forked_copy()) {
        return {};
    }
    auto wrong = check_job(first);
    auto second_wrong = check_job(second);
    if (!wrong) {
        wrong = Pair::check(first, wiring);
    }
    if (!second_wrong) {
        second_wrong = Pair::check(second, wiring);
    }
    if (options_.max_running < 2) {
        wrong = second_wrong = Error{Stage::setup, EINVAL, "a pair takes two of max_running, which is 1",
                                     "make the reactor with max_running of 2 or more"};
    }
    const auto pair = std::make_shared<Pair>(*this, std::move(handlers), wiring);
    pair->prepare(first, second);
    const auto [first_run, first_id] = next_run();
    const auto [second_run, second_id] = next_run();
    pair->join(*first_run, *second_run);
    first_run->assign_half(std::move(first), pair, Side::first, first_id);
    second_run->assign_half(std::move(second), pair, Side::second, second_id);
    if (second_wrong) {
        second_run->refuse(std::move(*second_wrong));
    }
    if (wrong) {
        first_run->refuse(std::move(*wrong));
    }
    if (first_run->awaits_launch()) {
        queue_.push_back(first_id);
    }
    if (owner_ != std::thread::id()) {
        launch_waiting();
        flush_outside_pass();
    }
    return {JobHandle(weak_from_this(), first_id), JobHandle(weak_from_this(), second_id)};
}

}  // namespace proctor::detail
