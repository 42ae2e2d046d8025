// SPDX-License-Identifier: MIT
//
// Two loads of one kind: very many short jobs, and very many children that live at once.
#pragma once

#include <cstddef>
#include <string>

#include <proctor/proctor.hpp>

namespace soak {

struct CrowdOptions {
    proctor::ReactorOptions reactor{};
    std::size_t count = 0;
    std::string tiny_child{};  ///< prints "ok\n" and no more
    std::string child{};       ///< the helper program
    bool count_calls = false;  ///< by strace, which makes all slower
};

/// So many short jobs, 16 at once. Prints what the host holds at 1, 50 and 100 percent. What is wrong, or nothing.
std::string run_short_jobs(const CrowdOptions& options);

/// So many children that live at once and end one after another, each of which writes when: how long the host takes to
/// hear of it. What is wrong, or nothing.
std::string run_many(const CrowdOptions& options);

}  // namespace soak
