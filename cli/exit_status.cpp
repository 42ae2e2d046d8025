// SPDX-License-Identifier: MIT
#include "exit_status.hpp"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <string_view>

#include <fmt/format.h>

namespace proctor::cli {

namespace {

int error_status(const Error& error) {
    if (error.stage != Stage::exec) {
        return failure_status;
    }
    switch (error.error_number) {
        case ENOENT: return error.program_found ? cannot_run_status : not_found_status;
        case ENOTDIR: return not_found_status;
        case EACCES:
        case ENOEXEC:
        case EISDIR:
        case ETXTBSY:
        case ELOOP: return cannot_run_status;
        default: return failure_status;
    }
}

// Tasks that were too many are a process_limit, too.
std::string_view option_of(Reason reason, const RunLimits& limits) {
    switch (reason) {
        case Reason::time_limit: return "--time-limit";
        case Reason::cpu_limit: return "--cpu-limit";
        case Reason::block_limit: return "--block-limit";
        case Reason::memory_limit: return "--memory-limit";
        case Reason::process_limit:
            return !limits.tasks       ? "--process-limit"
                   : !limits.processes ? "--task-limit"
                                       : "--process-limit or --task-limit";
        case Reason::output_limit: break;
    }
    return "a limit of its output";
}

// What it had used by then, or did; empty if that is not known, or says nothing.
std::string describe_use(const RunResult& result, const RunLimits& limits) {
    const auto seconds = [](std::chrono::nanoseconds time) { return std::chrono::duration<double>(time).count(); };
    const Usage usage = result.usage.value_or(Usage{});
    switch (*result.reason) {
        case Reason::time_limit: return fmt::format(", after {:.3f} s", seconds(usage.wctime));
        case Reason::cpu_limit:
            return fmt::format(", after {:.3f} s of processor time", seconds(usage.utime + usage.stime));
        case Reason::block_limit: return result.blocked_in.empty() ? "" : fmt::format(" ({})", result.blocked_in);
        case Reason::memory_limit: {
            // Looks leave the pages of files out, which usage.mem counts.
            const auto held = result.sources.mem == "memory.peak" ? usage.mem : usage.mem_anon;
            return held ? fmt::format(", at {} bytes", *held) : "";
        }
        case Reason::process_limit:
            return usage.proc && !limits.tasks ? fmt::format(", with {} processes at once", *usage.proc) : "";
        case Reason::output_limit: break;
    }
    return {};
}

std::string name(int signal) { return fmt::format("signal {} ({})", signal, ::strsignal(signal)); }

std::string describe_signal(int signal, const ResourceLimits& resources) {
    switch (signal) {
        case SIGPIPE:
            // The ordinary end of a command whose reader has had enough; shells say nothing either.
            return {};
        case SIGKILL:
            return fmt::format(
                "COMMAND was ended by {}, which proctor did not send — look whether the system ran out of "
                "memory (dmesg), or who sent it",
                name(signal));
        case SIGABRT:
        case SIGBUS:
        case SIGFPE:
        case SIGILL:
        case SIGSEGV:
            return fmt::format("COMMAND was ended by {}, a fault of its own — {}run it under a debugger to see where",
                               name(signal),
                               signal == SIGSEGV && resources.stack ? "look whether --stack is too small, or " : "");
        case SIGXFSZ:
            return fmt::format("COMMAND was ended by {} — write less to one file, or raise {}", name(signal),
                               resources.file_size ? "--file-size" : "the limit that proctor has itself (ulimit -f)");
        default:
            return fmt::format(
                "COMMAND was ended by {}, which proctor did not send — look who did, or whether it was "
                "COMMAND itself",
                name(signal));
    }
}

}  // namespace

int exit_status(const RunResult& result, std::optional<int> stopped_by) {
    if (result.reason) {
        return limit_status;
    }
    if (stopped_by) {
        return signal_status_base + *stopped_by;
    }
    if (result.error) {
        return error_status(*result.error);
    }
    if (result.signal) {
        return signal_status_base + *result.signal;
    }
    return result.exit_code.value_or(failure_status);
}

std::string describe_ending(const RunResult& result, std::optional<int> stopped_by, const GivenLimits& given) {
    if (const auto& limit = result.output_limit) {
        return fmt::format(
            "Output limit exceeded: COMMAND was ended at byte {} of {}, by --{}-{} — raise the limit, or "
            "leave it out, if it needs more",
            limit->offset, limit->stream == STDOUT ? "standard output" : "standard error",
            limit->stream == STDOUT ? "stdout" : "stderr", to_string(limit->limit));
    }
    if (result.reason) {
        return fmt::format("{}: COMMAND was ended by {}{} — raise the limit, or leave it out, if it needs more",
                           verbose_reason(*result.reason), option_of(*result.reason, given.limits),
                           describe_use(result, given.limits));
    }
    if (stopped_by) {
        return fmt::format("told to stop by {}: COMMAND and its processes were ended", name(*stopped_by));
    }
    if (result.signal) {
        return describe_signal(*result.signal, given.resources);
    }
    if (result.exit_code.value_or(0) != 0) {
        return fmt::format("COMMAND exited with status {}, its own — what it says above, or its manual, tells why",
                           *result.exit_code);
    }
    if (result.limit_in_grace) {
        return fmt::format("what COMMAND left behind was ended by {}, and COMMAND has passed",
                           option_of(*result.limit_in_grace, given.limits));
    }
    return {};
}

}  // namespace proctor::cli
