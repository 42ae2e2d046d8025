// SPDX-License-Identifier: MIT
//
// A program that means harm: the first argument names the deed, the others say how much of it. What was refused or came
// about is printed, for the test to judge. All that multiplies is bounded, here and not by the limits under test.
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

constexpr int witness = 9;  // by which the tests see who is left
constexpr int most_processes = 200;
char chunk[65536];

[[noreturn]] void fail(const char* what) {
    dprintf(2, "hostile_program: %s: %s\n", what, strerror(errno));
    _exit(98);
}

int number(const char* text) { return static_cast<int>(strtol(text, nullptr, 10)); }

int bounded(const char* text) { return std::min(number(text), most_processes); }

[[noreturn]] void wait_for_ever() {
    for (;;) pause();
}

// What a call that must not succeed has answered.
void tell(const char* what, bool succeeded) { dprintf(1, "%s: %s\n", what, succeeded ? "done" : "refused"); }

void write_all(int fd, const char* bytes, std::size_t count) {
    while (count > 0) {
        const ssize_t written = write(fd, bytes, count);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) fail("write");
        bytes += written;
        count -= static_cast<std::size_t>(written);
    }
}

void write_repeated(char byte, long long count) {
    memset(chunk, byte, sizeof chunk);
    while (count > 0) {
        const long long now = std::min<long long>(count, sizeof chunk);
        write_all(1, chunk, static_cast<std::size_t>(now));
        count -= now;
    }
}

pid_t make_child() {
    const pid_t pid = fork();
    if (pid < 0) fail("fork");
    return pid;
}

// --- Descriptors and streams

[[noreturn]] void close_all(char**) {
    for (int fd = 0; fd < 1024; ++fd) close(fd);
    wait_for_ever();
}

// Its status is how many took a byte.
[[noreturn]] void write_everywhere(char**) {
    int taken = 0;
    for (int fd = 0; fd < 1024; ++fd) {
        if (fd != witness && write(fd, "x", 1) == 1) ++taken;
    }
    _exit(taken);
}

// One goes on writing when the main process is gone, which ends in the middle of a write of another thread.
[[noreturn]] void exit_while_writing(char**) {
    if (make_child() == 0) {
        for (;;) write_repeated('c', sizeof chunk);
    }
    pthread_t writer{};
    pthread_create(
        &writer, nullptr,
        [](void*) -> void* {
            for (;;) write_repeated('t', 1);
        },
        nullptr);
    _exit(3);
}

void write_bytes(char** words) { write_repeated(static_cast<char>(number(words[0])), number(words[1])); }

[[noreturn]] void endless_line(char**) {
    for (;;) write_repeated('x', sizeof chunk);
}

// --- Signals

// Everybody whom this user may signal but itself, whom Linux leaves out. Its status is the signal that its child died
// by.
[[noreturn]] void kill_everybody(char** words) {
    if (getuid() == 0) fail("not as root, whose processes are all of the machine's");
    const pid_t child = make_child();
    if (child == 0) wait_for_ever();
    if (kill(-1, number(words[0])) != 0) fail("kill");
    int status = 0;
    if (waitpid(child, &status, 0) != child) fail("waitpid");
    _exit(WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

// Stopped and continued without end by its child, which it stops and continues itself.
[[noreturn]] void stop_and_continue(char**) {
    const pid_t first = getpid();
    const pid_t second = make_child();
    const pid_t other = second == 0 ? first : second;
    for (;;) {
        kill(other, SIGSTOP);
        kill(other, SIGCONT);
    }
}

// --- Its parent, which is the host or the keeper

void attack_parent(char**) {
    const pid_t parent = getppid();
    char path[64];
    tell("trace", ptrace(PTRACE_SEIZE, parent, 0, 0) == 0);
    tell("stop", kill(parent, SIGSTOP) == 0);
    tell("kill", kill(parent, SIGKILL) == 0);
    snprintf(path, sizeof path, "/proc/%d/mem", parent);
    tell("memory", open(path, O_RDWR | O_CLOEXEC) >= 0);
    snprintf(path, sizeof path, "/proc/%d/fd", parent);
    tell("descriptors", opendir(path) != nullptr);
    const rlimit one{1, 1};
    tell("limits", prlimit(parent, RLIMIT_NOFILE, &one, nullptr) == 0);
    tell("priority", setpriority(PRIO_PROCESS, static_cast<id_t>(parent), 19) == 0);
}

// Stops it, as far as it may, and ends: the kernel then lets it go.
void trace_parent(char**) {
    if (ptrace(PTRACE_SEIZE, getppid(), 0, 0) == 0) ptrace(PTRACE_INTERRUPT, getppid(), 0, 0);
}

// --- Processes

// As if its name ended in /proc/PID/stat and a running orphan's numbers began; so do its children.
[[noreturn]] void misname(char** words) {
    prctl(PR_SET_NAME, ") R 1 (");
    for (int left = bounded(words[0]); left > 0; --left) {
        if (make_child() == 0) break;
    }
    wait_for_ever();
}

// All that it makes stay in its group, and fork on until there are so many together.
[[noreturn]] void storm(char** words) {
    const int most = bounded(words[0]);
    void* const shared = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) fail("mmap");
    int* const made = static_cast<int*>(shared);
    while (__atomic_fetch_add(made, 1, __ATOMIC_RELAXED) < most) fork();
    wait_for_ever();
}

[[noreturn]] void thread_storm(char** words) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 65536);
    for (int left = bounded(words[0]); left > 0; --left) {
        pthread_t thread{};
        pthread_create(
            &thread, &attributes, [](void*) -> void* { wait_for_ever(); }, nullptr);
    }
    wait_for_ever();
}

