// SPDX-License-Identifier: MIT
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <iterator>
#include <limits>
#include <string_view>

#include "process/launcher.hpp"
#include "process/processors.hpp"

namespace proctor::detail {

namespace {

constexpr std::string_view default_path = "/bin:/usr/bin";  // execvp(3), where PATH is not set

std::string_view name_of(std::string_view assignment) { return assignment.substr(0, assignment.find('=')); }

bool is_replaced(const Environment& environment, std::string_view name) {
    return std::find(environment.unset.begin(), environment.unset.end(), name) != environment.unset.end() ||
           std::any_of(environment.set.begin(), environment.set.end(),
                       [&](const auto& variable) { return variable.first == name; });
}

std::string_view path_of(const Environment& environment) {
    for (auto variable = environment.set.rbegin(); variable != environment.set.rend(); ++variable) {
        if (variable->first == "PATH") {
            return variable->second;
        }
    }
    const bool unset = is_replaced(environment, "PATH") || !environment.inherit;
    const char* const inherited = unset ? nullptr : ::getenv("PATH");
    return inherited != nullptr ? inherited : default_path;
}

// Which one the kernel refused is not told. Each that is above the host's hard limit would have been.
std::string refused_limit(const ResourceLimits& limits) {
    const auto is_above = [](int resource, const std::optional<Bytes>& value) {
        rlimit host{};
        return value && ::getrlimit(resource, &host) == 0 && static_cast<rlim_t>(*value) > host.rlim_max;
    };
    if (is_above(RLIMIT_CORE, limits.core)) return "the limit of core files";
    if (is_above(RLIMIT_FSIZE, limits.file_size))
        return "the limit of " + std::to_string(*limits.file_size) + " bytes a file";
    if (is_above(RLIMIT_STACK, limits.stack))
        return "the limit of " + std::to_string(*limits.stack) + " bytes of stack";
    if (is_above(RLIMIT_NOFILE, limits.open_files))
        return "the limit of " + std::to_string(*limits.open_files) + " open files";
    return "a resource limit";
}

}  // namespace

std::string program_of(const Job& job) { return job.shell.empty() ? job.argv.front() : "/bin/sh"; }

Expected<std::unique_ptr<LaunchSlot>> LaunchSlot::create() {
    auto slot = std::unique_ptr<LaunchSlot>(new LaunchSlot());
    void* const stack =
        ::mmap(nullptr, stack_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED) {
        return failure(Stage::spawn, errno, "no memory for a starting child's stack", "free memory");
    }
    slot->stack_ = stack;
    return slot;
}

LaunchSlot::~LaunchSlot() {
    if (stack_ != nullptr) {
        ::munmap(stack_, stack_size);
    }
}

void* LaunchSlot::stack_top() const noexcept { return static_cast<char*>(stack_) + stack_size; }

bool LaunchSlot::occupied() const noexcept {
    const bool alive = record_.alive != 0;
    std::atomic_thread_fence(std::memory_order_acquire);  // what the child wrote before it left
    return alive;
}

std::optional<Instant> LaunchSlot::stamp() const noexcept {
    if (about_ != About::job) {
        return std::nullopt;
    }
    const std::int64_t stamp_ns = std::atomic_ref(const_cast<std::int64_t&>(record_.stamp_ns)).load();
    if (stamp_ns == 0) {
        return std::nullopt;
    }
    return Instant{Nanoseconds(stamp_ns)};
}

void LaunchSlot::clear_record() {
    const LaunchRecord* const next_peer = record_.next_peer;
    const LaunchRecord* const peers = record_.peers;
    record_ = {};
    record_.next_peer = next_peer;
    record_.peers = peers;
    strings_.clear();
}

void LaunchSlot::prepare(const Job& job, std::vector<DescriptorMove> moves, std::uint64_t open_files_soft,
                         std::uint64_t open_files_hard) {
    clear_record();
    about_ = About::job;
    const std::size_t arguments = strings_.position();
    prepare_arguments(job);
    const std::size_t environment = strings_.position();
    prepare_environment(job);
    const std::size_t candidates = strings_.position();
    prepare_candidates(job);
    const std::size_t directory = strings_.position();
    strings_.add(job.cwd);
    strings_.seal();
    record_.argv = strings_.list(arguments);
    record_.environment = strings_.list(environment);
    record_.candidates = strings_.list(candidates);
    record_.directory = job.cwd.empty() ? nullptr : *strings_.list(directory);
    prepare_descriptors(std::move(moves));
    prepare_rlimits(job.resource_limits, open_files_soft, open_files_hard);
    prepare_identity(job);
}

void LaunchSlot::prepare_arguments(const Job& job) {
    if (!job.shell.empty()) {
        for (const char* const word : {"/bin/sh", "-c", job.shell.c_str(), "sh"}) {
            strings_.add(word);
        }
    }
    for (const std::string& argument : job.argv) {
        strings_.add(argument);
    }
    strings_.end_list();
}

void LaunchSlot::prepare_environment(const Job& job) {
    for (char** each = environ; job.environment.inherit && each != nullptr && *each != nullptr; ++each) {
        if (!is_replaced(job.environment, name_of(*each))) {
            strings_.add(*each);
        }
    }
    const auto& variables = job.environment.set;
    for (auto each = variables.begin(); each != variables.end(); ++each) {
        // Of a name that is set twice the last counts: getenv(3) in the child would find the first.
        const auto same_name = [&](const auto& later) { return later.first == each->first; };
        if (std::none_of(std::next(each), variables.end(), same_name)) {
            strings_.begin();
            strings_.add_part(each->first);
            strings_.add_part("=");
            strings_.add_part(each->second);
            strings_.end();
        }
    }
    strings_.end_list();
}

void LaunchSlot::prepare_candidates(const Job& job) {
    const std::string program = program_of(job);
    if (program.find('/') != std::string_view::npos) {
        strings_.add(program);
    } else {
        for (std::string_view rest = path_of(job.environment);;) {
            const std::size_t colon = rest.find(':');
            const std::string_view directory = rest.substr(0, colon);
            strings_.begin();
            strings_.add_part(directory.empty() ? "." : directory);
            strings_.add_part("/");
            strings_.add_part(program);
            strings_.end();
            if (colon == std::string_view::npos) {
                break;
            }
            rest.remove_prefix(colon + 1);
        }
    }
    strings_.end_list();
}

void LaunchSlot::prepare_descriptors(std::vector<DescriptorMove> moves) {
    moves_ = std::move(moves);
    std::sort(moves_.begin(), moves_.end(), [](const auto& left, const auto& right) { return left.to < right.to; });
    record_.moves = moves_.data();
    record_.move_count = static_cast<unsigned>(moves_.size());
    record_.above_targets = moves_.empty() ? 0 : moves_.back().to + 1;
    closed_ranges_.clear();
    unsigned next = 0;
    for (const DescriptorMove& move : moves_) {
        const auto target = static_cast<unsigned>(move.to);
        if (next < target) {
            closed_ranges_.push_back({next, target - 1});
        }
        next = target + 1;
    }
    closed_ranges_.push_back({next, UINT_MAX});
    record_.closed_ranges = closed_ranges_.data();
    record_.closed_range_count = static_cast<unsigned>(closed_ranges_.size());
}

void LaunchSlot::prepare_rlimits(const ResourceLimits& limits, std::uint64_t soft, std::uint64_t hard) {
    rlimits_.clear();
    const auto set = [&](int resource, std::optional<Bytes> value) {
        if (value) {
            const auto both = static_cast<std::uint64_t>(*value);
            rlimits_.push_back({.soft = both, .hard = both, .resource = resource});
        }
    };
    set(RLIMIT_CORE, limits.core);
    set(RLIMIT_FSIZE, limits.file_size);
    set(RLIMIT_STACK, limits.stack);
    if (limits.open_files) {
        set(RLIMIT_NOFILE, limits.open_files);
    } else if (soft != 0) {
        // What the host started with. Not required: a host without rights may have lowered its hard limit since.
        rlimits_.push_back({.soft = soft, .hard = hard, .resource = RLIMIT_NOFILE, .required = 0});
    }
    record_.rlimits = rlimits_.data();
    record_.rlimit_count = static_cast<unsigned>(rlimits_.size());
}

void LaunchSlot::prepare_identity(const Job& job) {
    constexpr unsigned bits = sizeof(unsigned long) * CHAR_BIT;
    affinity_.clear();
    for (const unsigned processor : job.affinity) {
        affinity_.resize(std::max<std::size_t>(affinity_.size(), processor / bits + 1));
        affinity_[processor / bits] |= 1UL << (processor % bits);
    }
    record_.affinity = affinity_.data();
    record_.affinity_bytes = static_cast<unsigned>(affinity_.size() * sizeof(unsigned long));
    if (job.user) {
        groups_ = job.user->groups;
        record_.has_user = true;
        record_.uid = job.user->uid;
        record_.gid = job.user->gid.value_or(job.user->uid);
        record_.groups = groups_.data();
        record_.group_count = static_cast<unsigned>(groups_.size());
    }
    record_.has_nice = job.nice.has_value();
    record_.nice = job.nice.value_or(0);
    record_.has_umask = job.umask.has_value();
    record_.umask = job.umask.value_or(0);
    record_.new_session = job.new_session;
    record_.no_new_privileges = !job.allow_new_privileges;
    record_.parent_death_signal = job.parent_death_signal.value_or(0);
    record_.host_pid = job.parent_death_signal ? ::getpid() : 0;
}

// Not required: the cpuset may have none of those.
void LaunchSlot::keep_affinity() {
    affinity_.resize(processor_numbers_end / CHAR_BIT / sizeof(unsigned long));
    const long bytes = ::syscall(SYS_sched_getaffinity, 0, affinity_.size() * sizeof(unsigned long), affinity_.data());
    record_.affinity = affinity_.data();
    record_.affinity_bytes = bytes > 0 ? static_cast<unsigned>(bytes) : 0;
    record_.affinity_required = false;
}

// Not by setsid: with all signals blocked a terminal cannot reach it anyway, and a session costs a scheduling group of
// its own where the kernel makes those (CONFIG_SCHED_AUTOGROUP). A job that stays in the host's session must find its
// keeper there.
void LaunchSlot::prepare_own(const OwnProgram& program) {
    clear_record();
    about_ = About::own_program;
    own_path_ = program.path;
    const std::size_t arguments = strings_.position();
    for (const std::string& word : program.words) {
        strings_.add(word);
    }
    strings_.end_list();
    const std::size_t environment = strings_.position();
    strings_.end_list();
    const std::size_t candidates = strings_.position();
    strings_.add(program.path);
    strings_.end_list();
    strings_.seal();
    record_.argv = strings_.list(arguments);
    record_.environment = strings_.list(environment);
    record_.candidates = strings_.list(candidates);
    prepare_descriptors(program.moves);
    record_.parent_death_signal = keeper_parent_death_signal;
    record_.host_pid = ::getpid();
    record_.signals_stay_blocked = true;
}

void LaunchSlot::adopt(const KeeperReport& report) noexcept {
    about_ = (report.news & keeper_refused) != 0 ? About::foreign_keeper : About::job;
    record_.stamp_ns = report.stamp_ns;
    record_.failed_step = report.failed_step;
    record_.error_number = report.error_number;
    record_.program_found = report.program_found;
}

Error LaunchSlot::own_error() const {
    const auto error = [&](int error_number, std::string message, std::string cure) {
        return Error{Stage::spawn, error_number, std::move(message), std::move(cure)};
    };
    switch (record_.failed_step) {
        case ChildStep::none:
            return error(0, own_path_ + " died before it came to its work",
                         "look whether it is the file proctor-keeper that belongs to this version, and for a killer: "
                         "kill(1), or the kernel's out-of-memory killer (dmesg)");
        case ChildStep::descriptors:
            return error(record_.error_number, "the child cannot arrange its descriptors",
                         "pass lower descriptor numbers, or raise the limit of open files (ulimit -n)");
        case ChildStep::exec:
            return error(record_.error_number, "the keeper program " + own_path_ + " cannot be run",
                         "install proctor wholly, or name the file proctor-keeper in the options");
        default: return error(record_.error_number, own_path_ + " cannot be started", usual_cure(record_.error_number));
    }
}

std::optional<Error> LaunchSlot::child_error(const Job& job) const {
    if (about_ == About::foreign_keeper) {
        return Error{Stage::spawn, 0, "the keeper program " + own_path_ + " is of another version than the library",
                     "install proctor wholly, or name the file proctor-keeper of this version in the options"};
    }
    if (about_ == About::own_program) {
        return own_error();
    }
    const auto error = [&](Stage stage, std::string message, std::string cure) {
        return Error{stage, record_.error_number, std::move(message), std::move(cure), record_.program_found != 0};
    };
    const std::string program = program_of(job);
    const User user = job.user.value_or(User{});
    switch (record_.failed_step) {
        case ChildStep::clone: return clone_error(record_.error_number);
        case ChildStep::none:
            if (stamp()) {
                return std::nullopt;
            }
            return error(Stage::start, "the new process died before it came to run " + program,
                         "look for a killer: kill(1), or the kernel's out-of-memory killer (dmesg)");
        case ChildStep::descriptors:
            return error(Stage::spawn, "the child cannot arrange its descriptors",
                         "pass lower descriptor numbers, or raise the limit of open files (ulimit -n)");
        case ChildStep::session:
            return error(Stage::start, "the child cannot leave the host's process group",
                         usual_cure(record_.error_number));
        case ChildStep::directory:
            return error(Stage::chdir, "cannot enter the working directory " + job.cwd,
                         "name a directory that exists and that the host may enter");
        case ChildStep::rlimits:
            return error(Stage::rlimit, refused_limit(job.resource_limits) + " cannot be set",
                         "stay below the hard limits of the host (ulimit -H -a), or give it CAP_SYS_RESOURCE");
        case ChildStep::nice:
            return error(Stage::credentials, "cannot set the nice value " + std::to_string(job.nice.value_or(0)),
                         "a value below the host's needs CAP_SYS_NICE");
        case ChildStep::affinity:
            if (job.placement != Placement::any()) {
                return error(Stage::credentials, "cannot bind the child to the processors of its placement",
                             "the host's processors have changed since the reactor was made, or the cgroup for jobs "
                             "has fewer (cpuset.cpus.effective): make a new reactor, or use affinity");
            }
            return error(Stage::credentials, "cannot bind the child to the processors of its affinity",
                         "name processors that the host may use itself (taskset -p $$)");
        case ChildStep::groups:
        case ChildStep::gid:
        case ChildStep::uid:
            return error(Stage::credentials,
                         "cannot become user " + std::to_string(user.uid) + ", group " +
                             std::to_string(user.gid.value_or(user.uid)),
                         "the host needs CAP_SETUID and CAP_SETGID (be root), or leave the job's user unset");
        case ChildStep::parent_death_signal:
            return error(Stage::start, "the parent death signal cannot be armed", "name a signal from 1 to 64");
        case ChildStep::no_new_privileges:
            return error(Stage::credentials, "PR_SET_NO_NEW_PRIVS is refused", usual_cure(record_.error_number));
        case ChildStep::exec: return exec_error(program);
    }
    return std::nullopt;
}

Error LaunchSlot::exec_error(const std::string& program) const {
    const auto error = [&](std::string message, std::string cure) {
        return Error{Stage::exec, record_.error_number, std::move(message), std::move(cure),
                     record_.program_found != 0};
    };
    switch (record_.error_number) {
        case ENOENT:
            return record_.program_found != 0
                       ? error("the interpreter that " + program + " names does not exist",
                               "correct its first line (#!…), or install the interpreter or dynamic loader")
                       : error("there is no program " + program, program.find('/') == std::string::npos
                                                                     ? "install it, or correct its name or PATH"
                                                                     : "correct its path");
        case ENOTDIR: return error("a part of the path " + program + " is not a directory", "correct its path");
        case EACCES:
            return error(program + " cannot be executed",
                         "check that it is a file and no directory; chmod +x it; see that its directories may be "
                         "entered, and that its file "
                         "system is not mounted noexec");
        case ENOEXEC:
            return error(program + " has no format that the kernel can run",
                         "begin a script with a line such as #!/bin/sh, or run it by its interpreter");
        case ETXTBSY: return error(program + " is open for writing", "close it before it is run");
        case ELOOP: return error("too many symbolic links on the path " + program, "correct its path");
        case ENAMETOOLONG: return error("the path " + program + " is too long", "shorten it");
        case E2BIG:
            return error("arguments and environment of " + program + " are too long",
                         "pass less: one may have 128 KiB, and all together a quarter of the stack limit, which may be "
                         "raised (execve(2))");
        case ENOMEM: return error("no memory to run " + program, "free memory");
        default: return error("cannot run " + program, usual_cure(record_.error_number));
    }
}

}  // namespace proctor::detail
