// SPDX-License-Identifier: MIT
#include "fault_injector.hpp"

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <exception>
#include <map>
#include <stdexcept>
#include <vector>

#include "support.hpp"

namespace faults {

// In memory that the host and its watcher share.
struct Shared {
    std::atomic<bool> counts{false};
    std::atomic<int> target{0};
    std::atomic<unsigned> way{0};
    std::atomic<unsigned> ways{0};
    std::atomic<bool> injected{false};
    Fault fault{};
    std::array<char, 4096> answer{};
};

namespace {

constexpr int patience_s = 60;

// Bounds of the program's own code, set by the linker.
extern "C" const char __executable_start;  // NOLINT(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp)
extern "C" const char etext;

// The runtime of the sanitizers is linked into the program and calls the kernel by itself, to probe an address by
// writing it into a pipe for example; it holds every other answer for a defect. What is to fail calls it through a
// shared library, clone3 alone does not.
bool is_of_sanitizer(std::uint64_t caller, long number) {
    return support::sanitized && number != __NR_clone3 &&
           caller >= reinterpret_cast<std::uintptr_t>(&__executable_start) &&
           caller < reinterpret_cast<std::uintptr_t>(&etext);
}

struct Call {
    long number;
    const char* name;
    std::vector<int> errors;
    bool is_done = false;
};

// What the manual pages name and a host may meet: tables that are full, memory that is short, disks that break, groups
// that vanish, filters and modules that forbid. Calls that are not here cannot fail, or not in a working kernel.
const std::vector<Call> calls{
    {__NR_close, "close", {EIO, EINTR}, true},
    {__NR_pipe2, "pipe2", {EMFILE, ENFILE}},
    {__NR_dup, "dup", {EMFILE}},
    {__NR_dup3, "dup3", {EMFILE, EINTR}},
    {__NR_openat, "openat", {EMFILE, ENFILE, ENOMEM, EACCES, EIO, ENOENT, ENODEV}},
    {__NR_openat2, "openat2", {EMFILE, ENFILE, ENOMEM, EACCES, ENOSYS}},
    {__NR_read, "read", {EIO, EINTR, ENODEV, ENOMEM}},
    {__NR_pread64, "pread64", {ENODEV, EIO, EINTR, ENOMEM}},
    {__NR_preadv2, "preadv2", {EIO, EINTR, ENOMEM}},
    {__NR_write, "write", {EIO, ENOSPC, EINTR, ENODEV}},
    {__NR_pwrite64, "pwrite64", {ENOSPC, EIO, EINTR, EDQUOT}},
    {__NR_pwritev2, "pwritev2", {EIO, EINTR, ENOMEM}},
    {__NR_getdents64, "getdents64", {EIO, ENOENT}},
    {__NR_mkdirat, "mkdirat", {ENOSPC, EAGAIN, EACCES, ENOMEM, EROFS, ENOENT}},
    {__NR_clone, "clone", {EAGAIN, ENOMEM, EPERM}},
    {__NR_clone3, "clone3", {EAGAIN, ENODEV, ENOMEM, EBUSY, ENOENT, ENOSYS}},
    {__NR_flock, "flock", {EINTR, ENOLCK}},
    {__NR_faccessat, "faccessat", {EACCES, ENOENT}},
#ifdef __NR_faccessat2
    {__NR_faccessat2, "faccessat2", {EACCES, ENOENT}},
#endif
    {__NR_fstat, "fstat", {ENOMEM, EIO}},
    {__NR_newfstatat, "newfstatat", {ENOMEM, EACCES}},
    {__NR_statx, "statx", {ENOMEM, EACCES}},
    {__NR_statfs, "statfs", {EIO, EACCES}},
    {__NR_fstatfs, "fstatfs", {EIO}},
    {__NR_readlinkat, "readlinkat", {EACCES, ENOENT}},
    {__NR_ioctl, "ioctl", {EIO}},
    {__NR_ftruncate, "ftruncate", {EIO}},
    {__NR_socketpair, "socketpair", {EMFILE, ENFILE, ENOMEM}},
    {__NR_socket, "socket", {EMFILE, ENFILE, ENOBUFS}},
    {__NR_setsockopt, "setsockopt", {EPERM, ENOMEM}},
    {__NR_getsockopt, "getsockopt", {ENOMEM}},
    {__NR_sendmsg, "sendmsg", {EINTR, ENOMEM, ENOBUFS}},
    {__NR_recvmsg, "recvmsg", {EINTR, ENOMEM}},
    {__NR_sendto, "sendto", {EINTR, ENOMEM, ENOBUFS}},
    {__NR_recvfrom, "recvfrom", {EINTR, ENOMEM}},
    {__NR_epoll_ctl, "epoll_ctl", {ENOMEM, ENOSPC}},
    {__NR_epoll_create1, "epoll_create1", {EMFILE, ENFILE, ENOMEM}},
    {__NR_epoll_pwait, "epoll_pwait", {EINTR}},
    {__NR_epoll_pwait2, "epoll_pwait2", {EINTR, ENOSYS, EPERM}},
    {__NR_ppoll, "ppoll", {EINTR, ENOMEM}},
    {__NR_timerfd_create, "timerfd_create", {EMFILE, ENFILE, ENOMEM}},
    {__NR_eventfd2, "eventfd2", {EMFILE, ENFILE, ENOMEM}},
    {__NR_io_uring_setup, "io_uring_setup", {EMFILE, ENFILE, ENOMEM, EPERM, ENOSYS}},
    {__NR_io_uring_register, "io_uring_register", {ENOMEM, EINVAL}},
    {__NR_io_uring_enter, "io_uring_enter", {EINTR, EAGAIN, EBUSY, ENOMEM}},
    {__NR_pidfd_open, "pidfd_open", {EMFILE, ENOMEM}},
    {__NR_pidfd_send_signal, "pidfd_send_signal", {ENOSYS, EINTR}},
    {__NR_getrandom, "getrandom", {EINTR, EAGAIN, ENOSYS}},
    {__NR_sched_getaffinity, "sched_getaffinity", {EINVAL}},
#ifdef __NR_epoll_wait
    {__NR_epoll_wait, "epoll_wait", {EINTR}},
#endif
#ifdef __NR_open
    {__NR_open, "open", {EMFILE, ENFILE, ENOMEM, EACCES, EIO, ENOENT}},
    {__NR_stat, "stat", {ENOMEM, EACCES}},
    {__NR_access, "access", {EACCES, ENOENT}},
    {__NR_readlink, "readlink", {EACCES, ENOENT}},
    {__NR_mkdir, "mkdir", {ENOSPC, EAGAIN, EACCES}},
    {__NR_poll, "poll", {EINTR, ENOMEM}},
#endif
};

struct Arguments {
    long number = -1;
    const std::uint64_t* values = nullptr;
};

// Those whose first word of what to do is an argument.
std::optional<Call> special(const Arguments& call) {
    switch (call.number) {
        case __NR_fcntl:
            switch (static_cast<int>(call.values[1])) {
                case F_SETPIPE_SZ: return Call{call.number, "fcntl(F_SETPIPE_SZ)", {EPERM, ENOMEM}};
                case F_DUPFD_CLOEXEC: return Call{call.number, "fcntl(F_DUPFD_CLOEXEC)", {EMFILE, ENOMEM}};
                default: return std::nullopt;
            }
        case __NR_mmap: {
            // Not those of the heap: who has no memory at all is not to be helped.
            const bool of_a_file = static_cast<int>(call.values[4]) >= 0;
            if (!of_a_file && (call.values[3] & MAP_STACK) == 0) return std::nullopt;
            return Call{call.number, "mmap", {ENOMEM, EAGAIN}};
        }
        case __NR_waitid:
            // Somebody else was faster: it is taken, and nobody knows how it ended.
            return Call{call.number, "waitid", {ECHILD}, true};
        default: return std::nullopt;
    }
}

std::optional<Call> find_call(const Arguments& call) {
    const auto found =
        std::find_if(calls.begin(), calls.end(), [&](const Call& each) { return each.number == call.number; });
    return found != calls.end() ? std::optional<Call>(*found) : special(call);
}

#if defined(__x86_64__) || defined(__aarch64__)

struct Registers {
    user_regs_struct values{};
    iovec piece{&values, sizeof values};
};

void set_result(pid_t pid, long result) {
    Registers registers;
    ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &registers.piece);
#if defined(__x86_64__)
    registers.values.rax = static_cast<unsigned long long>(result);
#else
    registers.values.regs[0] = static_cast<unsigned long long>(result);
#endif
    ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &registers.piece);
}

