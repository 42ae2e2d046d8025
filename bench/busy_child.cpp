// SPDX-License-Identifier: MIT
//
// What limits_report runs: burns processor time, or takes memory, in one of a few ways. Static, so that it starts
// quickly.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string_view>
#include <thread>

namespace {

std::int64_t burnt() {
    timespec time{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

void burn(std::int64_t nanoseconds) {
    while (burnt() < nanoseconds) {
    }
}

[[noreturn]] void spin() {
    for (volatile unsigned turns = 0;;) turns = turns + 1;
}

void start_burner(std::int64_t nanoseconds) {
    if (fork() == 0) {
        burn(nanoseconds);
        _exit(0);
    }
}

// So many at once for ever, each for 5 ms of processor time.
[[noreturn]] void spin_in_short_lived(int count) {
    for (int i = 0; i < count; ++i) start_burner(5'000'000);
    for (;;) {
        wait(nullptr);
        start_burner(5'000'000);
    }
}

// So many in all, ten at once, for 1 ms each; waited for, or not because SIGCHLD is ignored.
void burn_in_children(int count, bool ignoring) {
    if (ignoring) signal(SIGCHLD, SIG_IGN);
    for (int i = 0; i < count; i += 10) {
        for (int j = 0; j < 10; ++j) start_burner(1'000'000);
        while (wait(nullptr) > 0) {
        }
    }
}

char* take_memory(std::size_t size, int flags) {
    void* const memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) _exit(98);
    std::memset(memory, 1, size);
    return static_cast<char*>(memory);
}

void rest(long milliseconds) {
    const timespec time{milliseconds / 1000, milliseconds % 1000 * 1'000'000};
    nanosleep(&time, nullptr);
}

}  // namespace

int main(int count, char** words) {
    if (count < 3) return 99;
    const std::string_view mode = words[1];
    const int number = std::atoi(words[2]);
    constexpr std::size_t mib = std::size_t{1} << 20;
    if (mode == "threads") {
        for (int i = 1; i < number; ++i) std::thread(spin).detach();
        spin();
    } else if (mode == "short-lived") {
        spin_in_short_lived(number);
    } else if (mode == "children") {
        if (fork() == 0) {
            burn_in_children(number / 2, true);
            _exit(0);
        }
        burn_in_children(number / 2, false);
        while (wait(nullptr) > 0) {
        }
    } else if (mode == "sleep") {
        rest(number);
    } else if (mode == "spike") {
        munmap(take_memory(static_cast<std::size_t>(number) * mib, MAP_PRIVATE),
               static_cast<std::size_t>(number) * mib);
    } else if (mode == "hold") {
        take_memory(static_cast<std::size_t>(number) * mib, MAP_PRIVATE);
        rest(400);
    } else if (mode == "spike-5ms") {
        take_memory(static_cast<std::size_t>(number) * mib, MAP_PRIVATE);
        rest(5);
    } else if (mode == "fork-copy" || mode == "shared") {
        take_memory(static_cast<std::size_t>(number) * mib, mode == "shared" ? MAP_SHARED : MAP_PRIVATE);
        for (int i = 0; i < 3; ++i) {
            if (fork() == 0) {
                rest(400);
                _exit(0);
            }
        }
        while (wait(nullptr) > 0) {
        }
    } else if (mode == "ask" || mode == "answer") {
        // A line to the other one and a line from it, so many times; the other way round, and after so many
        // microseconds of work.
        const std::int64_t work = count > 3 ? std::atoi(words[3]) * std::int64_t{1000} : 0;
        char line[64];
        for (int i = 0; i < number; ++i) {
            if (mode == "ask" && write(1, "ping\n", 5) != 5) return 98;
            if (read(0, line, sizeof line) <= 0) return 97;
            if (work > 0) burn(burnt() + work);
            if (mode == "answer" && write(1, "pong\n", 5) != 5) return 98;
        }
    } else {
        return 99;
    }
    return 0;
}
