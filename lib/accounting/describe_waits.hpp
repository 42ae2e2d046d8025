// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <span>
#include <string>

#include "accounting/proc_directory.hpp"

namespace proctor::detail {

/// What the threads of these processes do now, in words for people, the most common first: "3 threads asleep in futex
/// (lock), 1 process reading stdin". A process of one thread is called a process. The first one of the span is the main
/// process: stdin, stdout and stderr are what it has, so that a member of a pipeline that reads its predecessor is said
/// to read a pipe.
///
/// The system call that a thread is in may be read by who might trace it (same user and dumpable, or CAP_SYS_PTRACE;
/// with Yama only descendants). Else the kernel's function that it sleeps in says it, and if that may not be read
/// either, the sentence says so.
///
/// Not for a hot path: it reads two files or three for each thread, of a thousand threads at most, and allocates.
[[nodiscard]] std::string describe_waits(const ProcDirectory& proc, std::span<const pid_t> processes);

}  // namespace proctor::detail
