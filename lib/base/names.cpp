// SPDX-License-Identifier: MIT
#include <cerrno>
#include <cstring>

#include <ostream>

#include <proctor/capture.hpp>
#include <proctor/error.hpp>
#include <proctor/limits.hpp>
#include <proctor/pair.hpp>
#include <proctor/result.hpp>

#include "base/failure.hpp"

namespace proctor {

std::string_view to_string(Stage stage) noexcept {
    switch (stage) {
        case Stage::setup: return "setup";
        case Stage::cgroup: return "cgroup";
        case Stage::spawn: return "spawn";
        case Stage::start: return "start";
        case Stage::chdir: return "chdir";
        case Stage::credentials: return "credentials";
        case Stage::rlimit: return "rlimit";
        case Stage::exec: return "exec";
        case Stage::io: return "io";
        case Stage::spool: return "spool";
        case Stage::wait: return "wait";
        case Stage::cancelled: return "cancelled";
    }
    return "unknown";
}

std::string_view to_string(Stream stream) noexcept {
    switch (stream) {
        case STDIN: return "stdin";
        case STDOUT: return "stdout";
        case STDERR: return "stderr";
    }
    return "unknown";
}

std::ostream& operator<<(std::ostream& out, Stream stream) { return out << to_string(stream); }

std::string_view to_string(CaptureLimit limit) noexcept { return limit == CaptureLimit::bytes ? "bytes" : "lines"; }

std::string_view to_string(Reason reason) noexcept {
    switch (reason) {
        case Reason::time_limit: return "time_limit";
        case Reason::cpu_limit: return "cpu_limit";
        case Reason::block_limit: return "block_limit";
        case Reason::memory_limit: return "memory_limit";
        case Reason::process_limit: return "process_limit";
        case Reason::output_limit: return "output_limit";
    }
    return "unknown";
}

std::string_view verbose_reason(Reason reason) noexcept {
    switch (reason) {
        case Reason::time_limit: return "Time limit exceeded";
        case Reason::cpu_limit: return "CPU time limit exceeded";
        case Reason::block_limit: return "Blocked or deadlocked";
        case Reason::memory_limit: return "Memory usage limit exceeded";
        case Reason::process_limit: return "Too many processes started";
        case Reason::output_limit: return "Output limit exceeded";
    }
    return "Unknown reason";
}

std::string_view to_string(Side side) noexcept {
    switch (side) {
        case Side::first: return "first";
        case Side::second: return "second";
        case Side::tie: return "tie";
    }
    return "unknown";
}

std::ostream& operator<<(std::ostream& out, Side side) { return out << to_string(side); }

std::string_view to_string(Outcome outcome) noexcept {
    switch (outcome) {
        case Outcome::pass: return "pass";
        case Outcome::fail: return "fail";
        case Outcome::error: return "error";
    }
    return "unknown";
}

std::ostream& operator<<(std::ostream& out, Stage stage) { return out << to_string(stage); }
std::ostream& operator<<(std::ostream& out, Reason reason) { return out << to_string(reason); }
std::ostream& operator<<(std::ostream& out, Outcome outcome) { return out << to_string(outcome); }

bool operator==(const Error& left, const Error& right) {
    return left.stage == right.stage && left.error_number == right.error_number && left.message == right.message &&
           left.cure == right.cure && left.program_found == right.program_found;
}

std::ostream& operator<<(std::ostream& out, const Error& error) {
    out << error.stage << ": " << error.message;
    if (error.error_number != 0) {
        out << " (errno " << error.error_number << ", " << detail::describe_errno(error.error_number) << ')';
    }
    if (!error.cure.empty()) {
        out << " \u2014 " << error.cure;
    }
    return out;
}

namespace detail {

std::string describe_errno(int error_number) {
    char buffer[128];
    // The GNU form, which may return a constant instead of filling the buffer.
    return ::strerror_r(error_number, buffer, sizeof buffer);
}

std::string usual_cure(int error_number) {
    switch (error_number) {
        case EMFILE:
        case ENFILE: return "run fewer jobs at once, or raise the limit of open files (ulimit -n)";
        case ENOMEM:
        case ENOBUFS: return "free memory, or run fewer jobs at once";
        case ENOSPC: return "make room: on the disk, or for what epoll may watch (fs.epoll.max_user_watches)";
        case EBADF: return "close no descriptor that is not the program's own";
        case EPERM:
        case EACCES:
        case ENOSYS:
            return "look for a filter of system calls (seccomp) or a security module that forbids it to the host";
        default: return "look into the kernel's log (dmesg)";
    }
}

}  // namespace detail

}  // namespace proctor
