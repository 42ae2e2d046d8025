// SPDX-License-Identifier: MIT
//
// Who belongs to a tree: by its group, its keeper's children, or walks through /proc and what spares them.
#include <algorithm>
#include <chrono>

#include "containment/job_tree.hpp"

namespace proctor::detail {

// What stat tells of each process in the group, into the tools' list. In no order, so sorted: a pid may come twice.
void JobTree::find_in_group() noexcept {
    auto& pids = tools_.pids;
    pids.clear();
    tools_.processes.clear();
    group_->processes(pids);
    std::sort(pids.begin(), pids.end());
    pids.erase(std::unique(pids.begin(), pids.end()), pids.end());
    for (const pid_t pid : pids) {
        if (const auto stat = read_process_stat(*tools_.proc, pid)) {
            tools_.processes.push_back({pid, *stat});
        }
    }
}

// A reading that begins with the id of some job has those who descend from that one and from jobs born later, and not
// from older ones: of those the ids may be smaller, since ids come round, or greater than all that were asked for.
bool JobTree::table_covers_this() const noexcept {
    return !tools_.table_from || (birth_ && tools_.table_from->own <= birth_->own);
}

// One reading serves the looks of many jobs that come together, if they were there at the time.
bool JobTree::table_will_do() const noexcept {
    constexpr Nanoseconds fresh = std::chrono::microseconds(500);
    const bool newly_born = birth_ && tools_.table_moment && tools_.table_moment->own < birth_->own;
    return tools_.table && table_covers_this() && now() - tools_.table_time < fresh && !newly_born;
}

void JobTree::refresh_table(const std::optional<BirthWatch::Moment>& moment) noexcept {
    // Asking for so many ids costs less than a walk over the processes of a small machine.
    constexpr std::uint64_t few_ids = 64;
    const pid_t root = processes_->root();
    if (table_will_do()) {
        return;
    }
    if (!tools_.table) {
        tools_.table.emplace();
    }
    // Who descends from the main process has a greater id, unless ids have begun again meanwhile.
    const auto others = birth_ && moment ? BirthWatch::others_between(*birth_, *moment) : std::nullopt;
    const bool few = others && moment->last >= root && moment->given - birth_->given <= few_ids;
    if (few && tools_.table->refresh(*tools_.proc, root, moment->last)) {
        tools_.table_from = birth_;
    } else {
        tools_.table->refresh(*tools_.proc);
        tools_.table_from.reset();
        ++tools_.walks;
    }
    tools_.table_moment = moment;
    tools_.table_time = now();
}

// Whether nobody can have been born into it. Children of the host are known not to be.
bool JobTree::alone_since(const std::optional<BirthWatch::Moment>& moment) const noexcept {
    return moment && alone_at_ && BirthWatch::others_between(*alone_at_, *moment) == 0U;
}

bool JobTree::is_alone() noexcept { return kind_ == Kind::tree && alone_at_ && alone_since(tools_.births.look()); }

// The same since its birth: all that it used is its own.
bool JobTree::was_always_alone() noexcept {
    if (kind_ != Kind::tree || !birth_) {
        return false;
    }
    const auto moment = tools_.births.look();
    return moment && BirthWatch::others_between(*birth_, *moment) == 0U;
}

// Whether the main process is dead and was found alone. Then nobody is left who could have been in the middle of a
// fork, of which the id is given away some time before /proc shows it: as long as somebody lives, "none was born since"
// does not mean that all were seen.
bool JobTree::left_alone() const noexcept {
    const auto members = processes_->members();
    return tools_.table->complete() && members.size() == 1 && members[0].pid == processes_->root() &&
           members[0].stat.dead();
}

// Whether what was read for another job has all that a new walk would find of this one, if it was dead then.
bool JobTree::table_tells_all(const BirthWatch::Moment& moment) const noexcept {
    return tools_.table && tools_.table_moment && table_covers_this() &&
           BirthWatch::others_between(*tools_.table_moment, moment) == 0U;
}

// Orphans of a job that nothing holds together are known by its process group and session, which only a walk over all
// processes tells. Most jobs are one process and over soon, and cost none.
void JobTree::find_by_group(Age oldest) noexcept {
    const auto moment = tools_.births.look();
    if (alone_since(moment)) {
        return processes_->refresh(*tools_.proc);
    }
    const auto scan = [&] {
        processes_->scan(*tools_.table);
        if (tools_.table_moment && left_alone()) {
            alone_at_ = tools_.table_moment;
        }
    };
    if (oldest == Age::none) {
        if (moment && table_tells_all(*moment)) {
            scan();
            if (alone_since(moment)) {
                return;
            }
        }
        tools_.table_time = {};
    }
    refresh_table(moment);
    scan();
}

// Into the tools' list. False where /proc cannot be read.
bool JobTree::find_processes(Age oldest) noexcept {
    if (!tools_.proc || kind_ == Kind::none) {
        return false;
    }
    if (kind_ == Kind::cgroup) {
        find_in_group();
        return true;
    }
    if (kind_ == Kind::tree && !adopted_) {
        find_by_group(oldest);
    } else if (!processes_->scan(*tools_.proc)) {
        if (oldest == Age::none) {
            tools_.table_time = {};
        }
        refresh_table(std::nullopt);
        processes_->scan(*tools_.table);
    }
    cpu_.update(*processes_);
    tools_.processes.assign(processes_->members().begin(), processes_->members().end());
    if (kept()) {
        std::erase_if(tools_.processes, [&](const Process& process) { return process.pid == keeper_.pid(); });
    }
    return true;
}

}  // namespace proctor::detail
