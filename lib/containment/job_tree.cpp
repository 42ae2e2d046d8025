// SPDX-License-Identifier: MIT
#include "containment/job_tree.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <limits>
#include <utility>

#include "accounting/describe_waits.hpp"

namespace proctor::detail {

namespace {

// Behind a limit of processes, which is kept by looking, stands one of tasks, which the kernel keeps: a bomb must not
// fill the machine between two looks. Generous, since a process may have many threads.
constexpr std::uint64_t tasks_per_process = 64;
constexpr std::uint64_t least_task_bound = 1024;

timeval to_timeval(std::int64_t nanoseconds) noexcept {
    return {nanoseconds / 1'000'000'000, nanoseconds % 1'000'000'000 / 1000};
}

}  // namespace

Expected<void> JobTree::prepare(const Job& job) {
    has_shell_ = !job.shell.empty();
    process_limit_ = job.limits.processes;
    memory_.emplace(job.mem_maps_filter, job.limits.memory);
    if (tools_.groups != nullptr) {
        if (auto taken = take_group(job); !taken) {
            return taken;
        }
    }
    if (auto lacking = missing(job.require)) {
        return tl::unexpected<Error>(std::move(*lacking));
    }
    return tools_.proc ? Expected<void>() : check_without_proc(job.limits);
}

// What descends from the main process is not seen then, and a group alone tells what it used and not how many it is.
Expected<void> JobTree::check_without_proc(const RunLimits& limits) const {
    const bool looks = limits.processes || (limits.memory && !memory_by_kernel_) || (limits.tasks && !tasks_by_kernel_);
    if (looks) {
        return failure(Stage::setup, ENOENT, "limits of memory, processes or tasks cannot be kept without /proc",
                       "mount /proc of this pid namespace");
    }
    if (group_ == nullptr && (limits.cpu_time || limits.block)) {
        return failure(Stage::setup, ENOENT, "limits of processor time or blocking cannot be kept without /proc",
                       "mount /proc of this pid namespace, or give the reactor a cgroup");
    }
    return {};
}

Expected<void> JobTree::take_group(const Job& job) {
    const Controllers& controllers = tools_.groups->controllers();
    auto group = tools_.groups->acquire(false);
    if (!group) {
        return tl::unexpected<Error>(std::move(group.error()));
    }
    group_ = *group;
    if (auto opened = group_->open_for_watching(); !opened) {
        return opened;
    }
    if (job.limits.memory && controllers.memory) {
        if (auto limited = group_->limit_memory(*job.limits.memory); !limited) {
            return limited;
        }
        memory_by_kernel_ = true;
    }
    std::optional<std::uint64_t> tasks;
    if (job.limits.tasks) {
        tasks = static_cast<std::uint64_t>(*job.limits.tasks);
    } else if (job.limits.processes) {
        tasks = std::max(static_cast<std::uint64_t>(*job.limits.processes) * tasks_per_process, least_task_bound);
    }
    if (tasks && controllers.pids) {
        if (auto limited = group_->limit_tasks(*tasks); !limited) {
            return limited;
        }
        tasks_by_kernel_ = true;
    }
    return {};
}

std::optional<Error> JobTree::missing(const Require& require) const {
    const auto lacking = [&](const char* what) {
        Error error{Stage::cgroup, 0, std::string(what) + " is required and cannot be had", ""};
        if (tools_.no_groups) {
            error.error_number = tools_.no_groups->error_number;
            error.message += ": " + tools_.no_groups->message;
            error.cure = tools_.no_groups->cure;
        } else if (tools_.groups != nullptr) {
            error.cure = tools_.groups->cure();
        } else {
            error.cure = require.kill ? "let the containment be automatic, cgroup or keeper"
                                      : "let the containment be automatic or cgroup";
        }
        return error;
    };
    if (group_ == nullptr) {
        if (require.cgroup) return lacking("a cgroup");
        if (require.cpu) return lacking("the processor time of all descendants (cpu.stat)");
        if (require.kill && !tools_.keeper) return lacking("a kill that nobody escapes (cgroup.kill or a keeper)");
    }
    const Controllers controllers = group_ != nullptr ? tools_.groups->controllers() : Controllers{};
    if (require.memory && !controllers.memory) return lacking("a memory limit of the kernel (memory.max)");
    if (require.tasks && !controllers.pids) return lacking("a task limit of the kernel (pids.max)");
    return std::nullopt;
}

void JobTree::begin(const ChildProcess& child) noexcept {
    child_ = &child;
    if (kept()) {
        return;
    }
    kind_ = group_ != nullptr ? Kind::cgroup : Kind::tree;
    if (group_ != nullptr) {
        group_->note_started();
    }
    const BirthWatch::Moment birth = tools_.births.note_own(child.pid());
    if (kind_ == Kind::tree) {
        processes_.emplace(child.pid());
        birth_ = alone_at_ = birth;
    }
}

void JobTree::begin_kept(ChildProcess keeper, Keeper control) noexcept {
    kind_ = Kind::keeper;
    tools_.births.note_own(keeper.pid());
    processes_.emplace(keeper.pid(), ProcessTree::Root::perhaps_hidden);
    keeper_ = std::move(keeper);
    control_ = std::move(control);
}

Keeper::Received JobTree::receive(KeeperMessage& message) noexcept {
    const auto received = control_.receive(message);
    if (received == Keeper::Received::report) {
        report_ = message.report;
        told_ |= message.report.news;
    }
    return received;
}

ExitStatus JobTree::told_exit() const noexcept {
    ExitStatus status;
    if (WIFSIGNALED(report_.wait_status)) {
        status.signal = WTERMSIG(report_.wait_status);
    } else {
        status.exit_code = WEXITSTATUS(report_.wait_status);
    }
    const KeeperUsage& told = report_.main;
    status.usage.ru_utime = to_timeval(told.user_ns);
    status.usage.ru_stime = to_timeval(told.system_ns);
    status.usage.ru_maxrss = static_cast<long>(told.peak_bytes / 1024);
    status.usage.ru_minflt = static_cast<long>(told.minor_faults);
    status.usage.ru_majflt = static_cast<long>(told.major_faults);
    status.usage.ru_inblock = static_cast<long>(told.blocks_in);
    status.usage.ru_oublock = static_cast<long>(told.blocks_out);
    status.usage.ru_nvcsw = static_cast<long>(told.voluntary_switches);
    status.usage.ru_nivcsw = static_cast<long>(told.involuntary_switches);
    return status;
}

void JobTree::adopt(const ChildProcess& child, const RunLimits& limits, bool mem_maps_filter) noexcept {
    child_ = &child;
    kind_ = Kind::tree;
    adopted_ = true;
    processes_.emplace(child.pid());
    memory_.emplace(mem_maps_filter, limits.memory);
    // Known from now on by when it began: others reap it, and its number may be somebody else's at the next look.
    find_processes();
}

void JobTree::raise_limits(const RunLimits& limits) noexcept {
    process_limit_ = limits.processes;
    if (memory_) {
        memory_->set_limit(limits.memory);
    }
}

void JobTree::clear() noexcept {
    if (group_ != nullptr) {
        tools_.groups->give_back(*group_);
    }
    group_ = nullptr;
    kind_ = Kind::none;
    memory_by_kernel_ = tasks_by_kernel_ = has_shell_ = adopted_ = looked_ = asked_to_end_ = empty_ = false;
    child_ = nullptr;
    keeper_ = {};
    control_.close();
    report_ = {};
    told_ = 0;
    birth_.reset();
    alone_at_.reset();
    processes_.reset();
    memory_.reset();
    cpu_ = {};
    cpu_seen_ = {};
    most_processes_ = 0;
    tasks_ = 1;
}

std::string_view JobTree::containment() const noexcept {
    switch (kind_) {
        case Kind::none: return "none";
        case Kind::cgroup: return "cgroup";
        case Kind::keeper: return "keeper";
        case Kind::tree: return "tree";
    }
    return "none";
}

std::string_view JobTree::kill_mechanism() const noexcept {
    if (kind_ == Kind::cgroup) {
        return tools_.groups->kill_file();
    }
    if (kept()) {
        return "keeper";
    }
    return adopted_ ? "pidfd" : "group";
}

bool JobTree::sees_keeper() const noexcept { return kept() && processes_->find(keeper_.pid()) != nullptr; }

// What its keeper uses is not the job's.
Nanoseconds JobTree::seen_by_looks() const noexcept {
    const Nanoseconds own =
        sees_keeper() ? process_cpu(keeper_.pid()).value_or(Nanoseconds::zero()) : Nanoseconds::zero();
    return std::max(cpu_.used().total() - own, Nanoseconds::zero());
}

Nanoseconds JobTree::cpu() noexcept {
    Nanoseconds used = cpu_seen_;
    if (kind_ == Kind::cgroup) {
        // Both are as new as the last switch or tick. Where cpu.stat cannot be read the main process's own is known.
        if (const auto group = group_->cpu()) {
            used = std::max(used, group->usage);
        }
        used = std::max(used, process_cpu(child_->pid()).value_or(Nanoseconds::zero()));
    } else if (const bool alone = was_always_alone(); !alone && find_processes()) {
        used = std::max(used, seen_by_looks());
        looked_ = true;
    } else if (child_ != nullptr) {
        // Alone, its own is all, and no look is needed.
        used = std::max(used, process_cpu(child_->pid()).value_or(Nanoseconds::zero()));
    }
    cpu_seen_ = used;
    return used;
}

bool JobTree::idle_since(Instant time) noexcept {
    return kind_ == Kind::cgroup && !adopted_ && tools_.groups->last_activity(now()) < time;
}

// Into the tools' list.
void JobTree::find_threads() noexcept {
    auto& threads = tools_.pids;
    threads.clear();
    if (kind_ == Kind::cgroup) {
        group_->threads(threads);
    } else if (find_processes()) {
        for (const Process& process : tools_.processes) {
            if (process.stat.threads <= 1) {
                threads.push_back(process.pid);
            } else {
                tools_.proc->for_each_thread(process.pid, [&](pid_t thread) { threads.push_back(thread); });
            }
        }
    }
}

Nanoseconds JobTree::cpu_to_the_moment() noexcept {
    find_threads();
    // The more threads, the less each can have used since the last tick.
    constexpr std::size_t most_threads = 256;
    const std::span<const pid_t> threads(tools_.pids.data(), std::min(tools_.pids.size(), most_threads));
    for (const pid_t thread : threads) {
        account_running(thread);
    }
    return cpu();
}

int JobTree::threads() noexcept {
    if (kind_ == Kind::cgroup) {
        tools_.pids.clear();
        // Where they cannot be counted every processor is taken to be in use: looked at too early is no harm.
        const bool counted = group_->threads(tools_.pids);
        tasks_ = counted ? static_cast<int>(tools_.pids.size()) : std::numeric_limits<int>::max();
    } else if (processes_) {
        tasks_ = processes_->task_count() - (sees_keeper() ? 1 : 0);
    }
    return tasks_;
}

// The shell counts for itself only once it has become the program.
int JobTree::shells() noexcept {
    if (!has_shell_ || child_ == nullptr) {
        return 0;
    }
    char link[64];
    char shell[64];
    const std::string_view program = tools_.proc->read_link({child_->pid(), "exe"}, link);
    const ssize_t length = ::readlink("/bin/sh", shell, sizeof shell);
    const std::string_view target = length > 0 ? std::string_view(shell, static_cast<std::size_t>(length)) : "/bin/sh";
    const auto name_of = [](std::string_view path) { return path.substr(path.rfind('/') + 1); };
    return name_of(program) == name_of(target) ? 1 : 0;
}

TreeLook JobTree::look() noexcept {
    TreeLook look;
    if (!find_processes()) {
        return look;
    }
    looked_ = true;
    const auto& processes = tools_.processes;
    const auto living =
        std::count_if(processes.begin(), processes.end(), [](const Process& process) { return !process.stat.dead(); });
    look.processes = std::max(static_cast<int>(living) - shells(), 0);
    most_processes_ = std::max(most_processes_, look.processes);
    for (const Process& process : processes) {
        look.tasks += std::max(process.stat.threads, 1);
    }
    if (process_limit_ && look.processes > *process_limit_) {
        return look;  // reading the memory of those who fork on and on may wait for them
    }
    memory_->look(*tools_.proc, processes);
    look.memory = memory_->held();
    look.over_memory = memory_->over_limit();
    look.unconfirmed_memory = memory_->unconfirmed();
    return look;
}

bool JobTree::wants_processor() noexcept {
    if (!find_processes()) {
        return false;
    }
    const auto runnable = [](const ProcessStat& stat) { return stat.state == 'R'; };
    return std::any_of(tools_.processes.begin(), tools_.processes.end(), [&](const Process& process) {
        bool found = runnable(process.stat);
        if (!found && process.stat.threads > 1) {
            tools_.proc->for_each_thread(process.pid, [&](pid_t thread) {
                if (const auto stat = found ? std::nullopt : read_thread_stat(*tools_.proc, process.pid, thread)) {
                    found = runnable(*stat);
                }
            });
        }
        return found;
    });
}

std::string JobTree::describe_waits() noexcept {
    if (!find_processes()) {
        return {};
    }
    tools_.pids.clear();
    for (const Process& process : tools_.processes) {
        if (!process.stat.dead()) {
            tools_.pids.push_back(process.pid);
        }
    }
    return detail::describe_waits(*tools_.proc, tools_.pids);
}

void JobTree::list(std::vector<ChildUsage>& children) noexcept {
    if (!find_processes()) {
        return;
    }
    for (const Process& process : tools_.processes) {
        if (process.stat.dead()) {
            continue;
        }
        const auto memory = read_memory(*tools_.proc, process.pid);
        const ChildUsage child{process.pid, process.stat.utime, process.stat.stime, memory ? memory->figure(true) : 0};
        // The main one comes first.
        children.insert(child_ != nullptr && process.pid == child_->pid() ? children.begin() : children.end(), child);
    }
}

bool JobTree::memory_refused() noexcept {
    if (!memory_by_kernel_) {
        return false;
    }
    // Of one that was killed for the limit of a group above, or since the machine has none left, `oom` is 0.
    const auto events = group_->memory_events();
    return events && events->oom > 0 && events->oom_kill > 0;
}

bool JobTree::task_refused() noexcept { return tasks_by_kernel_ && group_->pids_refused().value_or(0) > 0; }

int JobTree::task_events() noexcept { return tasks_by_kernel_ ? group_->task_events() : -1; }

// The group of a tree that was adopted may be that of the host. Of any other the main process may have left its group,
// with somebody in it, so it is killed besides.
void JobTree::signal_main(int number) noexcept {
    if (!adopted_) {
        child_->signal_group(number);
    }
    if (adopted_ || number == SIGKILL) {
        (void)child_->signal(number);
    }
}

Instant JobTree::signal(int number) noexcept {
    if (kept()) {
        const Instant first = now();
        (void)control_.signal(number);
        return first;
    }
    asked_to_end_ = true;
    // Found first: orphans are known by their parents, as long as these live.
    const bool found = find_processes(Age::none);
    const Instant first = now();
    signal_main(number);
    if (!found) {
        return first;
    }
    for (const Process& process : tools_.processes) {
        // The main process, too, may have gone to another group.
        const bool has_it = adopted_ ? process.pid == child_->pid() : process.stat.group == child_->pid();
        if (!has_it) {
            signal_if_same(*tools_.proc, process, number);
        }
    }
    return first;
}

Instant JobTree::kill(bool main_lives) noexcept {
    const Instant begun = now();
    if (kind_ == Kind::cgroup && group_->kill()) {
        // One of the host's own user may have moved itself out of it, and the run would wait for it for ever.
        if (main_lives) {
            signal_main(SIGKILL);
        }
        return begun;
    }
    if (kept()) {
        (void)control_.kill();
        (void)keeper_.signal(SIGCONT);  // a job of the same user may have stopped it
        return begun;
    }
    // Without a look a job that ends by itself costs no walk; who has left the group unseen escapes. Not so after a
    // limit or a cancel: SIGTERM may have ended the main process alone.
    const bool quiet = !looked_ && !asked_to_end_;
    if (!main_lives && (quiet || is_alone())) {
        child_->signal_group(SIGKILL);
        return begun;
    }
    const Instant first = signal(SIGKILL);
    constexpr int rounds = 3;  // what is forked during a walk is found in the next
    for (int round = 1; round < rounds && (main_lives || !is_alone()); ++round) {
        signal(SIGKILL);
    }
    return first;
}

void JobTree::kill_seen() noexcept {
    if (!tools_.proc || !processes_) {
        return;
    }
    for (const Process& process : processes_->members()) {
        signal_if_same(*tools_.proc, process, SIGKILL);
    }
}

// Nobody comes back into a group that was seen empty.
std::optional<bool> JobTree::populated() noexcept {
    if (kind_ != Kind::cgroup) {
        return std::nullopt;
    }
    const std::optional<bool> populated = empty_ ? false : group_->populated();
    empty_ = populated == false;
    return populated;
}

bool JobTree::lingers() noexcept {
    if (kind_ != Kind::tree) {
        return kept() ? !told(keeper_empty) : populated().value_or(false);
    }
    return find_processes() && std::any_of(tools_.processes.begin(), tools_.processes.end(),
                                           [](const Process& process) { return !process.stat.dead(); });
}

void JobTree::look_before_reaping() noexcept {
    // Of one that was alone its rusage tells all.
    if (kind_ == Kind::tree && looked_ && !was_always_alone()) {
        (void)cpu();
    }
}

}  // namespace proctor::detail
