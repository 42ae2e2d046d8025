// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include <proctor/export.hpp>
#include <proctor/reactor.hpp>

namespace proctor {

/// One thing that the running machine offers, or does not.
struct Capability {
    /// engine, io_uring, containment; cpu, kill, memory and tasks of that containment, as Job::require names them;
    /// cgroup, keeper, proc.
    std::string name{};
    bool available = false;
    std::string detail{};  ///< what is used, and what it costs; or what is used instead, and why
    std::string cure{};    ///< how to get it; empty if it is there, or nothing helps
};

/// What a reactor with these options would have, found by trying: groups are made and removed again. There can be no
/// such reactor if `engine` or `containment` is missing.
[[nodiscard]] PROCTOR_API std::vector<Capability> examine(const ReactorOptions& options = {});

}  // namespace proctor
