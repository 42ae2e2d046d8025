// SPDX-License-Identifier: MIT
#include <proctor/doctor.hpp>

#include <sys/utsname.h>

#include <cstring>
#include <string>
#include <vector>

#include "accounting/proc_directory.hpp"
#include "cgroup/cgroup_pool.hpp"
#include "process/keeper.hpp"
#include "ring/kernel.hpp"
#include "ring/make_engine.hpp"

namespace proctor {

namespace {

using detail::CgroupPool;
using detail::Expected;

std::string with_errno(const Error& error) {
    if (error.error_number == 0) {
        return error.message;
    }
    return error.message + " (errno " + std::to_string(error.error_number) + ", " + std::strerror(error.error_number) +
           ")";
}

Capability missing(std::string name, std::string instead, const Error& why) {
    return {std::move(name), false, std::move(instead) + ": " + with_errno(why), why.cure};
}

Capability examine_engine(const ReactorOptions& options, const detail::KernelFeatures& kernel) {
    auto engine = detail::make_engine(options.engine, 8, kernel);
    if (!engine) {
        return missing("engine", "nothing can be run", engine.error());
    }
    utsname system{};
    ::uname(&system);
    std::string text = std::string((*engine)->name()) + ", on Linux " + system.release;
    const auto tell = [&](bool there, const char* what) { text += std::string(there ? "; " : "; no ") + what; };
    tell(kernel.write_without_signal, "writes without SIGPIPE");
    tell(kernel.pipe_without_nonblock, "reads of blocking pipes");
    tell(kernel.signal_group_by_pidfd, "signals to groups by pidfd");
    return {"engine", true, std::move(text), ""};
}

Capability examine_ring(const ReactorOptions& options, const detail::KernelFeatures& kernel) {
    auto engine = detail::make_engine(EngineChoice::io_uring, 8, kernel);
    if (!engine) {
        return missing("io_uring",
                       options.engine == EngineChoice::automatic ? "the poll engine is used instead, which is slower"
                                                                 : "the io_uring engine cannot be used",
                       engine.error());
    }
    return {"io_uring", true, options.engine == EngineChoice::poll ? "can be used, and is not" : "is used", ""};
}

Capability examine_proc(const Expected<detail::ProcDirectory>& proc) {
    if (!proc) {
        return missing("proc", "memory and processes are not looked at", proc.error());
    }
    return {"proc", true,
            proc->lists_children()
                ? "memory and processes are looked at, on 1 % of a processor at most"
                : "memory and processes are looked at, by a walk over all processes, since the kernel "
                  "lists no children (CONFIG_PROC_CHILDREN)",
            ""};
}

Capability examine_keeper(const ReactorOptions& options, bool has_proc) {
    auto keeper = detail::find_keeper(options.keeper);
    if (!keeper) {
        return missing("keeper", "no job is kept where there is no cgroup, and a host that is killed leaves its jobs",
                       keeper.error());
    }
    const bool holds = options.containment == Containment::keeper;
    if (!has_proc) {
        return {"keeper", !holds,
                holds ? "it cannot find the processes of its job without /proc"
                      : *keeper + ", as guard of the cgroups, and above no job, since it would need /proc",
                "mount /proc of this pid namespace"};
    }
    return {
        "keeper", true,
        *keeper + (holds ? ", above each job (about 160 us a job)"
                         : ", as guard of the cgroups, and above each job where there are none (about 160 us a job)"),
        ""};
}

Expected<std::unique_ptr<CgroupPool>> make_pool(const ReactorOptions& options) {
    auto place = detail::find_place(options.cgroup.empty() ? std::nullopt : std::optional(options.cgroup));
    if (!place) {
        return tl::unexpected<Error>(std::move(place.error()));
    }
    return CgroupPool::create(std::move(*place), 0);
}

// What is said of limits that the kernel does not keep.
std::string looked_at(bool has_proc, const char* addition, const char* why) {
    const std::string text = has_proc ? std::string("looked at every 2 to 250 ms") + addition
                                      : "a limit is refused, since without /proc there is nothing to look at";
    return text + ": " + why;
}

void examine_groups(const ReactorOptions& options, bool has_proc, std::vector<Capability>& found) {
    auto pool = make_pool(options);
    if (!pool) {
        const Error& why = pool.error();
        found.push_back(missing("cgroup",
                                has_proc ? "jobs are held together by a keeper, or by their process group alone"
                                         : "jobs are held together by their process group alone",
                                why));
        found.push_back({"cpu", false,
                         has_proc ? "by CPU clocks and rusage; those that nobody waited for are lost: no cgroup"
                                  : "by rusage, at the end; a limit is refused: no cgroup, and no /proc",
                         ""});
        found.push_back(
            {"kill", false,
             has_proc ? "by the keeper; without one by process group, which a session of its own escapes: no cgroup"
                      : "by process group, which a session of its own escapes: no cgroup, and no /proc",
             ""});
        found.push_back({"memory", false, looked_at(has_proc, "; a short peak may pass", "no cgroup"), ""});
        found.push_back({"tasks", false, looked_at(has_proc, "", "no cgroup"), ""});
        return;
    }
    const detail::Controllers controllers = (*pool)->controllers();
    const bool once = controllers.memory || controllers.pids;
    std::string path = (*pool)->path();
    path.resize(path.rfind('/'));
    found.push_back({"cgroup", true,
                     "groups in " + path +
                         (once ? ", a new one for each job (about 40 us, away from launches)"
                               : ", used again and again (about 10 us a job)"),
                     ""});
    found.push_back({"cpu", true, "cpu.stat, complete", ""});
    found.push_back({"kill", true, std::string((*pool)->kill_file()) + "; nobody escapes", ""});
    const std::string& cure = (*pool)->cure();
    found.push_back({"memory", controllers.memory,
                     controllers.memory ? "memory.max and memory.peak; such jobs start with the host's thread suspended"
                                        : looked_at(has_proc, "; a short peak may pass", "no memory controller"),
                     controllers.memory ? "" : cure});
    found.push_back({"tasks", controllers.pids,
                     controllers.pids ? "pids.max" : looked_at(has_proc, "", "no pids controller"),
                     controllers.pids ? "" : cure});
}

}  // namespace

std::vector<Capability> examine(const ReactorOptions& options) {
    std::vector<Capability> found;
    const detail::KernelFeatures kernel = detail::probe_kernel();
    const auto proc = detail::ProcDirectory::open();
    found.push_back(examine_engine(options, kernel));
    found.push_back(examine_ring(options, kernel));
    if (options.containment == Containment::automatic || options.containment == Containment::cgroup) {
        examine_groups(options, proc.has_value(), found);
    }
    found.push_back(examine_keeper(options, proc.has_value()));
    found.push_back(examine_proc(proc));
    return found;
}

}  // namespace proctor
