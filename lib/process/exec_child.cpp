// SPDX-License-Identifier: MIT
//
// What a child does between clone and exec.
//
// It shares the host's memory and its thread's TLS while the host goes on running (CLONE_VM without CLONE_VFORK). So
// nothing here may touch libc, errno, the heap or any variable but the launch record and its own stack; a call into
// libc would go through the host's lazy PLT, and even a memcpy that the compiler makes would. This file is compiled
// without sanitizers and stack protector, and a test checks that its object refers to no outside symbol.
#include "process/launch_record.hpp"

#include <asm/unistd.h>
#include <linux/close_range.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/prctl.h>
#include <linux/resource.h>
#include <linux/sched.h>
#include <linux/time.h>

#include "process/raw_syscall.hpp"

namespace proctor::detail {

namespace {

using raw::address;

constexpr int signal_count = 64;
constexpr int sigkill = 9;
constexpr int sigstop = 19;
constexpr int sig_setmask = 2;
constexpr int duplicate_close_on_exec = 1030;  // F_DUPFD_CLOEXEC

[[noreturn]] void give_up(LaunchRecord& record, ChildStep step, long status) {
    record.error_number = static_cast<int>(-status);
    record.failed_step = step;
    for (;;) {
        raw::call(__NR_exit_group, 127);
    }
}

void require(LaunchRecord& record, ChildStep step, long status) {
    if (status < 0) {
        give_up(record, step, status);
    }
}

long move_descriptor(int from, int to) { return raw::call(__NR_dup3, from, to, 0); }

// The host's table is shared, and nothing may be closed or put into it. A copy is made of what is below the number
// alone, where the host has put what is to be placed: so a launch does not get dearer with each descriptor that the
// host holds.
void leave_shared_table(LaunchRecord& record) {
    if (record.unshare_from > 0) {
        require(record, ChildStep::descriptors,
                raw::call(__NR_close_range, record.unshare_from, ~0U, CLOSE_RANGE_UNSHARE));
    }
}

// A source whose number is a target of another move would be overwritten before its turn (3 -> 4 and 4 -> 3), so such
// sources are first copied above all targets. dup3 refuses equal numbers, and a copy is never equal.
void place_descriptors(LaunchRecord& record) {
    for (unsigned i = 0; i < record.move_count; ++i) {
        DescriptorMove& move = record.moves[i];
        if (move.from < record.above_targets) {
            const long copy = raw::call(__NR_fcntl, move.from, duplicate_close_on_exec, record.above_targets);
            require(record, ChildStep::descriptors, copy);
            move.from = static_cast<int>(copy);
        }
    }
    for (unsigned i = 0; i < record.move_count; ++i) {
        require(record, ChildStep::descriptors, move_descriptor(record.moves[i].from, record.moves[i].to));
    }
    // Early: as long as this is not done, a program that the host has just written and closed is still open for
    // writing here, and whoever executes it gets ETXTBSY.
    for (unsigned i = 0; i < record.closed_range_count; ++i) {
        const DescriptorRange& range = record.closed_ranges[i];
        require(record, ChildStep::descriptors, raw::call(__NR_close_range, range.first, range.last, 0));
    }
    record.descriptors_closed = 1;
}

// Handlers too, not only ignored signals: until exec this process has a copy of the host's table, and a signal that
// arrives after the mask is opened would run the host's handler in the host's memory.
void reset_signal_handlers() {
    const raw::KernelSigaction default_action{nullptr, 0, nullptr, 0};
    for (int number = 1; number <= signal_count; ++number) {
        if (number != sigkill && number != sigstop) {
            raw::call(__NR_rt_sigaction, number, address(&default_action), 0, sizeof default_action.mask);
        }
    }
}

void open_signal_mask() {
    const unsigned long none = 0;
    raw::call(__NR_rt_sigprocmask, sig_setmask, address(&none), 0, sizeof none);
}

void set_rlimits(LaunchRecord& record) {
    for (unsigned i = 0; i < record.rlimit_count; ++i) {
        const RlimitSetting& setting = record.rlimits[i];
        const std::uint64_t pair[2] = {setting.soft, setting.hard};
        const long status = raw::call(__NR_prlimit64, 0, setting.resource, address(pair), 0);
        if (setting.required != 0) {
            require(record, ChildStep::rlimits, status);
        }
    }
}

void set_scheduling(LaunchRecord& record) {
    if (record.has_nice) {
        require(record, ChildStep::nice, raw::call(__NR_setpriority, 0 /* PRIO_PROCESS */, 0, record.nice));
    }
    if (record.affinity_bytes > 0) {
        const long status = raw::call(__NR_sched_setaffinity, 0, record.affinity_bytes, address(record.affinity));
        if (record.affinity_required) {
            require(record, ChildStep::affinity, status);
        }
    }
}

void become_user(LaunchRecord& record) {
    require(record, ChildStep::groups, raw::call(__NR_setgroups, record.group_count, address(record.groups)));
    require(record, ChildStep::gid, raw::call(__NR_setresgid, record.gid, record.gid, record.gid));
    require(record, ChildStep::uid, raw::call(__NR_setresuid, record.uid, record.uid, record.uid));
}

// After the credentials, whose change clears it (prctl(2)); then a parent that died before is noticed, or the signal
// would never come.
void arm_parent_death_signal(LaunchRecord& record) {
    require(record, ChildStep::parent_death_signal,
            raw::call(__NR_prctl, PR_SET_PDEATHSIG, record.parent_death_signal));
    if (raw::call(__NR_getppid) != record.host_pid) {
        give_up(record, ChildStep::parent_death_signal, -ESRCH);
    }
}

bool another_launch_holds_descriptors(const LaunchRecord& record) {
    for (const LaunchRecord* peer = record.peers; peer != nullptr; peer = peer->next_peer) {
        if (peer != &record && peer->alive != 0 && peer->descriptors_closed == 0) {
            return true;
        }
    }
    return false;
}

long try_execute(LaunchRecord& record, const char* path) {
    // A fork of the host or of another reactor may hold the file as well, and of those nothing is known here: such a
    // one has a tenth of a second to come to its exec.
    constexpr int blind_tries = 500;
    constexpr int most_tries = 50'000;
    const __kernel_timespec pause{0, 200'000};
    for (int tries = 0;; ++tries) {
        __kernel_timespec time{};
        raw::call(__NR_clock_gettime, CLOCK_MONOTONIC, address(&time));
        record.stamp_ns = time.tv_sec * 1'000'000'000 + time.tv_nsec;
        const long status = raw::call(__NR_execve, address(path), address(record.argv), address(record.environment));
        record.stamp_ns = 0;  // whoever kills it now has killed what never ran
        if (status != -ETXTBSY || tries >= most_tries ||
            (tries >= blind_tries && !another_launch_holds_descriptors(record))) {
            return status;
        }
        raw::call(__NR_nanosleep, address(&pause), 0);
    }
}

bool any_candidate_exists(const LaunchRecord& record) {
    for (const char* const* path = record.candidates; *path != nullptr; ++path) {
        if (raw::call(__NR_faccessat, AT_FDCWD, address(*path), 0 /* F_OK */) == 0) {
            return true;
        }
    }
    return false;
}

// As execvp(3) searches, but without its fall-back to /bin/sh: a candidate that is not there, or not ours to run, is
// passed over, and the right that was missing is told only if no later candidate runs.
[[noreturn]] void execute(LaunchRecord& record) {
    long status = -ENOENT;
    bool forbidden = false;
    for (const char* const* path = record.candidates; *path != nullptr; ++path) {
        status = try_execute(record, *path);
        forbidden = forbidden || status == -EACCES;
        if (status != -ENOENT && status != -ENOTDIR && status != -EACCES && status != -ESTALE && status != -ENODEV &&
            status != -ETIMEDOUT) {
            give_up(record, ChildStep::exec, status);
        }
    }
    record.program_found = any_candidate_exists(record) ? 1 : 0;
    const bool searched = record.candidates[0] != nullptr && record.candidates[1] != nullptr;
    // A directory of PATH that may not be entered says nothing of the program.
    if (forbidden && (record.program_found != 0 || !searched)) {
        record.program_found = 1;
        give_up(record, ChildStep::exec, -EACCES);
    }
    give_up(record, ChildStep::exec, searched ? -ENOENT : status);
}

}  // namespace

extern "C" void proctor_exec_child(LaunchRecord* shared) {
    LaunchRecord& record = *shared;
    leave_shared_table(record);
    place_descriptors(record);
    if (record.new_session) {
        require(record, ChildStep::session, raw::call(__NR_setsid));
    } else {
        require(record, ChildStep::session, raw::call(__NR_setpgid, 0, 0));
    }
    if (!record.signals_stay_blocked) {
        reset_signal_handlers();
    }
    if (record.has_umask) {
        raw::call(__NR_umask, record.umask);
    }
    if (record.directory != nullptr) {
        require(record, ChildStep::directory, raw::call(__NR_chdir, address(record.directory)));
    }
    set_rlimits(record);
    set_scheduling(record);
    if (record.has_user) {
        become_user(record);
    }
    if (record.parent_death_signal != 0) {
        arm_parent_death_signal(record);
    }
    if (record.no_new_privileges) {
        require(record, ChildStep::no_new_privileges, raw::call(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1));
    }
    if (!record.signals_stay_blocked) {
        open_signal_mask();
    }
    execute(record);
}

// The child must not return from the function that cloned it, since its stack is empty; so the call into
// proctor_exec_child is part of the assembly.
#if defined(__x86_64__)

asm(R"(
    .text
    .globl proctor_clone
    .hidden proctor_clone
    .type proctor_clone, @function
proctor_clone:
    movq %rcx, %r10          # child_tid; parent_tid, third, is where CLONE_PIDFD stores
    movl $56, %eax           # __NR_clone; the fifth argument, tls, is not looked at
    syscall
    testq %rax, %rax
    jz 1f
    ret
1:  xorl %ebp, %ebp
    andq $-16, %rsp
    movq %r8, %rdi
    call proctor_exec_child
    ud2
    .size proctor_clone, . - proctor_clone

    .globl proctor_clone3
    .hidden proctor_clone3
    .type proctor_clone3, @function
proctor_clone3:
    movl $435, %eax          # __NR_clone3; arguments, size; rdx, the record, stays as it is
    syscall
    testq %rax, %rax
    jz 1f
    ret
1:  xorl %ebp, %ebp
    andq $-16, %rsp
    movq %rdx, %rdi
    call proctor_exec_child
    ud2
    .size proctor_clone3, . - proctor_clone3
)");

#elif defined(__aarch64__)

asm(R"(
    .text
    .globl proctor_clone
    .hidden proctor_clone
    .type proctor_clone, %function
proctor_clone:
    mov x5, x4               // the record; here tls comes fourth and child_tid fifth
    mov x4, x3
    mov x3, xzr
    mov x8, #220             // __NR_clone
    svc #0
    cbz x0, 1f
    ret
1:  mov x29, xzr
    mov x30, xzr
    mov x0, x5
    bl proctor_exec_child
    brk #1
    .size proctor_clone, . - proctor_clone

    .globl proctor_clone3
    .hidden proctor_clone3
    .type proctor_clone3, %function
proctor_clone3:
    mov x8, #435             // __NR_clone3; x2, the record, stays as it is
    svc #0
    cbz x0, 1f
    ret
1:  mov x29, xzr
    mov x30, xzr
    mov x0, x2
    bl proctor_exec_child
    brk #1
    .size proctor_clone3, . - proctor_clone3
)");

#endif

}  // namespace proctor::detail