void leave_out(pid_t pid) {
#if defined(__x86_64__)
    Registers registers;
    ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &registers.piece);
    registers.values.orig_rax = static_cast<unsigned long long>(-1);
    ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &registers.piece);
#else
    int number = -1;
    iovec piece{&number, sizeof number};
    ptrace(PTRACE_SETREGSET, pid, NT_ARM_SYSTEM_CALL, &piece);
#endif
}

constexpr bool knows_processor = true;

#else

void set_result(pid_t, long) {}
void leave_out(pid_t) {}
constexpr bool knows_processor = false;

#endif

// Follows one host from its first stop to its end.
class Watcher {
public:
    Watcher(pid_t pid, Shared& shared) : pid_(pid), shared_(shared) {}

    /// The status of its end.
    int follow() {
        int status = 0;
        for (;;) {
            while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
            }
            if (!WIFSTOPPED(status)) return status;
            go_on(WSTOPSIG(status));
        }
    }

private:
    void go_on(int signal) {
        int passed_on = 0;
        if (signal == (SIGTRAP | 0x80)) {
            on_call();
        } else if (signal == SIGSTOP) {
            begin();
        } else {
            passed_on = signal;
        }
        ptrace(shared_.counts ? PTRACE_SYSCALL : PTRACE_CONT, pid_, nullptr, passed_on);
    }

    void begin() {
        ptrace(PTRACE_SETOPTIONS, pid_, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
        seen_ = 0;
        places_.clear();
        failing_ = false;
    }

    void on_call() {
        __ptrace_syscall_info info{};
        ptrace(PTRACE_GET_SYSCALL_INFO, pid_, sizeof info, &info);
        if (info.op == PTRACE_SYSCALL_INFO_ENTRY && shared_.counts) {
            const auto number = static_cast<long>(info.entry.nr);
            if (!is_of_sanitizer(info.instruction_pointer, number)) on_entry({number, info.entry.args});
        } else if (info.op == PTRACE_SYSCALL_INFO_EXIT && failing_) {
            set_result(pid_, -shared_.fault.error_number);
            failing_ = false;
        }
    }

    void on_entry(const Arguments& arguments) {
        const std::optional<Call> call = find_call(arguments);
        if (!call) return;
        const int place = places_[call->number]++;
        if (seen_++ != shared_.target) return;
        const int error_number = call->errors[shared_.way % call->errors.size()];
        shared_.fault = {call->number, place, error_number, call->is_done};
        shared_.ways = static_cast<unsigned>(call->errors.size());
        shared_.injected = true;
        failing_ = true;
        if (!call->is_done) leave_out(pid_);
    }

    pid_t pid_;
    Shared& shared_;
    int seen_ = 0;
    std::map<long, int> places_{};
    bool failing_ = false;
};

