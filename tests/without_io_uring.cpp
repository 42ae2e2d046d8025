// SPDX-License-Identifier: MIT
//
// without_io_uring PROGRAM [ARGUMENT]...: runs a program to which io_uring is refused. `meson test --setup poll` puts
// it before every suite, so that all of them run on the poll engine.
#include <unistd.h>

#include <cstdio>

#include "forbid_calls.hpp"

int main(int count, char** words) {
    constexpr int skipped = 77;
    if (count < 2) {
        std::fputs("usage: without_io_uring PROGRAM [ARGUMENT]...\n", stderr);
        return 2;
    }
    if (!support::forbid_io_uring()) {
        std::puts("SKIPPED: the kernel has no seccomp filters");
        return skipped;
    }
    execvp(words[1], words + 1);
    std::perror(words[1]);
    return 127;
}
