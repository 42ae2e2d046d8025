// SPDX-License-Identifier: MIT
//
// The program that the tests run: what it does is written in its arguments.
//
//     child_program print hello then fork [ ready then pause ] then exit 3
//
// A script is a row of commands with `then` between them; after the last one the program exits with status 0. What is
// in brackets belongs to a child of the child: `fork` an ordinary one, `vfork` one for which the parent waits while it
// has the parent's memory, `share-memory` one that has it for good, `thread` one that is no process. Nothing here
// allocates or buffers, so what was written has been written, and a signal handler may do the same as the main program.
// An unknown or failing command ends it with status 99 or 98.
#include <dirent.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

extern char** environ;

namespace {

constexpr std::size_t chunk_size = 65536;
char chunk[chunk_size];

int all_argument_count = 0;
char** all_arguments = nullptr;

// In a child of `fork`: where it says that it is ready, and who started it.
int ready_fd = -1;
pid_t starter = 0;

[[noreturn]] void fail(const char* what) {
    dprintf(2, "child_program: %s: %s\n", what, strerror(errno));
    _exit(98);
}

void write_all(int fd, const char* bytes, std::size_t count) {
    while (count > 0) {
        const ssize_t written = write(fd, bytes, count);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) fail("write");
        bytes += written;
        count -= static_cast<std::size_t>(written);
    }
}

void write_text(int fd, const char* text) { write_all(fd, text, strlen(text)); }

std::uint64_t number(const char* text) { return strtoull(text, nullptr, 10); }

int small_number(const char* text) { return static_cast<int>(strtol(text, nullptr, 10)); }

std::size_t read_some(int fd, std::size_t count_max) {
    for (;;) {
        const ssize_t count = read(fd, chunk, std::min(count_max, chunk_size));
        if (count >= 0) return static_cast<std::size_t>(count);
        if (errno != EINTR) fail("read");
    }
}

// --- Streams

void print(char** words) { write_text(1, words[0]); }

void print_to(char** words) { write_text(small_number(words[0]), words[1]); }

// The byte at each position depends on all of the position, so that a lost, doubled or moved block shows.
void fill(char** words) {
    const int fd = small_number(words[0]);
    const std::uint64_t total = number(words[1]);
    for (std::uint64_t at = 0; at < total;) {
        const std::size_t count = static_cast<std::size_t>(std::min<std::uint64_t>(chunk_size, total - at));
        for (std::size_t i = 0; i < count; ++i) {
            const std::uint64_t position = at + i;
            chunk[i] = static_cast<char>(position ^ (position >> 8) ^ (position >> 16) ^ (position >> 24));
        }
        write_all(fd, chunk, count);
        at += count;
    }
}

void copy(char** words) {
    while (const std::size_t count = read_some(small_number(words[0]), chunk_size)) {
        write_all(small_number(words[1]), chunk, count);
    }
}

void copy_to_both(char**) {
    while (const std::size_t count = read_some(0, chunk_size)) {
        write_all(1, chunk, count);
        write_all(2, chunk, count);
    }
}

void alternate(char** words) {
    const std::uint64_t times = number(words[0]);
    for (std::uint64_t i = 0; i < times; ++i) {
        dprintf(1, "o%llu\n", static_cast<unsigned long long>(i));
        dprintf(2, "e%llu\n", static_cast<unsigned long long>(i));
    }
}

// Lines, each a write(2): the next number, on one stream for a run of random length, then on the other.
void alternate_runs(char** words) {
    const std::uint64_t count = number(words[0]);
    std::uint64_t state = number(words[1]) * 2 + 1;
    const std::uint64_t longest = number(words[2]);
    int fd = 1;
    for (std::uint64_t line = 0; line < count; fd = 3 - fd) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        for (std::uint64_t left = 1 + (state >> 33) % longest; left > 0 && line < count; --left, ++line) {
            char text[24];
            char* begin = text + sizeof text;
            *--begin = '\n';
            for (std::uint64_t rest = line, first = 1; first != 0 || rest > 0; rest /= 10, first = 0) {
                *--begin = static_cast<char>('0' + rest % 10);
            }
            write_all(fd, begin, static_cast<std::size_t>(text + sizeof text - begin));
        }
    }
}