class SharedMemory {
public:
    SharedMemory() {
        void* const memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) throw std::runtime_error("mmap failed");
        shared_ = new (memory) Shared();
    }
    SharedMemory(const SharedMemory&) = delete;
    SharedMemory& operator=(const SharedMemory&) = delete;
    ~SharedMemory() { munmap(shared_, sizeof(Shared)); }

    [[nodiscard]] Shared& get() const { return *shared_; }

private:
    Shared* shared_;
};

[[noreturn]] void be_watched(const std::function<std::string(Injector&)>& host, Shared& shared) {
    std::string answer;
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(99);
    raise(SIGSTOP);
    try {
        Injector injector(shared);
        answer = host(injector);
    } catch (const std::exception& failure) {
        answer = failure.what();
    } catch (...) {
        answer = "a failed doctest requirement";
    }
    answer.resize(std::min(answer.size(), shared.answer.size() - 1));
    std::copy(answer.begin(), answer.end(), shared.answer.begin());
    support::leave(0);
}

}  // namespace

std::string describe(const Fault& fault) {
    const auto found =
        std::find_if(calls.begin(), calls.end(), [&](const Call& each) { return each.number == fault.call; });
    const std::string name = found != calls.end() ? found->name : "call " + std::to_string(fault.call);
    return name + " #" + std::to_string(fault.place + 1) + ", " + std::strerror(fault.error_number);
}

void Injector::begin(int target, unsigned way) {
    alarm(patience_s);
    shared_.target = target;
    shared_.way = way;
    shared_.injected = false;
    shared_.counts = true;
    raise(SIGSTOP);
}

std::optional<Fault> Injector::end() {
    shared_.counts = false;
    return shared_.injected ? std::optional<Fault>(shared_.fault) : std::nullopt;
}

unsigned Injector::ways() const { return shared_.ways; }

std::string in_watched_host(const std::function<std::string(Injector&)>& host) {
    const SharedMemory memory;
    Shared& shared = memory.get();
    std::fflush(nullptr);
    const pid_t pid = fork();
    if (pid < 0) throw std::runtime_error("fork failed");
    if (pid == 0) be_watched(host, shared);
    const int status = Watcher(pid, shared).follow();
    std::string answer = shared.answer.data();
    if (WIFSIGNALED(status)) answer += "the host was killed by signal " + std::to_string(WTERMSIG(status));
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0) {
        answer += "the host ended with status " + std::to_string(WEXITSTATUS(status));
    }
    if (status != 0 && shared.injected) answer += " after " + describe(shared.fault);
    return answer;
}

bool can_inject() {
    if (!knows_processor) return false;
    // Whether it works, also under an emulator or in a container that forbids it, is seen from what it does.
    return in_watched_host([](Injector& injector) -> std::string {
               for (int target = 0; target < 10; ++target) {
                   injector.begin(target, 0);
                   int ends[2];
                   const int status = pipe2(ends, O_CLOEXEC);
                   const int error_number = errno;
                   const auto fault = injector.end();
                   if (fault && fault->call == __NR_pipe2) return status == -1 && error_number == EMFILE ? "" : "no";
               }
               return "no";
           })
        .empty();
}

}  // namespace faults
