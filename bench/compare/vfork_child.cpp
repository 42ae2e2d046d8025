// SPDX-License-Identifier: MIT
#include "vfork_child.hpp"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <system_error>

namespace compare {

namespace {

struct ChildPlan {
    const Launch* launch;
    char* const* arguments;
    const sigset_t* signals;
    int error_number;
};

// Runs in the caller's memory while the caller is suspended.
int run_child(void* data) {
    auto& plan = *static_cast<ChildPlan*>(data);
    for (std::size_t to = 0; to < plan.launch->descriptor_count; ++to) {
        const int number = static_cast<int>(to);
        const int from = plan.launch->descriptors[to];
        // dup2 to itself would leave FD_CLOEXEC set.
        const int status = from == number ? ::fcntl(from, F_SETFD, 0) : ::dup2(from, number);
        if (status < 0) {
            plan.error_number = errno;
            ::_exit(127);
        }
    }
    ::sigprocmask(SIG_SETMASK, plan.signals, nullptr);
    ::execv(plan.arguments[0], plan.arguments);
    plan.error_number = errno;
    ::_exit(127);
}

}  // namespace

void throw_errno(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

std::vector<char*> pointers_to(const std::vector<std::string>& argv) {
    std::vector<char*> pointers;
    pointers.reserve(argv.size() + 1);
    for (const std::string& word : argv) {
        pointers.push_back(const_cast<char*>(word.c_str()));  // exec functions do not write to it
    }
    pointers.push_back(nullptr);
    return pointers;
}

Launched vfork_exec(const Launch& launch, bool with_pidfd) {
    alignas(16) static char stack[65'536];
    const std::vector<char*> arguments = pointers_to(*launch.argv);
    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    // A handler of this process must not run in the child, which shares its memory.
    ::sigprocmask(SIG_BLOCK, &all, &before);
    ChildPlan plan{&launch, arguments.data(), &before, 0};
    Launched launched;
    const int flags = CLONE_VM | CLONE_VFORK | (with_pidfd ? CLONE_PIDFD : 0) | SIGCHLD;
    launched.pid = ::clone(run_child, stack + sizeof stack, flags, &plan, &launched.pidfd);
    const int error_number = launched.pid < 0 ? errno : plan.error_number;
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
    if (error_number != 0) {
        errno = error_number;
        throw_errno("starting a program");
    }
    return launched;
}

}  // namespace compare