// One write(2) of so many bytes; what it answered goes to another descriptor.
void write_once(char** words) {
    static char block[4 << 20];
    memset(block, 'w', sizeof block);
    const ssize_t written = write(small_number(words[0]), block, static_cast<std::size_t>(number(words[1])));
    dprintf(small_number(words[2]), "%lld\n", static_cast<long long>(written < 0 ? -errno : written));
}

// Sends standard input along with a byte, so many times.
void send_descriptor(char** words) {
    for (std::uint64_t left = number(words[1]); left > 0; --left) {
        char byte = 'd';
        iovec piece{&byte, 1};
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
        msghdr header{};
        header.msg_iov = &piece;
        header.msg_iovlen = 1;
        header.msg_control = control;
        header.msg_controllen = sizeof control;
        cmsghdr* const rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof(int));
        const int sent = 0;
        memcpy(CMSG_DATA(rights), &sent, sizeof sent);
        if (sendmsg(small_number(words[0]), &header, 0) < 0) fail("sendmsg");
    }
}

void read_bytes(char** words) {
    for (std::uint64_t left = number(words[0]); left > 0;) {
        const std::size_t count = read_some(0, static_cast<std::size_t>(std::min<std::uint64_t>(left, chunk_size)));
        if (count == 0) _exit(97);
        left -= count;
    }
}

void answer_line(char**) {
    char byte = 0;
    write_text(1, "got ");
    while (byte != '\n' && read(0, &byte, 1) == 1) write_all(1, &byte, 1);
}

// Says a line and waits for one, so many times.
void ask(char** words) {
    for (std::uint64_t left = number(words[0]); left > 0; --left) {
        write_text(1, "ping\n");
        for (bool whole = false; !whole;) {
            const std::size_t count = read_some(0, chunk_size);
            if (count == 0) _exit(97);
            whole = chunk[count - 1] == '\n';
        }
    }
}

void checksum(char**) {
    std::uint64_t hash = 14695981039346656037U;
    std::uint64_t total = 0;
    while (const std::size_t count = read_some(0, chunk_size)) {
        for (std::size_t i = 0; i < count; ++i) {
            hash = (hash ^ static_cast<unsigned char>(chunk[i])) * 1099511628211U;
        }
        total += count;
    }
    dprintf(1, "%llu %016llx\n", static_cast<unsigned long long>(total), static_cast<unsigned long long>(hash));
}

void close_fd(char** words) { close(small_number(words[0])); }

void await_byte(char** words) {
    if (read_some(small_number(words[0]), 1) == 0) _exit(97);
}

void await_end(char** words) {
    while (read_some(small_number(words[0]), chunk_size) > 0) {
    }
}

void write_file(char** words) {
    const int fd = open(words[0], O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) fail(words[0]);
    write_text(fd, words[1]);
    close(fd);
}

// --- What it was given

[[noreturn]] void print_arguments(char**) {
    for (int i = 0; i < all_argument_count; ++i) write_all(1, all_arguments[i], strlen(all_arguments[i]) + 1);
    _exit(0);
}

void print_environment(char**) {
    for (char** entry = environ; *entry != nullptr; ++entry) write_all(1, *entry, strlen(*entry) + 1);
}

void print_cwd(char**) {
    char path[4096];
    if (getcwd(path, sizeof path) == nullptr) fail("getcwd");
    write_text(1, path);
}

// A field of /proc/self/status, as the kernel prints it.
void print_status(char** words) {
    const int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    if (fd < 0) fail("/proc/self/status");
    static char text[16384];
    std::size_t size = 0;
    for (ssize_t count; (count = read(fd, text + size, sizeof text - 1 - size)) > 0;) {
        size += static_cast<std::size_t>(count);
    }
    close(fd);
    text[size] = '\0';
    char key[64];
    snprintf(key, sizeof key, "\n%s:", words[0]);
    const char* begin = strstr(text, key);
    if (begin == nullptr) fail(words[0]);
    begin += strlen(key);
    begin += strspn(begin, " \t");
    dprintf(1, "%.*s\n", static_cast<int>(strcspn(begin, "\n")), begin);
}

