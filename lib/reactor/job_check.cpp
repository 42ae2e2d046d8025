// SPDX-License-Identifier: MIT
#include "reactor/job_check.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <string>
#include <string_view>

#include "process/processors.hpp"

namespace proctor::detail {

namespace {

using Complaint = std::optional<Error>;

Error complaint(int error_number, std::string message, std::string cure) {
    return Error{Stage::setup, error_number, std::move(message), std::move(cure)};
}

bool has_nul(std::string_view text) { return text.find('\0') != std::string_view::npos; }

bool is_open(int descriptor) { return ::fcntl(descriptor, F_GETFD) >= 0; }

Complaint check_command(const Job& job) {
    if (job.shell.empty() && job.argv.empty()) {
        return complaint(EINVAL, "the job names no program", "set argv or shell");
    }
    if (job.shell.empty() && job.argv.front().empty()) {
        // What execve(2) would answer, and a shell.
        return Error{Stage::exec, ENOENT, "the name of the program is empty", "give it the name or the path of one",
                     false};
    }
    if (has_nul(job.shell) || std::any_of(job.argv.begin(), job.argv.end(), has_nul)) {
        return complaint(EINVAL, "an argument holds a NUL byte",
                         "a program's arguments end at their first NUL: leave it out");
    }
    if (has_nul(job.cwd)) {
        return complaint(EINVAL, "cwd holds a NUL byte", "name a directory");
    }
    return {};
}

Complaint check_environment(const Environment& environment) {
    const auto bad_name = [](std::string_view name) {
        return name.empty() || has_nul(name) || name.find('=') != std::string_view::npos;
    };
    for (const auto& [name, value] : environment.set) {
        if (bad_name(name) || has_nul(value)) {
            return complaint(EINVAL, "the environment variable '" + name + "' cannot be set",
                             "a name is not empty and has no '='; neither name nor value has a NUL byte");
        }
    }
    return {};
}

Complaint check_borrowed(int descriptor, const char* what) {
    if (!is_open(descriptor)) {
        return complaint(
            EBADF, std::string(what) + " is to be descriptor " + std::to_string(descriptor) + ", which is not open",
            "open it before submit, and keep it open until the job has started");
    }
    return {};
}

Complaint check_path(const std::string& path, const char* what) {
    if (has_nul(path)) {
        return complaint(EINVAL, std::string("the path of ") + what + " holds a NUL byte", "name a file");
    }
    return {};
}

Complaint check_output(const Output& output, const char* what, bool may_join) {
    if (output.sink() == Output::Sink::with_output && !may_join) {
        return complaint(EINVAL, "standard output cannot go with itself", "with_output() is for error_output");
    }
    if (output.sink() == Output::Sink::forward || output.sink() == Output::Sink::inherit) {
        return check_borrowed(output.descriptor(), what);
    }
    return check_path(output.path(), what);
}

Complaint check_streams(const Job& job) {
    if (job.input.source() == Input::Source::descriptor || job.input.source() == Input::Source::inherit) {
        if (auto found = check_borrowed(job.input.descriptor(), "standard input")) {
            return found;
        }
    }
    if (job.input.source() == Input::Source::file) {
        if (auto found = check_path(job.input.value(), "standard input")) {
            return found;
        }
    }
    if (job.input.source() == Input::Source::lines && !job.input.next()) {
        return complaint(EINVAL, "the function that gives the lines of the input is empty", "set one");
    }
    if (job.input_delay && job.input.source() == Input::Source::inherit) {
        return complaint(EINVAL, "input that the child reads itself cannot be paced",
                         "feed it through the reactor: Input::descriptor() instead of Input::inherit()");
    }
    if (auto found = check_output(job.output, "standard output", false)) {
        return found;
    }
    return check_output(job.error_output, "standard error", true);
}

Complaint check_descriptors(const Job& job) {
    constexpr int most = 1 << 20;
    for (std::size_t i = 0; i < job.descriptors.size(); ++i) {
        const PassedDescriptor& passed = job.descriptors[i];
        if (auto found = check_borrowed(passed.from, "a passed descriptor")) {
            return found;
        }
        if (passed.to <= STDERR || passed.to > most) {
            return complaint(EINVAL, "a descriptor is to be passed as number " + std::to_string(passed.to),
                             "numbers from 3 up; 0, 1 and 2 are set by input, output and error_output");
        }
        for (std::size_t j = 0; j < i; ++j) {
            if (job.descriptors[j].to == passed.to) {
                return complaint(EINVAL, "two descriptors are to be passed as number " + std::to_string(passed.to),
                                 "give each a number of its own");
            }
        }
    }
    return {};
}

// Far beyond any use, and far enough from the end of the clock that a sum cannot overflow.
constexpr std::chrono::nanoseconds longest = std::chrono::hours(24 * 365 * 100);

Complaint check_times(const Job& job) {
    if (auto found = check_limits(job.limits, job.kill_after)) {
        return found;
    }
    if (job.drain_grace < std::chrono::nanoseconds::zero() || job.drain_grace > longest) {
        return complaint(EINVAL, "drain_grace is negative or longer than a hundred years", "0 does not wait at all");
    }
    if (job.input_delay && (*job.input_delay <= std::chrono::nanoseconds::zero() || *job.input_delay > longest)) {
        return complaint(EINVAL, "input_delay is zero, negative or longer than a hundred years",
                         "leave it unset for input that is not paced");
    }
    return {};
}

// Of a stream that the reactor does not see there is nothing to count.
bool is_seen(const Output& output) noexcept {
    return output.sink() == Output::Sink::capture || output.sink() == Output::Sink::forward;
}

Complaint check_capture(const Job& job) {
    const CaptureOptions& options = job.capture;
    if (options.max_size < 0) {
        return complaint(EINVAL, "max_size of the capture is negative", "0 keeps nothing in memory");
    }
    if (auto found = check_path(options.spool_directory, "the spool directory")) {
        return found;
    }
    const CaptureLimits& limits = options.limits;
    for (const auto& limit :
         {limits.max_stdout_lines, limits.max_stdout_bytes, limits.max_stderr_lines, limits.max_stderr_bytes}) {
        if (limit && *limit < 0) {
            return complaint(EINVAL, "a capture limit is negative", "0 keeps nothing; leave it unset to keep all");
        }
    }
    if (((!options.output || !is_seen(job.output)) && (limits.max_stdout_lines || limits.max_stdout_bytes)) ||
        ((!options.error_output || !is_seen(job.error_output)) &&
         (limits.max_stderr_lines || limits.max_stderr_bytes))) {
        return complaint(
            EINVAL, "a capture limit is set for a stream that is not recorded",
            "record the stream, and have it captured or forwarded; with CaptureOptions::keep false nothing "
            "of it is stored");
    }
    return {};
}

Complaint check_user(const User& user) {
    // To setresuid(2) and setresgid(2) it means "leave as it is", so a failed look-up would run a stranger as root.
    constexpr unsigned nobody_meant = std::numeric_limits<unsigned>::max();
    const bool bad_group = std::find(user.groups.begin(), user.groups.end(), nobody_meant) != user.groups.end();
    if (user.uid == nobody_meant || user.gid == nobody_meant || bad_group) {
        return complaint(EINVAL, "a user or group is 4294967295, which is no id", "look at where the id comes from");
    }
    return {};
}

Complaint check_process(const Job& job) {
    if (job.user) {
        if (auto found = check_user(*job.user)) {
            return found;
        }
    }
    if (job.nice && (*job.nice < -20 || *job.nice > 19)) {
        return complaint(EINVAL, "nice is " + std::to_string(*job.nice), "it goes from -20 to 19");
    }
    if (job.umask && *job.umask > 0777) {
        return complaint(EINVAL, "umask has bits beyond the permissions", "it goes from 0 to 0777 (octal)");
    }
    if (std::any_of(job.affinity.begin(), job.affinity.end(),
                    [](unsigned each) { return each >= processor_numbers_end; })) {
        return complaint(EINVAL, "affinity names a processor beyond 8191", "count processors from 0");
    }
    if (!job.affinity.empty() && job.placement != Placement::any()) {
        return complaint(EINVAL, "the job has both an affinity and a placement",
                         "leave one of them unset: affinity names the processors, placement has them chosen");
    }
    if (job.parent_death_signal && (*job.parent_death_signal < 1 || *job.parent_death_signal > 64)) {
        return complaint(EINVAL, "parent_death_signal is " + std::to_string(*job.parent_death_signal),
                         "name a signal from 1 to 64");
    }
    const ResourceLimits& limits = job.resource_limits;
    for (const auto& limit : {limits.core, limits.file_size, limits.open_files, limits.stack}) {
        if (limit && *limit < 0) {
            return complaint(EINVAL, "a resource limit is negative", "leave it unset to keep the host's");
        }
    }
    return {};
}

}  // namespace

std::optional<Error> check_limits(const RunLimits& limits, std::optional<std::chrono::nanoseconds> kill_after) {
    for (const auto& [limit, name] :
         {std::pair(limits.time, "time"), std::pair(limits.cpu_time, "CPU time"), std::pair(limits.block, "block")}) {
        if (limit && (*limit <= std::chrono::nanoseconds::zero() || *limit > longest)) {
            return complaint(EINVAL,
                             std::string("the ") + name + " limit is zero, negative or longer than a hundred years",
                             "leave it unset for no limit");
        }
    }
    for (const auto& [too_small, name] : {std::pair(limits.memory && *limits.memory <= 0, "memory"),
                                          std::pair(limits.processes && *limits.processes <= 0, "process"),
                                          std::pair(limits.tasks && *limits.tasks <= 0, "task")}) {
        if (too_small) {
            return complaint(EINVAL, std::string("the ") + name + " limit is zero or negative",
                             "leave it unset for no limit");
        }
    }
    if (kill_after && (*kill_after < std::chrono::nanoseconds::zero() || *kill_after > longest)) {
        return complaint(EINVAL, "kill_after is negative or longer than a hundred years",
                         "leave it unset to kill without SIGTERM first");
    }
    return {};
}

std::optional<Error> check_job(const Job& job) {
    for (auto* const check :
         {+[](const Job& each) { return check_command(each); },
          +[](const Job& each) { return check_environment(each.environment); },
          +[](const Job& each) { return check_streams(each); },
          +[](const Job& each) { return check_descriptors(each); }, +[](const Job& each) { return check_times(each); },
          +[](const Job& each) { return check_capture(each); }, +[](const Job& each) { return check_process(each); }}) {
        if (auto found = check(job)) {
            return found;
        }
    }
    return {};
}

}  // namespace proctor::detail
