// SPDX-License-Identifier: MIT
//
// The keeper's system calls, by name. libc's headers give types and numbers; none of its functions is linked.
#pragma once

#include <asm/unistd.h>
#include <poll.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <ctime>

#include "process/raw_syscall.hpp"

namespace proctor::keeper::system {

using detail::raw::address;
using detail::raw::call;

[[noreturn]] inline void exit(int status) {
    for (;;) {
        call(__NR_exit_group, status);
    }
}

inline int process_id() { return static_cast<int>(call(__NR_getpid)); }
inline int parent_id() { return static_cast<int>(call(__NR_getppid)); }

inline long signal(long pid, int number) { return call(__NR_kill, pid, number); }

inline long close(int fd) { return call(__NR_close, fd); }
inline void close_range(unsigned first, unsigned last) { call(__NR_close_range, first, last, 0); }

inline long open_at(int directory, const char* path, int flags) {
    return call(__NR_openat, directory, address(path), flags, 0);
}
inline long read(int fd, void* buffer, std::size_t size) {
    return call(__NR_read, fd, address(buffer), static_cast<long>(size));
}
inline long write(int fd, const void* bytes, std::size_t size) {
    return call(__NR_write, fd, address(bytes), static_cast<long>(size));
}
inline long directory_entries(int fd, void* buffer, std::size_t size) {
    return call(__NR_getdents64, fd, address(buffer), static_cast<long>(size));
}

/// Milliseconds, or negative for ever. All signals stay blocked meanwhile.
inline long poll(pollfd* entries, std::size_t count, long milliseconds) {
    timespec limit{milliseconds / 1000, milliseconds % 1000 * 1'000'000};
    return call(__NR_ppoll, address(entries), static_cast<long>(count), milliseconds < 0 ? 0 : address(&limit), 0, 0);
}

/// CLOCK_MONOTONIC.
inline std::int64_t now_ns() {
    timespec time{};
    call(__NR_clock_gettime, CLOCK_MONOTONIC, address(&time));
    return time.tv_sec * std::int64_t{1'000'000'000} + time.tv_nsec;
}

/// Before the first clone: makes SIGCHLD come, but not for children that stop. The host may ignore it, an ignored
/// signal stays so over exec, and then children are reaped by nobody. Not later: to set the default action drops a
/// SIGCHLD that is pending.
void prepare_signals();
/// A descriptor that tells of SIGCHLD and of the parent's death; negative on error. Both are blocked since before exec.
int open_signals();
/// Takes what it has to tell; true if the parent's death is among it.
bool take_signals(int fd);

}  // namespace proctor::keeper::system