void print_limit(char** words) {
    const struct {
        const char* name;
        int resource;
    } known[] = {
        {"core", RLIMIT_CORE}, {"file_size", RLIMIT_FSIZE}, {"open_files", RLIMIT_NOFILE}, {"stack", RLIMIT_STACK}};
    for (const auto& entry : known) {
        if (strcmp(entry.name, words[0]) != 0) continue;
        rlimit limit{};
        getrlimit(static_cast<__rlimit_resource>(entry.resource), &limit);
        dprintf(1, "%lld %lld\n", static_cast<long long>(limit.rlim_cur), static_cast<long long>(limit.rlim_max));
        return;
    }
    fail(words[0]);
}

void print_nice(char**) {
    errno = 0;
    dprintf(1, "%d\n", getpriority(PRIO_PROCESS, 0));
}

// Those that it may run on, up to 1,023.
void print_processors(char** words) {
    const int fd = small_number(words[0]);
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0) fail("sched_getaffinity");
    for (unsigned each = 0; each < CPU_SETSIZE; ++each) {
        if (CPU_ISSET(each, &set)) dprintf(fd, "%u ", each);
    }
    dprintf(fd, "\n");
}

void print_descriptors(char**) {
    DIR* directory = opendir("/proc/self/fd");
    if (directory == nullptr) fail("/proc/self/fd");
    static bool open_now[65536];
    while (const dirent* entry = readdir(directory)) {
        const int fd = small_number(entry->d_name);
        if (entry->d_name[0] != '.' && fd != dirfd(directory) && fd < 65536) open_now[fd] = true;
    }
    closedir(directory);
    for (int fd = 0; fd < 65536; ++fd) {
        if (open_now[fd]) dprintf(1, "%d ", fd);
    }
}

void print_blocking(char** words) {
    const int flags = fcntl(small_number(words[0]), F_GETFL);
    if (flags < 0) fail("fcntl");
    write_text(1, (flags & O_NONBLOCK) != 0 ? "nonblocking\n" : "blocking\n");
}

void print_ids(char**) { dprintf(1, "pid=%d ppid=%d sid=%d pgid=%d\n", getpid(), getppid(), getsid(0), getpgid(0)); }

void print_groups(char**) {
    static gid_t groups[65536];
    const int count = getgroups(65536, groups);
    for (int i = 0; i < count; ++i) dprintf(1, "%u ", groups[i]);
}

void print_dumpable(char**) { dprintf(1, "%d\n", prctl(PR_GET_DUMPABLE)); }

void print_parent_death_signal(char**) {
    int signal_number = -1;
    prctl(PR_GET_PDEATHSIG, &signal_number);
    dprintf(1, "%d\n", signal_number);
}

// --- Time and signals

[[noreturn]] void exit_with(char** words) { _exit(small_number(words[0])); }

[[noreturn]] void wait_for_ever(char**) {
    for (;;) pause();
}

[[noreturn]] void spin(char**) {
    for (volatile unsigned turns = 0;;) turns = turns + 1;
}

void burn(char** words) {
    const std::uint64_t wanted_ns = number(words[0]) * 1000000;
    timespec used{};
    do {
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    } while (static_cast<std::uint64_t>(used.tv_sec) * 1000000000 + static_cast<std::uint64_t>(used.tv_nsec) <
             wanted_ns);
}

void raise_signal(char** words) { raise(small_number(words[0])); }
void raise_in_parent(char** words) { kill(getppid(), small_number(words[0])); }

void ignore(char** words) { signal(small_number(words[0]), SIG_IGN); }

const char* handler_text = "";
int handler_status = 0;
bool handler_exits = false;

void handle(int) {
    write_text(1, handler_text);
    if (handler_exits) _exit(handler_status);
}

void on_signal_exit(char** words) {
    handler_text = words[1];
    handler_status = small_number(words[2]);
    handler_exits = true;
    signal(small_number(words[0]), handle);
}

