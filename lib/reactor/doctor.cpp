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

Expected<std::unique_ptr<CgroupPool>> make_pool(const ReactorOptions& options) {
    auto place = detail::find_place(options.cgroup.empty() ? std::nullopt : std::optional(options.cgroup));
    if (!place) {
        return tl::unexpected<Error>(std::move(place.error()));
    }
    return CgroupPool::create(std::move(*place), 0);
}

constexpr const char* proc_cure = "mount /proc of this pid namespace";

// What could be had to hold jobs together, and what would be taken.
class Holders {
public:
    explicit Holders(const ReactorOptions& options);

    void tell(std::vector<Capability>& found) const;

private:
    enum class Kind { none, groups, keeper, tree };

    [[nodiscard]] Kind choose() const;
    [[nodiscard]] Capability containment() const;
    [[nodiscard]] Capability cgroup() const;
    [[nodiscard]] Capability keeper() const;
    [[nodiscard]] Capability cpu() const;
    [[nodiscard]] Capability kill() const;
    [[nodiscard]] Capability memory() const;
    [[nodiscard]] Capability tasks() const;
    [[nodiscard]] Capability proc() const;
    [[nodiscard]] Capability looked_at(const char* name, const char* addition, const char* controller) const;

    [[nodiscard]] bool asks_for_groups() const {
        return wanted_ == Containment::automatic || wanted_ == Containment::cgroup;
    }
    [[nodiscard]] bool has_groups() const { return groups_ && *groups_ != nullptr; }

    Containment wanted_;
    bool is_place_named_;
    bool guards_;
    Expected<detail::ProcDirectory> proc_;
    Expected<std::string> keeper_;
    Expected<std::unique_ptr<CgroupPool>> groups_;
    Kind kind_;
};

Holders::Holders(const ReactorOptions& options)
    : wanted_(options.containment),
      is_place_named_(!options.cgroup.empty()),
      guards_(options.guard),
      proc_(detail::ProcDirectory::open()),
      keeper_(detail::find_keeper(options.keeper)),
      groups_(asks_for_groups() ? make_pool(options) : nullptr),
      kind_(choose()) {}

Holders::Kind Holders::choose() const {
    const bool can_keep = keeper_ && proc_;
    switch (wanted_) {
        case Containment::cgroup: return has_groups() ? Kind::groups : Kind::none;
        case Containment::keeper: return can_keep ? Kind::keeper : Kind::none;
        case Containment::tree: return Kind::tree;
        case Containment::automatic: break;
    }
    if (has_groups()) {
        return Kind::groups;
    }
    if (is_place_named_) {
        return Kind::none;  // who names a directory means it
    }
    return can_keep ? Kind::keeper : Kind::tree;
}

void Holders::tell(std::vector<Capability>& found) const {
    found.push_back(containment());
    if (kind_ != Kind::none) {
        found.insert(found.end(), {cpu(), kill(), memory(), tasks()});
    }
    if (asks_for_groups()) {
        found.push_back(cgroup());
    }
    found.push_back(keeper());
    found.push_back(proc());
}

Capability Holders::containment() const {
    switch (kind_) {
        case Kind::none: return {"containment", false, "nothing can be run: what is asked for cannot be had", ""};
        case Kind::groups: return {"containment", true, "a cgroup for each job", ""};
        case Kind::keeper: return {"containment", true, "a keeper above each job", ""};
        case Kind::tree: break;
    }
    return {"containment", true,
            proc_ ? "a tree: the process group of each job, and what walks through /proc find"
                  : "a tree: the process group of each job, and no more without /proc",
            ""};
}

Capability Holders::cgroup() const {
    if (!has_groups()) {
        return missing("cgroup", kind_ == Kind::none ? "no group can be made" : "jobs are held together otherwise",
                       groups_.error());
    }
    const detail::Controllers controllers = (*groups_)->controllers();
    std::string path = (*groups_)->path();
    path.resize(path.rfind('/'));
    const char* const price = controllers.memory || controllers.pids
                                  ? ", a new one for each job (about 40 us, away from launches)"
                                  : ", used again and again (about 10 us a job)";
    return {"cgroup", true, "groups in " + path + price, ""};
}

