// SPDX-License-Identifier: MIT
//
// The program that `compare` runs, in one of a few ways. Static, so that it starts quickly.
//
//     compare_child flood BYTES    writes so much to stdout, 64 KiB by each write
//     compare_child lines N        writes "0\n", "1\n", … to stdout and stderr in turn, each by one write
//     compare_child echo [CPU]     writes each line that it reads; on that processor, if it is given
//     compare_child spin           for ever
//     compare_child sleep          for ever
//     compare_child wait3          until end of file at descriptor 3
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace {

constexpr std::size_t piece_size = 65'536;
char piece[piece_size];

bool write_all(int fd, const char* bytes, std::size_t count) {
    while (count > 0) {
        const ssize_t written = write(fd, bytes, count);
        if (written < 0) return false;
        bytes += written;
        count -= static_cast<std::size_t>(written);
    }
    return true;
}

bool flood(std::uint64_t bytes) {
    std::memset(piece, 'x', sizeof piece);
    for (std::uint64_t left = bytes; left > 0;) {
        const std::size_t count = left < piece_size ? static_cast<std::size_t>(left) : piece_size;
        if (!write_all(STDOUT_FILENO, piece, count)) return false;
        left -= count;
    }
    return true;
}

bool write_lines(std::uint64_t count) {
    for (std::uint64_t line = 0; line < count; ++line) {
        char text[24];
        char* const end = std::to_chars(text, text + 20, line).ptr;
        *end = '\n';
        const int fd = line % 2 == 0 ? STDOUT_FILENO : STDERR_FILENO;
        if (!write_all(fd, text, static_cast<std::size_t>(end + 1 - text))) return false;
    }
    return true;
}

bool pin_to(int processor) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    return sched_setaffinity(0, sizeof set, &set) == 0;
}

// Lines come one at a time, so what a read gives is one.
bool echo() {
    for (;;) {
        const ssize_t count = read(STDIN_FILENO, piece, sizeof piece);
        if (count <= 0) return count == 0;
        if (!write_all(STDOUT_FILENO, piece, static_cast<std::size_t>(count))) return false;
    }
}

bool wait_for_end_of(int fd) {
    for (;;) {
        const ssize_t count = read(fd, piece, sizeof piece);
        if (count <= 0) return count == 0;
    }
}

[[noreturn]] void spin() {
    for (volatile unsigned turns = 0;;) turns = turns + 1;
}

[[noreturn]] void sleep_for_ever() {
    for (;;) pause();
}

bool run(std::string_view verb, const char* argument) {
    if (verb == "flood" && argument != nullptr) return flood(std::strtoull(argument, nullptr, 10));
    if (verb == "lines" && argument != nullptr) return write_lines(std::strtoull(argument, nullptr, 10));
    if (verb == "echo") return (argument == nullptr || pin_to(std::atoi(argument))) && echo();
    if (verb == "spin") spin();
    if (verb == "sleep") sleep_for_ever();
    if (verb == "wait3") return wait_for_end_of(3);
    return false;
}

}  // namespace

int main(int count, char** words) {
    // A measurement that fails leaves nobody behind.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    return count > 1 && run(words[1], count > 2 ? words[2] : nullptr) ? 0 : 1;
}
