// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include <proctor/export.hpp>
#include <proctor/reactor.hpp>

namespace proctor {

/// One thing that the running machine offers, or does not.
struct Capability {
    std::string name{};  ///< engine, io_uring, cgroup, cpu, memory, tasks, kill, keeper, proc
    bool available = false;
    std::string detail{};  ///< what is used, and what it costs; or what is used instead, and why
    std::string cure{};    ///< how to get it; empty if it is there, or nothing helps
};

/// What a reactor with these options would have, found by trying: groups are made and removed again.
[[nodiscard]] PROCTOR_API std::vector<Capability> examine(const ReactorOptions& options = {});

}  // namespace proctor