void on_signal_print(char** words) {
    handler_text = words[1];
    signal(small_number(words[0]), handle);
}

void sleep_for(char** words) {
    const timespec time{small_number(words[0]), 0};
    nanosleep(&time, nullptr);
}

// By CLOCK_MONOTONIC, in nanoseconds.
void sleep_until(char** words) {
    const std::uint64_t end = number(words[0]);
    const timespec time{static_cast<time_t>(end / 1'000'000'000), static_cast<long>(end % 1'000'000'000)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nullptr) == EINTR) {
    }
}

// The same clock, as the very last act.
[[noreturn]] void print_clock(char**) {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    dprintf(1, "%lld\n", static_cast<long long>(time.tv_sec) * 1'000'000'000 + time.tv_nsec);
    _exit(0);
}

void await_readable(char** words) {
    pollfd entry{small_number(words[0]), POLLIN, 0};
    poll(&entry, 1, -1);
}

// Locks that nobody opens again.
int locks[4];

void lock(char** words) {
    int& word = locks[small_number(words[0])];
    while (__atomic_exchange_n(&word, 1, __ATOMIC_SEQ_CST) != 0) {
        syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 1, nullptr, nullptr, 0);
    }
}

// --- Processes and memory

char* last_memory = nullptr;
std::size_t last_size = 0;

void rewrite_memory(char**) {
    for (std::size_t at = 0; at < last_size; at += 4096) static_cast<volatile char*>(last_memory)[at] = 1;
}

void take_memory(const char* size, int flags) {
    last_size = static_cast<std::size_t>(number(size));
    void* memory = mmap(nullptr, last_size, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) fail("mmap");
    last_memory = static_cast<char*>(memory);
    rewrite_memory(nullptr);
}

void touch_memory(char** words) { take_memory(words[0], MAP_PRIVATE); }

void share_memory(char** words) { take_memory(words[0], MAP_SHARED); }

void read_file(char** words) {
    const int fd = open(words[0], O_RDONLY | O_CLOEXEC);
    if (fd < 0) fail(words[0]);
    while (read_some(fd, chunk_size) > 0) {
    }
    close(fd);
}

// Takes the lowest free number.
void open_file(char** words) {
    if (open(words[0], O_RDONLY) < 0) fail(words[0]);
}

void map_file(char** words) {
    const int fd = open(words[0], O_RDONLY | O_CLOEXEC);
    struct stat about {};
    if (fd < 0 || fstat(fd, &about) != 0) fail(words[0]);
    const std::size_t size = static_cast<std::size_t>(about.st_size);
    void* memory = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) fail("mmap");
    close(fd);
    for (std::size_t at = 0; at < size; at += 4096) static_cast<void>(static_cast<volatile char*>(memory)[at]);
}

// Each process forks and goes on, until there are about so many or none can be made.
void bomb(char** words) {
    const int most = small_number(words[0]);
    void* const shared = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) fail("mmap");
    int* const made = static_cast<int*>(shared);
    while (__atomic_fetch_add(made, 1, __ATOMIC_RELAXED) < most) {
        if (fork() == 0) setsid();
    }
    for (;;) pause();
}

void rename_itself(char** words) { prctl(PR_SET_NAME, words[0]); }

// Of the calling thread alone, which may be the first one.
void end_thread(char**) { syscall(SYS_exit, 0); }

void trace_parent(char**) { ptrace(PTRACE_SEIZE, getppid(), 0, 0); }

// Generations of processes, each of which has lost its first thread when it makes the next.
void chain(char** words) {
    static int left;
    left = small_number(words[0]);
    pthread_t second{};
    pthread_create(
        &second, nullptr,
        [](void*) -> void* {
            const timespec pause_time{0, 1'000'000};
            nanosleep(&pause_time, nullptr);
            while (left > 0 && fork() == 0) {
                --left;
                char text[16];
                snprintf(text, sizeof text, "%d", left);
                char* next[] = {text};
                chain(next);
            }
            for (;;) pause();
        },
        nullptr);
    syscall(SYS_exit, 0);
}

