// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "base/failure.hpp"
#include "base/unique_fd.hpp"
#include "process/child_process.hpp"
#include "process/launcher.hpp"

namespace proctor::detail {

/// A small process that kills a control group when this process ends without having stopped the guard.
class Guard {
public:
    Guard() = default;
    Guard(Guard&&) noexcept = default;
    Guard& operator=(Guard&& other) noexcept;
    ~Guard() { stop(); }

    /// Runs `program`, a path that find_keeper() gave. `group` is the directory of a control group; it is
    /// borrowed. Waits for the execve. Errors: stage spawn.
    [[nodiscard]] static Expected<Guard> start(Launcher& launcher, const std::string& program, int group);

    /// Ends the guard and not the group, and reaps it. In a forked copy of this process it only lets go.
    void stop() noexcept;

    [[nodiscard]] pid_t pid() const noexcept { return process_.pid(); }
    /// Readable when the guard is dead, so that its owner may start another.
    [[nodiscard]] int pidfd() const noexcept { return process_.pidfd(); }
    explicit operator bool() const noexcept { return static_cast<bool>(process_); }

private:
    pid_t host_ = -1;
    ChildProcess process_{};
    UniqueFd lifeline_{};
};

}  // namespace proctor::detail
