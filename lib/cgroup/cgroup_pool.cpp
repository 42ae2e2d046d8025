// SPDX-License-Identifier: MIT
#include "cgroup/cgroup_pool.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <utility>

#include "cgroup/cgroup_file.hpp"
#include "cgroup/group_members.hpp"

namespace proctor::detail {

namespace {

// About 50 µs each. What one tidy() does must not hold up a launch.
constexpr unsigned made_at_once = 4;
constexpr unsigned removed_at_once = 8;

// Each is a directory and three files, open.
constexpr std::size_t idle_max = 64;

// As many jobs at once may have descriptors of their groups open.
constexpr std::size_t roomy_max = 256;

// Processes that do not die are stuck in the kernel. Another reactor will try again.
constexpr unsigned left_over_tries = 20;
constexpr int death_wait_ms = 1000;

// How long a reading of the reactor's own group serves: jobs that are looked at in one turn share it.
constexpr Nanoseconds longest_reading = std::chrono::microseconds(200);

Cgroup* take_last(std::vector<Cgroup*>& list) noexcept {
    Cgroup* const last = list.back();
    list.pop_back();
    return last;
}

}  // namespace

Expected<std::unique_ptr<CgroupPool>> CgroupPool::create(CgroupPlace place, unsigned ahead_max) {
    std::vector<std::string> busy = sweep_left_overs(place.directory.get());
    Expected<ReactorGroup> own = make_reactor_group(place.directory.get(), place.path);
    if (!own) {
        return tl::unexpected<Error>(std::move(own.error()));
    }
    auto pool = std::unique_ptr<CgroupPool>(new CgroupPool(std::move(place), std::move(*own), ahead_max));
    for (std::string& name : busy) {
        pool->left_overs_.push_back({std::move(name), left_over_tries});
    }
    return pool;
}

CgroupPool::CgroupPool(CgroupPlace place, ReactorGroup own, unsigned ahead_max)
    : place_(std::move(place)),
      own_(std::move(own)),
      path_(place_.path + "/" + own_.name),
      controllers_(enable_controllers(own_.directory.get())),
      process_(::getpid()),
      ahead_max_(ahead_max),
      has_cpuset_(::faccessat(own_.directory.get(), "cpuset.cpus.effective", F_OK, 0) == 0) {}

Expected<Cgroup*> CgroupPool::acquire(bool used_once) {
    assert(own_.directory);
    const bool once = used_once || uses_once();
    // A group that somebody has removed is found out here, and another one taken.
    while (!once && !idle_.empty()) {
        Cgroup* const group = take_last(idle_);
        if (group->begin(/*fresh=*/false) == 0) {
            return take(group, once);
        }
        discard(*group);
    }
    while (!fresh_.empty()) {
        Cgroup* const group = take_last(fresh_);
        if (group->begin(/*fresh=*/true) == 0) {
            return take(group, once);
        }
        discard(*group);
    }
    Expected<Cgroup*> group = make_group();
    if (!group) {
        return group;
    }
    making_failed_ = false;
    if (const int error_number = (*group)->begin(/*fresh=*/true); error_number != 0) {
        Error error = explain_failure(error_number, (*group)->path());
        discard(**group);
        return tl::unexpected<Error>(std::move(error));
    }
    return take(*group, once);
}

Cgroup* CgroupPool::take(Cgroup* group, bool once) noexcept {
    group->once_ = once;
    group->lean_ = taken_ >= roomy_max;
    taken_most_ = std::max(taken_most_, ++taken_);
    return group;
}

Expected<Cgroup*> CgroupPool::make_group() {
    Cgroup& group = blank_group();
    const int error_number = group.make(own_.directory.get(), ++last_number_);
    if (error_number != 0) {
        blank_.push_back(&group);
        return tl::unexpected<Error>(explain_failure(error_number, path_));
    }
    return &group;
}

Cgroup& CgroupPool::blank_group() {
    if (!blank_.empty()) {
        return *take_last(blank_);
    }
    groups_.push_back(std::make_unique<Cgroup>());
    for (std::vector<Cgroup*>* const list : {&fresh_, &idle_, &spent_, &blank_}) {
        list->reserve(groups_.capacity());
    }
    groups_.back()->parent_path_ = &path_;
    groups_.back()->controllers_ = &controllers_;
    groups_.back()->shared_ = &shared_;
    return *groups_.back();
}

void CgroupPool::give_back(Cgroup& group) noexcept {
    assert(taken_ > 0);
    --taken_;
    group.close_most();
    if (!group.once_ && idle_.size() < idle_max && group.is_clean()) {
        idle_.push_back(&group);
    } else {
        discard(group);
    }
}

void CgroupPool::discard(Cgroup& group) noexcept {
    group.close_all();
    spent_.push_back(&group);
}

bool CgroupPool::wants_more() const noexcept {
    const std::size_t ready = fresh_.size() + (uses_once() ? 0 : idle_.size());
    return !making_failed_ && ready < std::min<std::size_t>(ahead_max_, taken_most_);
}

bool CgroupPool::needs_tidying() const noexcept {
    return own_.directory && (!spent_.empty() || !left_overs_.empty() || wants_more());
}

bool CgroupPool::tidy() noexcept {
    if (!own_.directory) {
        return false;
    }
    const bool made = make_some();
    const bool removed = remove_some();
    const bool swept = sweep_some();
    return made || removed || swept;
}

bool CgroupPool::make_some() noexcept {
    bool made = false;
    for (unsigned i = 0; i < made_at_once && wants_more(); ++i) {
        const Expected<Cgroup*> group = make_group();
        // Whoever needs a group next will be told why there is none, and if there is one again, this goes on.
        making_failed_ = !group;
        if (group) {
            fresh_.push_back(*group);
            made = true;
        }
    }
    return made;
}

bool CgroupPool::remove_some() noexcept {
    bool removed = false;
    const std::size_t looks = std::min<std::size_t>(removed_at_once, spent_.size());
    for (std::size_t i = 0; i < looks; ++i) {
        next_spent_ = next_spent_ < spent_.size() ? next_spent_ : 0;
        Cgroup* const group = spent_[next_spent_];
        unsigned work_left = removed_at_once;
        if (remove_group(own_.directory.get(), group->name_, work_left) != Removal::done) {
            // Nobody has a right to be in a group that was given back.
            static_cast<void>(kill_group(own_.directory.get(), group->name_));
            ++next_spent_;
            continue;
        }
        spent_[next_spent_] = spent_.back();
        spent_.pop_back();
        blank_.push_back(group);
        removed = true;
    }
    return removed;
}

// One at a time.
bool CgroupPool::sweep_some() noexcept {
    if (left_overs_.empty()) {
        return false;
    }
    LeftOver left_over = std::move(left_overs_.front());
    left_overs_.erase(left_overs_.begin());
    unsigned work_left = removed_at_once;
    const Removal removal = sweep_group(place_.directory.get(), left_over.name.c_str(), work_left);
    if (removal == Removal::busy && left_over.tries_left > 1) {
        left_overs_.push_back({std::move(left_over.name), left_over.tries_left - 1});
    }
    return removal == Removal::done;
}

Instant CgroupPool::last_activity(Instant time) noexcept {
    if (usage_ && time - usage_read_at_ < longest_reading) {
        return active_at_;
    }
    if (!own_cpu_ && own_.directory) {
        own_cpu_.reset(::openat(own_.directory.get(), "cpu.stat", O_RDONLY | O_CLOEXEC));
    }
    SmallText<512> text;
    const auto usage = find_value(text.read(own_cpu_.get()), "usage_usec");
    if (!usage || usage != usage_) {
        active_at_ = time;
    }
    usage_ = usage;
    usage_read_at_ = time;
    return active_at_;
}

void CgroupPool::await_death() const noexcept {
    const UniqueFd events(::openat(own_.directory.get(), "cgroup.events", O_RDONLY | O_CLOEXEC));
    SmallText<128> text;
    // The kernel tells of a change late, so it is read again long before that.
    int step_ms = 1;
    for (int waited_ms = 0; waited_ms < death_wait_ms; waited_ms += step_ms, step_ms = std::min(2 * step_ms, 20)) {
        if (!events || find_value(text.read(events.get()), "populated") != 1U) {
            return;
        }
        pollfd entry{events.get(), POLLPRI, 0};
        ::poll(&entry, 1, step_ms);
    }
}

void CgroupPool::shut_down() noexcept {
    const bool ours = own_.directory && process_ == ::getpid();
    for (const auto& group : groups_) {
        group->close_all();
    }
    for (std::vector<Cgroup*>* const list : {&fresh_, &idle_, &spent_, &blank_}) {
        list->clear();
    }
    left_overs_.clear();
    own_cpu_.reset();
    shared_.reset();
    if (ours) {
        static_cast<void>(kill_members(own_.directory.get()));
        await_death();
        // The lock is still held, so nobody else takes this for a left-over meanwhile.
        unsigned work_left = ~0U;
        static_cast<void>(remove_group(place_.directory.get(), own_.name.c_str(), work_left));
    }
    own_.directory.reset();
}

}  // namespace proctor::detail
