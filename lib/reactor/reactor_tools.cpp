// SPDX-License-Identifier: MIT
//
// What a reactor holds trees together with: found when it is made, tidied while it runs.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "process/processors.hpp"
#include "reactor/reactor_core.hpp"

namespace proctor::detail {

namespace {

// Each has its directory open.
constexpr unsigned most_groups_ahead = 64;

// Between two rounds of tidying groups; and where processes have to die first.
constexpr Nanoseconds tidy_pause = std::chrono::milliseconds(1);
constexpr Nanoseconds tidy_pause_in_vain = std::chrono::milliseconds(20);

}  // namespace

Expected<void> ReactorCore::find_tools() {
    processors_ = allowed_processors();
    machine_processor_count_ = count_processors();
    if (auto proc = ProcDirectory::open()) {
        tools_.proc.emplace(std::move(*proc));
    }
    switch (options_.containment) {
        case Containment::automatic: {
            auto keeper = find_usable_keeper();
            if (auto made = make_groups(); !made) {
                if (!options_.cgroup.empty()) {
                    return made;  // who names a directory means it
                }
                tools_.no_groups = std::move(made.error());
            }
            if (keeper && tools_.groups == nullptr) {
                tools_.keeper = std::move(*keeper);
            }
            break;
        }
        case Containment::cgroup: return make_groups();
        case Containment::keeper: {
            auto keeper = find_usable_keeper();
            if (!keeper) {
                return tl::unexpected<Error>(std::move(keeper.error()));
            }
            tools_.keeper = std::move(*keeper);
            return {};
        }
        case Containment::tree: break;
    }
    if (tools_.groups == nullptr && !tools_.keeper) {
        tools_.births = BirthWatch::open();
    }
    return {};
}

// It finds the orphans that it has to kill in /proc.
Expected<std::string> ReactorCore::find_usable_keeper() const {
    if (!tools_.proc) {
        return failure(Stage::setup, ENOENT, "without /proc a keeper cannot find the processes of its job",
                       "mount /proc, or let the containment be cgroup or tree");
    }
    return find_keeper(options_.keeper);
}

Expected<void> ReactorCore::make_groups() {
    if (auto allowed = check_clone_into(); !allowed) {
        return allowed;
    }
    auto place = find_place(options_.cgroup.empty() ? std::nullopt : std::optional(options_.cgroup));
    if (!place) {
        return tl::unexpected<Error>(std::move(place.error()));
    }
    auto pool = CgroupPool::create(std::move(*place), std::min(options_.max_running, most_groups_ahead));
    if (!pool) {
        return tl::unexpected<Error>(std::move(pool.error()));
    }
    tools_.groups = std::move(*pool);
    if (options_.guard) {
        start_guard();
    }
    return {};
}

// Without the program, or a descriptor for it, jobs outlive a host that is killed: told by examine(), and no reason to
// run nothing.
void ReactorCore::start_guard() {
    const auto program = find_keeper(options_.keeper);
    if (!program) {
        return;
    }
    if (auto guard = Guard::start(launcher_, *program, tools_.groups->directory())) {
        guard_ = std::move(*guard);
    }
}

// Away from launches and results: a group made or removed costs as much as a process.
void ReactorCore::tidy_soon(bool in_vain) noexcept {
    if (tools_.groups != nullptr && !retired_ && !tidy_timer_.armed() && tools_.groups->needs_tidying()) {
        engine_->start(tidy_timer_, now() + (in_vain ? tidy_pause_in_vain : tidy_pause));
    }
}

void ReactorCore::on_tidy_timer(int /*result*/) noexcept { tidy_soon(!tools_.groups->tidy()); }

}  // namespace proctor::detail