void new_session(char**) { setsid(); }

void new_group(char**) { setpgid(0, 0); }

void ready(char**) {
    write_all(ready_fd, "r", 1);
    close(ready_fd);
    ready_fd = -1;
}

void reap(char**) {
    while (wait(nullptr) > 0 || errno == EINTR) {
    }
}

pid_t forked_last = -1;

// Returns when the one that was forked last is dead, and leaves it unreaped.
void await_dead(char**) {
    siginfo_t info;
    while (waitid(P_PID, static_cast<id_t>(forked_last), &info, WEXITED | WNOWAIT) < 0 && errno == EINTR) {
    }
}

// Returns when the process that started this one is dead.
void await_orphaned(char**) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, nullptr);
    prctl(PR_SET_PDEATHSIG, SIGUSR1);
    int received = 0;
    if (getppid() == starter) sigwait(&set, &received);
}

// Becomes 2^(n+1)-1 processes that wait for ever.
void multiply(char** words) {
    for (std::uint64_t level = number(words[0]); level > 0; --level) {
        for (int i = 0; i < 2; ++i) {
            const pid_t pid = fork();
            if (pid < 0) fail("fork");
            if (pid == 0) break;
            if (i == 1) wait_for_ever(nullptr);
        }
    }
    wait_for_ever(nullptr);
}

// Each of n generations starts the next and is gone; the last waits for ever.
void relay(char** words) {
    for (std::uint64_t left = number(words[0]); left > 0; --left) {
        const pid_t pid = fork();
        if (pid < 0) fail("fork");
        if (pid > 0) _exit(0);
    }
    wait_for_ever(nullptr);
}

struct Command {
    const char* name;
    int argument_count;
    void (*act)(char** words);
};

const Command commands[] = {
    {"print", 1, print},
    {"print-to", 2, print_to},
    {"fill", 2, fill},
    {"copy", 2, copy},
    {"copy-to-both", 0, copy_to_both},
    {"alternate", 1, alternate},
    {"alternate-runs", 3, alternate_runs},
    {"write-once", 3, write_once},
    {"send-descriptor", 2, send_descriptor},
    {"read", 1, read_bytes},
    {"answer-line", 0, answer_line},
    {"ask", 1, ask},
    {"checksum", 0, checksum},
    {"close", 1, close_fd},
    {"await-byte", 1, await_byte},
    {"await-end", 1, await_end},
    {"write-file", 2, write_file},
    {"arguments", 0, print_arguments},
    {"environment", 0, print_environment},
    {"cwd", 0, print_cwd},
    {"status", 1, print_status},
    {"limit", 1, print_limit},
    {"nice", 0, print_nice},
    {"processors", 1, print_processors},
    {"descriptors", 0, print_descriptors},
    {"blocking", 1, print_blocking},
    {"ids", 0, print_ids},
    {"groups", 0, print_groups},
    {"dumpable", 0, print_dumpable},
    {"parent-death-signal", 0, print_parent_death_signal},
    {"exit", 1, exit_with},
    {"pause", 0, wait_for_ever},
    {"spin", 0, spin},
    {"burn", 1, burn},
    {"raise", 1, raise_signal},
    {"raise-parent", 1, raise_in_parent},
    {"ignore", 1, ignore},
    {"on-signal-exit", 3, on_signal_exit},
    {"on-signal-print", 2, on_signal_print},
    {"sleep", 1, sleep_for},
    {"sleep-until", 1, sleep_until},
    {"print-clock", 0, print_clock},
    {"await-readable", 1, await_readable},
    {"lock", 1, lock},
    {"touch-memory", 1, touch_memory},
    {"bomb", 1, bomb},
    {"multiply", 1, multiply},
    {"relay", 1, relay},

    {"touch-shared-memory", 1, share_memory},
    {"rewrite-memory", 0, rewrite_memory},
    {"open", 1, open_file},
    {"read-file", 1, read_file},
    {"map-file", 1, map_file},
    {"rename", 1, rename_itself},
    {"end-thread", 0, end_thread},
    {"trace-parent", 0, trace_parent},
    {"chain", 1, chain},
    {"new-session", 0, new_session},
    {"new-group", 0, new_group},
    {"ready", 0, ready},
    {"reap", 0, reap},
    {"await-dead", 0, await_dead},
    {"await-orphaned", 0, await_orphaned},
};