// --- Files

// Until no system call can name where it is.
void go_deep(char** words) {
    char name[201];
    memset(name, 'd', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    for (int left = number(words[0]); left > 0; --left) {
        if (mkdir(name, 0755) != 0 || chdir(name) != 0) fail("deeper");
    }
    char path[4096];
    tell("name", getcwd(path, sizeof path) != nullptr);
}

[[noreturn]] void hold_for_writing(char** words) {
    if (open(words[0], O_WRONLY | O_CLOEXEC) < 0) fail(words[0]);
    write_all(1, "held", 4);
    wait_for_ever();
}

void fill_file(char** words) {
    const int fd = open(words[0], O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) fail(words[0]);
    for (long long left = number(words[1]); left > 0; left -= static_cast<long long>(sizeof chunk)) {
        write_all(fd, chunk, sizeof chunk);
    }
    tell("fill", true);
}

// --- Rights

void print_users(char**) {
    uid_t real = 0;
    uid_t effective = 0;
    uid_t saved = 0;
    getresuid(&real, &effective, &saved);
    dprintf(1, "%u %u %u\n", real, effective, saved);
}

void raise_priority(char**) {
    tell("nice", setpriority(PRIO_PROCESS, 0, -5) == 0);
    const sched_param lowest{.sched_priority = 1};
    tell("real time", sched_setscheduler(0, SCHED_FIFO, &lowest) == 0);
}

void raise_limits(char**) {
    for (const auto resource : {RLIMIT_CORE, RLIMIT_FSIZE, RLIMIT_NOFILE, RLIMIT_STACK}) {
        rlimit limit{};
        getrlimit(resource, &limit);
        ++limit.rlim_max;
        tell("limit", setrlimit(resource, &limit) == 0);
    }
}

// Into the group whose list of processes that is. Who got there waits, to be ended.
void change_group(char** words) {
    const int fd = open(words[0], O_WRONLY | O_CLOEXEC);
    const bool moved = fd >= 0 && write(fd, "0", 1) == 1;
    tell("group", moved);
    if (moved) wait_for_ever();
}

// Out of the process group that it leads, in which it leaves a child. Then it waits, to be ended.
[[noreturn]] void change_process_group(char**) {
    if (make_child() == 0) wait_for_ever();
    tell("process group", setpgid(0, getpgid(getppid())) == 0);
    wait_for_ever();
}

struct Deed {
    const char* name;
    int argument_count;
    void (*act)(char** words);
};

const Deed deeds[] = {
    {"close-all", 0, close_all},
    {"write-everywhere", 0, write_everywhere},
    {"exit-while-writing", 0, exit_while_writing},
    {"write-bytes", 2, write_bytes},
    {"endless-line", 0, endless_line},
    {"kill-everybody", 1, kill_everybody},
    {"stop-and-continue", 0, stop_and_continue},
    {"attack-parent", 0, attack_parent},
    {"trace-parent", 0, trace_parent},
    {"misname", 1, misname},
    {"storm", 1, storm},
    {"thread-storm", 1, thread_storm},
    {"go-deep", 1, go_deep},
    {"hold-for-writing", 1, hold_for_writing},
    {"fill-file", 2, fill_file},
    {"users", 0, print_users},
    {"raise-priority", 0, raise_priority},
    {"raise-limits", 0, raise_limits},
    {"change-group", 1, change_group},
    {"change-process-group", 0, change_process_group},
};

}  // namespace

int main(int argument_count, char** arguments) {
    // A test that fails must not leave spinning processes for ever.
    const rlimit processor_seconds{60, 60};
    setrlimit(RLIMIT_CPU, &processor_seconds);
    for (const Deed& deed : deeds) {
        if (argument_count != deed.argument_count + 2 || strcmp(deed.name, arguments[1]) != 0) continue;
        deed.act(arguments + 2);
        return 0;
    }
    dprintf(2, "hostile_program: no such deed\n");
    return 99;
}
