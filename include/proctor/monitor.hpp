// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <proctor/error.hpp>
#include <proctor/export.hpp>
#include <proctor/limits.hpp>
#include <proctor/result.hpp>

namespace proctor {

namespace detail {
class ReactorCore;
struct MonitorRecord;
}  // namespace detail

/// How a process that somebody else has started is watched.
struct MonitorOptions {
    /// Wall time counts from the call. No process is moved into a cgroup, so all but time is kept by looking.
    RunLimits limits{};
    /// As Job::mem_maps_filter.
    bool mem_maps_filter = true;
    /// If set, a limit or stop() sends SIGTERM first, and SIGKILL this much later.
    std::optional<std::chrono::nanoseconds> kill_after{};
};

/// Names one process that is being watched, with its descendants. May be copied, ignored and kept longer than the
/// reactor: what was known at the end stays. Belongs to the reactor's thread.
class PROCTOR_API MonitorHandle {
public:
    MonitorHandle() = default;

    /// Up to now, or to its end. Null if the reactor ended before it.
    [[nodiscard]] std::optional<Usage> usage() const;
    /// Its living processes, the watched one first; empty after its end.
    [[nodiscard]] std::vector<ChildUsage> processes() const;
    /// The limit that was crossed, if any.
    [[nodiscard]] std::optional<Reason> reason() const noexcept;
    [[nodiscard]] bool ended() const noexcept;
    /// Kills the process and all that is known to descend from it, after SIGTERM if the options have kill_after. Its
    /// handler gets the outcome `error` of stage `cancelled`.
    void stop() const;
    /// Runs the reactor until it has ended, or for this long; negative: without such a bound. Whether it has ended.
    /// Errors: as Reactor::run_once().
    [[nodiscard]] Result<bool> wait(std::chrono::nanoseconds timeout = std::chrono::nanoseconds(-1)) const;

private:
    friend class detail::ReactorCore;
    MonitorHandle(std::weak_ptr<detail::ReactorCore> core, std::uint64_t id,
                  std::shared_ptr<const detail::MonitorRecord> record)
        : core_(std::move(core)), id_(id), record_(std::move(record)) {}

    std::weak_ptr<detail::ReactorCore> core_{};
    std::uint64_t id_ = 0;
    std::shared_ptr<const detail::MonitorRecord> record_{};
};

}  // namespace proctor