void run_script(char** begin, char** end);

// Starts the script in brackets in a child, and goes on when that has said `ready` or is gone.
void fork_script(char** begin, char** end) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) fail("pipe2");
    starter = getpid();
    const pid_t pid = fork();
    if (pid < 0) fail("fork");
    if (pid == 0) {
        close(ends[0]);
        ready_fd = ends[1];
        run_script(begin, end);
        _exit(0);
    }
    forked_last = pid;
    close(ends[1]);
    char byte = 0;
    while (read(ends[0], &byte, 1) < 0 && errno == EINTR) {
    }
    close(ends[0]);
}

struct Script {
    char** begin;
    char** end;
};

int run_on_own_stack(void* argument) {
    const Script script = *static_cast<Script*>(argument);
    run_script(script.begin, script.end);
    syscall(SYS_exit, 0);
    return 0;
}

// With a stack, but the thread-local variables of the starter, so that errno is common.
void start_on_own_stack(char** begin, char** end, int flags) {
    constexpr std::size_t stack_size = 65536;
    void* memory = mmap(nullptr, stack_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) fail("mmap");
    static Script scripts[8];
    static int started = 0;
    Script& script = scripts[started++ % 8];
    script = {begin, end};
    if (clone(run_on_own_stack, static_cast<char*>(memory) + stack_size, flags, &script) < 0) fail("clone");
}

// What vfork(2) is to the kernel, and posix_spawn(3) does: the parent waits until the child has exited.
void vfork_script(char** begin, char** end) { start_on_own_stack(begin, end, CLONE_VM | CLONE_VFORK | SIGCHLD); }

void share_memory_script(char** begin, char** end) { start_on_own_stack(begin, end, CLONE_VM | SIGCHLD); }

void thread_script(char** begin, char** end) {
    start_on_own_stack(begin, end, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM);
}

struct Bracketed {
    const char* name;
    void (*start)(char** begin, char** end);
};

const Bracketed bracketed_commands[] = {
    {"fork", fork_script},
    {"vfork", vfork_script},
    {"share-memory", share_memory_script},
    {"thread", thread_script},
};

const Bracketed* find_bracketed(const char* name) {
    for (const Bracketed& entry : bracketed_commands) {
        if (strcmp(entry.name, name) == 0) return &entry;
    }
    return nullptr;
}

void run_command(char** begin, char** end) {
    for (const Command& command : commands) {
        if (strcmp(command.name, *begin) != 0) continue;
        if (end - begin - 1 < command.argument_count) break;
        command.act(begin + 1);
        return;
    }
    dprintf(2, "child_program: no command '%s' with %d arguments\n", *begin, static_cast<int>(end - begin - 1));
    _exit(99);
}

void run_script(char** begin, char** end) {
    while (begin < end) {
        if (const Bracketed* const known = find_bracketed(*begin)) {
            char** close_bracket = begin + 2;
            for (int depth = 1; close_bracket < end; ++close_bracket) {
                if (strcmp(*close_bracket, "[") == 0) ++depth;
                if (strcmp(*close_bracket, "]") == 0 && --depth == 0) break;
            }
            known->start(begin + 2, close_bracket);
            begin = close_bracket + 1;
        } else {
            char** stop = begin;
            while (stop < end && strcmp(*stop, "then") != 0) ++stop;
            run_command(begin, stop);
            begin = stop;
        }
        if (begin < end && strcmp(*begin, "then") == 0) ++begin;
    }
}

}  // namespace

int main(int argument_count, char** arguments) {
    // A test that fails must not leave spinning processes for ever.
    const rlimit processor_seconds{60, 60};
    setrlimit(RLIMIT_CPU, &processor_seconds);
    all_argument_count = argument_count;
    all_arguments = arguments;
    run_script(arguments + 1, arguments + argument_count);
    return 0;
}