Capability Holders::keeper() const {
    if (!keeper_) {
        return missing("keeper", "no job is kept where there is no cgroup, and a host that is killed leaves its jobs",
                       keeper_.error());
    }
    if (wanted_ == Containment::keeper && !proc_) {
        return {"keeper", false, "it cannot find the processes of its job without /proc", proc_cure};
    }
    switch (kind_) {
        case Kind::keeper: return {"keeper", true, *keeper_ + ", above each job (about 160 us a job)", ""};
        case Kind::groups:
            return {"keeper", true, *keeper_ + (guards_ ? ", as guard of the cgroups" : ", which is not used"), ""};
        default: break;
    }
    const bool would_do = wanted_ == Containment::automatic && !is_place_named_;
    return {"keeper", true, *keeper_ + ", which is not used" + (would_do ? ", since it would need /proc" : ""),
            would_do ? proc_cure : ""};
}

Capability Holders::cpu() const {
    switch (kind_) {
        case Kind::groups: return {"cpu", true, "cpu.stat, complete", ""};
        case Kind::keeper:
            return {"cpu", false,
                    "by CPU clocks, and the rusage of all that the keeper reaps; lost is what a program that ignores "
                    "SIGCHLD starts and what ends between two looks",
                    ""};
        default: break;
    }
    return {"cpu", false,
            proc_ ? "by CPU clocks and rusage; those that nobody waited for are lost"
                  : "by rusage, at the end; a limit is refused without /proc",
            ""};
}

Capability Holders::kill() const {
    switch (kind_) {
        case Kind::groups: return {"kill", true, std::string((*groups_)->kill_file()) + "; nobody escapes", ""};
        case Kind::keeper: return {"kill", true, "by the keeper; nobody escapes but by killing the keeper", ""};
        default: break;
    }
    return {"kill", false, "by process group, which a session of its own may escape", ""};
}

Capability Holders::memory() const {
    if (kind_ == Kind::groups && (*groups_)->controllers().memory) {
        return {"memory", true, "memory.max and memory.peak; such jobs start with the host's thread suspended", ""};
    }
    return looked_at("memory", "; a short peak may pass", "memory");
}

Capability Holders::tasks() const {
    if (kind_ == Kind::groups && (*groups_)->controllers().pids) {
        return {"tasks", true, "pids.max", ""};
    }
    return looked_at("tasks", "", "pids");
}

// What is said of limits that the kernel does not keep.
Capability Holders::looked_at(const char* name, const char* addition, const char* controller) const {
    std::string text =
        proc_ ? std::string("looked at every 2 to 250 ms, more seldom if that took over 1 % of a processor") + addition
              : "a limit is refused, since without /proc there is nothing to look at";
    if (kind_ != Kind::groups) {
        return {name, false, std::move(text) + ": no cgroup", ""};
    }
    return {name, false, std::move(text) + ": no " + controller + " controller", (*groups_)->cure()};
}

Capability Holders::proc() const {
    if (!proc_) {
        return missing("proc", "memory and processes are not looked at", proc_.error());
    }
    return {"proc", true,
            proc_->lists_children()
                ? "memory and processes are looked at, on 1 % of a processor at most"
                : "memory and processes are looked at, by a walk over all processes, since the kernel "
                  "lists no children (CONFIG_PROC_CHILDREN)",
            ""};
}

}  // namespace

std::vector<Capability> examine(const ReactorOptions& options) {
    std::vector<Capability> found;
    const detail::KernelFeatures kernel = detail::probe_kernel();
    found.push_back(examine_engine(options, kernel));
    found.push_back(examine_ring(options, kernel));
    Holders(options).tell(found);
    return found;
}

}  // namespace proctor
