// SPDX-License-Identifier: MIT
#include "accounting/wait_words.hpp"

#include <asm/unistd.h>

#include <algorithm>
#include <limits>

#include "accounting/proc_text.hpp"

namespace proctor::detail {

namespace {

// Newer than the headers of some systems that this is built on; the numbers are the same on all processors.
constexpr long futex_waitv = 449;
constexpr long futex_wait = 455;

enum class Says : unsigned char { all, reads, writes, receives, selects };

struct Known {
    long number;
    Says says;
    std::string_view words;
};

constexpr std::string_view for_lock = "asleep in futex (lock)";
constexpr std::string_view for_child = "waiting for a child";
constexpr std::string_view for_vfork = "waiting for a child to exec";
constexpr std::string_view for_descriptors = "waiting for descriptors";
constexpr std::string_view for_time = "asleep in nanosleep";
constexpr std::string_view for_signal = "waiting for a signal";
constexpr std::string_view for_connection = "waiting for a connection";
constexpr std::string_view for_ipc = "waiting for a semaphore or message";

constexpr Known known_calls[] = {
    {__NR_read, Says::reads, {}},
    {__NR_readv, Says::reads, {}},
    {__NR_pread64, Says::reads, {}},
    {__NR_preadv, Says::reads, {}},
    {__NR_splice, Says::reads, {}},
    {__NR_write, Says::writes, {}},
    {__NR_writev, Says::writes, {}},
    {__NR_pwrite64, Says::writes, {}},
    {__NR_pwritev, Says::writes, {}},
    {__NR_sendto, Says::writes, {}},
    {__NR_sendmsg, Says::writes, {}},
    {__NR_sendmmsg, Says::writes, {}},
    {__NR_recvfrom, Says::receives, {}},
    {__NR_recvmsg, Says::receives, {}},
    {__NR_recvmmsg, Says::receives, {}},
    {__NR_pselect6, Says::selects, for_descriptors},
    {__NR_ppoll, Says::all, for_descriptors},
    {__NR_epoll_pwait, Says::all, for_descriptors},
    {__NR_epoll_pwait2, Says::all, for_descriptors},
    {__NR_futex, Says::all, for_lock},
    {futex_wait, Says::all, for_lock},
    {futex_waitv, Says::all, for_lock},
    {__NR_nanosleep, Says::all, for_time},
    {__NR_clock_nanosleep, Says::all, for_time},
    {__NR_wait4, Says::all, for_child},
    {__NR_waitid, Says::all, for_child},
    {__NR_clone, Says::all, for_vfork},
    {__NR_clone3, Says::all, for_vfork},
    {__NR_rt_sigsuspend, Says::all, for_signal},
    {__NR_rt_sigtimedwait, Says::all, for_signal},
    {__NR_accept, Says::all, for_connection},
    {__NR_accept4, Says::all, for_connection},
    {__NR_connect, Says::all, "connecting"},
    {__NR_openat, Says::all, "opening a file or named pipe"},
    {__NR_openat2, Says::all, "opening a file or named pipe"},
    {__NR_flock, Says::all, "waiting for a file lock"},
    {__NR_fcntl, Says::all, "waiting for a file lock"},
    {__NR_fsync, Says::all, "waiting for the disk"},
    {__NR_fdatasync, Says::all, "waiting for the disk"},
    {__NR_sync, Says::all, "waiting for the disk"},
    {__NR_semop, Says::all, for_ipc},
    {__NR_semtimedop, Says::all, for_ipc},
    {__NR_msgrcv, Says::all, for_ipc},
    {__NR_msgsnd, Says::all, for_ipc},
    {__NR_mq_timedreceive, Says::all, for_ipc},
    {__NR_mq_timedsend, Says::all, for_ipc},
    {__NR_io_uring_enter, Says::all, "waiting for io_uring"},
    {__NR_io_getevents, Says::all, "waiting for asynchronous input or output"},
    {__NR_exit, Says::all, "ending"},
    {__NR_exit_group, Says::all, "ending"},
    {__NR_execve, Says::all, "starting a program"},
    {__NR_execveat, Says::all, "starting a program"},
#ifdef __NR_poll  // and the others that newer processors were not given any more
    {__NR_poll, Says::all, for_descriptors},
    {__NR_select, Says::selects, for_descriptors},
    {__NR_epoll_wait, Says::all, for_descriptors},
    {__NR_pause, Says::all, for_signal},
    {__NR_vfork, Says::all, for_vfork},
    {__NR_fork, Says::all, for_vfork},
    {__NR_open, Says::all, "opening a file or named pipe"},
#endif
};

// By how the name of the kernel's function begins; they differ between versions in what follows.
struct KnownFunction {
    std::string_view beginning;
    std::string_view words;
};

constexpr KnownFunction known_functions[] = {
    {"futex", for_lock},
    {"do_wait", for_child},
    {"kernel_wait4", for_child},
    {"hrtimer_nanosleep", for_time},
    {"do_nanosleep", for_time},
    {"pipe_read", "reading a pipe"},
    {"anon_pipe_read", "reading a pipe"},
    {"pipe_write", "writing a pipe"},
    {"anon_pipe_write", "writing a pipe"},
    {"n_tty_read", "reading a terminal"},
    {"wait_woken", "reading a terminal or socket"},
    {"unix_stream_read", "reading a socket"},
    {"__skb_wait", "reading a socket"},
    {"sk_wait_data", "reading a socket"},
    {"inet_csk_accept", for_connection},
    {"poll_schedule_timeout", for_descriptors},
    {"do_sys_poll", for_descriptors},
    {"do_poll", for_descriptors},
    {"do_select", for_descriptors},
    {"ep_poll", for_descriptors},
    {"do_epoll_wait", for_descriptors},
    {"sigsuspend", for_signal},
    {"do_sigtimedwait", for_signal},
    {"__do_sys_pause", for_signal},
    {"__x64_sys_pause", for_signal},
    {"do_freezer_trap", "frozen"},
    {"wait_for_vfork_done", for_vfork},
};

const Known* find(long number) noexcept {
    const Known* const place = std::find_if(std::begin(known_calls), std::end(known_calls),
                                            [&](const Known& known) { return known.number == number; });
    return place == std::end(known_calls) ? nullptr : place;
}

bool waits_for_stdin_alone(const SystemCall& call) noexcept {
    constexpr std::uint64_t one_more_than_stdin = 1;
    return call.arguments[0] == one_more_than_stdin && call.arguments[1] != 0;
}

}  // namespace

std::optional<SystemCall> parse_system_call(std::string_view text) noexcept {
    SystemCall call;
    if (!parse_number(next_word(text), call.number)) {
        return std::nullopt;
    }
    // "-1 STACK PLACE", or "NUMBER ARGUMENT…×6 STACK PLACE", in hexadecimal.
    const int arguments = call.number < 0 ? 0 : 6;
    std::uint64_t value = 0;
    for (int i = 0; i <= arguments; ++i) {
        const std::string_view word = next_word(text);
        if (word.substr(0, 2) != "0x" || !parse_number(word.substr(2), value, 16)) {
            return std::nullopt;
        }
        if (i < arguments && i < 3) {
            call.arguments[i] = value;
        }
    }
    call.is_native = value > std::numeric_limits<std::uint32_t>::max();  // the last one was the stack
    return call;
}

std::optional<int> awaited_descriptor(const SystemCall& call) noexcept {
    const Known* const known = call.is_native ? find(call.number) : nullptr;
    if (known == nullptr || known->says == Says::all || known->says == Says::selects) {
        return std::nullopt;
    }
    // The upper half of the register is whatever the program left there.
    return static_cast<int>(static_cast<std::uint32_t>(call.arguments[0]));
}

std::string words_for_call(const SystemCall& call, std::string_view descriptor) {
    if (call.number < 0) {
        return "asleep outside of any system call";
    }
    const Known* const known = call.is_native ? find(call.number) : nullptr;
    if (known == nullptr) {
        const std::string_view kind = call.is_native ? "" : "32-bit ";
        return "asleep in " + std::string(kind) + "system call " + std::to_string(call.number);
    }
    switch (known->says) {
        case Says::reads: return "reading " + std::string(descriptor);
        case Says::writes: return "writing " + std::string(descriptor);
        case Says::receives: return "receiving from " + std::string(descriptor);
        case Says::selects: return waits_for_stdin_alone(call) ? "waiting for stdin" : std::string(known->words);
        case Says::all: break;
    }
    return std::string(known->words);
}

std::string words_for_function(std::string_view function) {
    for (const KnownFunction& known : known_functions) {
        if (function.substr(0, known.beginning.size()) == known.beginning) {
            return std::string(known.words);
        }
    }
    if (function.empty() || function == "0") {
        return "asleep, for what may not be read";
    }
    return "asleep in the kernel's " + std::string(function);
}

std::string_view words_for_state(char state) noexcept {
    switch (state) {
        case 'S':
        case 'D': return {};
        case 'R': return "running";
        case 'T': return "stopped by a signal";
        case 't': return "stopped by a tracer";
        case 'Z':
        case 'X': return "dead and not waited for";
        default: return "in a state that is not known";
    }
}

}  // namespace proctor::detail
