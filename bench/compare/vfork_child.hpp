// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <vector>

namespace compare {

/// A program to start: descriptor number i of the child is `descriptors[i]` of this process.
struct Launch {
    const std::vector<std::string>* argv = nullptr;  ///< the first one is a path
    int descriptors[4] = {-1, -1, -1, -1};
    std::size_t descriptor_count = 3;
};

/// A process that has been started, and a descriptor that polls readable when it is dead, if one was asked for.
struct Launched {
    pid_t pid = -1;
    int pidfd = -1;
};

/// By clone(CLONE_VM | CLONE_VFORK): the caller goes on when the child has done its execve. Throws std::system_error.
/// Not for two threads at once.
Launched vfork_exec(const Launch& launch, bool with_pidfd = true);

/// The argument list of an exec function. Valid as long as the words are.
std::vector<char*> pointers_to(const std::vector<std::string>& argv);

/// Throws a std::system_error of errno.
[[noreturn]] void throw_errno(const char* what);

}  // namespace compare
