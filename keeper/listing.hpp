// SPDX-License-Identifier: MIT
//
// What /proc and the cgroup file system list: entries of directories, and numbers in files.
#pragma once

#include <cstdint>

#include "system.hpp"

namespace proctor::keeper {

/// As getdents64(2) gives it.
struct DirectoryEntry {
    std::uint64_t inode;
    std::int64_t offset;
    unsigned short size;
    unsigned char type;
    char name[1];
};

inline bool is_digit(char character) { return character >= '0' && character <= '9'; }

/// `visit(entry)` for each entry of a directory.
template <typename Visit>
void for_each_entry(int directory, Visit visit) {
    alignas(DirectoryEntry) char buffer[1024];
    for (long size; (size = system::directory_entries(directory, buffer, sizeof buffer)) > 0;) {
        for (long at = 0; at < size;) {
            const auto* const entry = reinterpret_cast<const DirectoryEntry*>(buffer + at);
            visit(*entry);
            at += entry->size;  // NOLINT(clang-analyzer-core): the kernel has written it
        }
    }
}

/// `visit(number)` for each number of a file that has nothing but numbers and what is between them.
template <typename Visit>
void for_each_listed(int fd, Visit visit) {
    char buffer[4096];
    int number = 0;  // one may be cut by the end of a read
    for (long size; (size = system::read(fd, buffer, sizeof buffer)) > 0;) {
        for (long at = 0; at < size; ++at) {
            if (is_digit(buffer[at])) {  // NOLINT(clang-analyzer-core.CallAndMessage): the kernel has written it
                number = number * 10 + (buffer[at] - '0');
            } else if (number != 0) {
                visit(number);
                number = 0;
            }
        }
    }
}

}  // namespace proctor::keeper
