// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <proctor/capture.hpp>
#include <proctor/limits.hpp>
#include <proctor/placement.hpp>
#include <proctor/stdio.hpp>
#include <proctor/units.hpp>

namespace proctor {

/// The child's environment: the host's as it is when the job is launched (unless `inherit` is false), less `unset`,
/// plus `set`.
struct Environment {
    bool inherit = true;
    std::vector<std::pair<std::string, std::string>> set{};
    std::vector<std::string> unset{};
};

/// A descriptor of the host that the child gets under the number `to`. Borrowed: it must stay open until the job has
/// left the state `starting`. Numbers 0, 1 and 2 are what input, output and error_output are for.
struct PassedDescriptor {
    int from = -1;
    int to = -1;
};

/// Whom the child runs as. Its environment stays as Environment says, so set HOME and PATH; `cwd` is entered with the
/// host's rights. It needs the right to change (CAP_SETUID, CAP_SETGID). Supplementary groups are exactly
/// `groups`. Such a job is started with the reactor waiting for its execve (clone(2), CLONE_VFORK).
struct User {
    unsigned uid = 0;
    std::optional<unsigned> gid{};  ///< the same number as uid if not set
    std::vector<unsigned> groups{};
};

/// Soft and hard limits of setrlimit(2). What is not set stays as the host has it.
struct ResourceLimits {
    std::optional<Bytes> core = 0;
    std::optional<Bytes> file_size{};
    std::optional<std::int64_t> open_files{};  ///< a count
    std::optional<Bytes> stack{};
};

/// Mechanisms without which a job is not to be started: it then ends with an error of stage `cgroup` before the spawn,
/// which says what is missing. Without them the next best is used, and the result's `sources` tell which.
struct Require {
    bool cgroup = false;  ///< a cgroup of its own
    bool cpu = false;     ///< processor time of every descendant (cpu.stat)
    bool memory = false;  ///< a memory limit that the kernel keeps (memory.max)
    bool tasks = false;   ///< a limit of tasks that the kernel keeps (pids.max)
    bool kill = false;    ///< a kill that no descendant escapes (cgroup.kill, or a keeper)
};

/// One program to run. Only argv or shell is needed:
///
///     proctor::Job job{.argv = {"python3", "solution.py"}, .limits = {.time = 2s}};
///
/// The reactor copies what it needs; descriptors named here stay the caller's.
struct Job {
    /// The program and its arguments. A name without a slash is looked up in the PATH of the child's environment (in
    /// /bin and /usr/bin if that has none); one with a slash, if relative, is seen from `cwd`.
    std::vector<std::string> argv{};
    /// Text for /bin/sh -c, with argv as its $1, $2, …
    std::string shell{};
    Environment environment{};
    std::string cwd{};  ///< empty: the host's

    Input input{};  ///< standard input; at end of file at once by default
    /// If set, standard input goes line by line: the first at once, each further one when it is due, and end of file
    /// right after the last. While a line is not yet due the program is not blocked. A line is one record, or more if
    /// it is longer than 4,096 bytes and the pipe could not take it whole.
    std::optional<std::chrono::nanoseconds> input_delay{};
    Pacing input_pacing = Pacing::fixed;
    Output output{};            ///< standard output; captured by default
    Output error_output{};      ///< standard error; captured by default
    Order order = Order::pipe;  ///< of the records of the two; read the docs of Order::exact before you set it
    std::vector<PassedDescriptor> descriptors{};

    RunLimits limits{};
    CaptureOptions capture{};
    Require require{};
    /// Whether memory and processes are looked at from time to time also where no limit asks for it, for usage.mem and
    /// usage.proc.
    bool sample = true;
    /// What counts as memory where it is looked at in /proc: true, anonymous and shared memory and what of it is
    /// swapped out; false, all that is resident, with the pages of mapped files.
    bool mem_maps_filter = true;

    /// If set, a limit or a cancel sends SIGTERM first, to every process, and SIGKILL this much later to those who have
    /// not ended by then. The result waits for them, also when the main process is dead. Who meanwhile crosses the
    /// limit of memory, processes or tasks is killed at once; so is who was asked for that and takes more yet, of
    /// memory an eighth of the limit.
    std::optional<std::chrono::nanoseconds> kill_after{};
    /// How long, after the main process has ended by itself, its output may still be held open by others before they
    /// are killed. They are killed earlier if they cross a limit then (RunResult::limit_in_grace).
    std::chrono::nanoseconds drain_grace = std::chrono::milliseconds(100);

    std::optional<User> user{};
    bool allow_new_privileges = false;  ///< false: PR_SET_NO_NEW_PRIVS, so set-uid programs gain nothing
    bool new_session = true;            ///< setsid(2); false: a process group of its own in the host's session
    std::optional<unsigned> umask{};
    std::optional<int> nice{};         ///< -20 to 19, absolute, as setpriority(2) takes it
    std::vector<unsigned> affinity{};  ///< processors that it may run on; empty: as `placement` says
    Placement placement{};             ///< the same, seen from the reactor; not together with affinity
    ResourceLimits resource_limits{};
    /// A signal that the main process gets when the thread that runs the reactor ends (PR_SET_PDEATHSIG).
    std::optional<int> parent_death_signal{};
};

}  // namespace proctor
