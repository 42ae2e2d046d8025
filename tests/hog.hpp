// SPDX-License-Identifier: MIT
#pragma once

#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "support.hpp"

namespace support {

/// A process that takes all that it can get of one processor, in real time, while it lives.
class Hog {
public:
    explicit Hog(unsigned processor) {
        Pipe began;
        pid_ = fork();
        REQUIRE(pid_ >= 0);
        if (pid_ == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            alarm(20);
            cpu_set_t its;
            CPU_ZERO(&its);
            CPU_SET(processor, &its);
            const sched_param priority{.sched_priority = 1};
            if (sched_setaffinity(0, sizeof its, &its) != 0 || sched_setscheduler(0, SCHED_FIFO, &priority) != 0)
                _exit(1);
            write_all(began.write_end.get(), "r");
            for (volatile unsigned turns = 0;;) turns = turns + 1;
        }
        began.write_end.reset();
        runs_ = await_byte(began.read_end.get());
    }
    Hog(const Hog&) = delete;
    Hog& operator=(const Hog&) = delete;
    ~Hog() {
        kill(pid_, SIGKILL);
        while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
        }
    }

    [[nodiscard]] bool runs() const { return runs_; }

private:
    pid_t pid_ = -1;
    bool runs_ = false;
};

}  // namespace support
