// SPDX-License-Identifier: MIT
#include "cgroup/cgroup_tree.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <memory>
#include <utility>
#include <vector>

#include "cgroup/cgroup_file.hpp"
#include "cgroup/reactor_group.hpp"

namespace proctor::detail {

namespace {

constexpr const char* delegation_cure =
    "start the host by systemd-run --user --scope -p Delegate=yes … (as root without --user), or name a directory of "
    "cgroup v2 that it may write";

// The kernel lets a group pass memory on only while no process is in it, so the host has to be in a leaf.
constexpr const char* leaf_cure =
    "start the host in a leaf of a delegated group that passes controllers on: systemd-run --user --scope "
    "-p Delegate=yes sh -c 'cd /sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup) && mkdir host && "
    "echo 0 >host/cgroup.procs && echo +memory +pids >cgroup.subtree_control && exec HOST' (as root without --user)";

constexpr const char* hierarchy_cure =
    "the memory or pids controller is not in the cgroup v2 hierarchy of this machine: boot it with "
    "systemd.unified_cgroup_hierarchy=1 or cgroup_no_v1=all, and without cgroup_disable";

tl::unexpected<Error> refusal(int error_number, std::string message, std::string cure = delegation_cure) {
    return failure(Stage::cgroup, error_number, std::move(message), std::move(cure));
}

struct OwnGroup {
    std::vector<CgroupMount> mounts{};
    std::string group{};
};

// Want of descriptors or memory, which is not to be taken for want of a hierarchy.
bool is_want(int error_number) noexcept {
    return error_number == EMFILE || error_number == ENFILE || error_number == ENOMEM;
}

tl::unexpected<Error> cannot_read_proc(int error_number) {
    if (is_want(error_number)) {
        return tl::unexpected<Error>(explain_failure(error_number, "of this process"));
    }
    return refusal(error_number, "without /proc no cgroup can be found", "mount /proc of this pid namespace");
}

Expected<OwnGroup> find_own_group() {
    OwnGroup own;
    std::string text;
    if (const int error_number = read_all("/proc/self/mountinfo", text); error_number != 0) {
        return cannot_read_proc(error_number);
    }
    own.mounts = parse_cgroup_mounts(text);
    if (own.mounts.empty()) {
        return refusal(ENODEV, "no cgroup v2 hierarchy is mounted here",
                       "mount one (mount -t cgroup2 none /sys/fs/cgroup), in a container give it one "
                       "(docker run --cgroupns=private), and have /proc mounted");
    }
    if (const int error_number = read_all("/proc/self/cgroup", text); error_number != 0 && error_number != ENOENT) {
        return cannot_read_proc(error_number);
    }
    std::optional<std::string> group = parse_own_group(text);
    if (!group) {
        return refusal(ENODEV, "this process is in no group of cgroup v2", "boot a kernel with cgroup v2");
    }
    own.group = std::move(*group);
    return own;
}

tl::unexpected<Error> cannot_open(const std::string& path, int error_number) {
    if (is_want(error_number)) {
        return tl::unexpected<Error>(explain_failure(error_number, path));
    }
    switch (error_number) {
        case ENOENT: return refusal(error_number, "there is no directory " + path, "make it, or name another");
        case ENOTDIR: return refusal(error_number, path + " is not a directory", "name a directory of cgroup v2");
        default: return refusal(error_number, path + " cannot be opened");
    }
}

Expected<void> check_is_cgroup(int directory, const std::string& path) {
    struct statfs filesystem {};
    if (::fstatfs(directory, &filesystem) != 0) {
        return refusal(errno, "it is not known what kind of directory " + path + " is", usual_cure(errno));
    }
    if (filesystem.f_type == CGROUP_SUPER_MAGIC) {
        return refusal(EINVAL, path + " belongs to cgroup v1",
                       "name a directory of the v2 hierarchy, which is at /sys/fs/cgroup/unified on a mixed host");
    }
    if (filesystem.f_type != CGROUP2_SUPER_MAGIC) {
        return refusal(EINVAL, path + " is not a directory of cgroup v2",
                       "name one below the mount point, which is /sys/fs/cgroup as a rule");
    }
    return {};
}

Expected<void> check_is_writable(int directory, const std::string& path) {
    // cgroup.procs too: the kernel asks whether it may be written when a process is born into a group below.
    if (::faccessat(directory, ".", W_OK | X_OK, AT_EACCESS) == 0 &&
        ::faccessat(directory, "cgroup.procs", W_OK, AT_EACCESS) == 0) {
        return {};
    }
    const int error_number = errno;
    if (error_number == EROFS) {
        return refusal(
            error_number, path + " is mounted read-only",
            "mount it for writing; in a container: docker run --cgroupns=private with /sys/fs/cgroup mounted "
            "rw, or podman run");
    }
    return refusal(error_number, "this process may not make groups in " + path);
}

// Groups below a threaded one cannot hold processes of their own. The root has no such file, and is never threaded.
Expected<void> check_is_domain(int directory, const std::string& path) {
    SmallText<64> text;
    const std::string_view type = text.read(directory, "cgroup.type");
    if (type.empty() || type == "domain\n") {
        return {};
    }
    return refusal(EOPNOTSUPP, path + " is threaded, so groups in it cannot hold processes",
                   "name a group whose cgroup.type is domain");
}

Expected<CgroupPlace> open_place(std::string path) {
    CgroupPlace place;
    place.directory.reset(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!place.directory) {
        return cannot_open(path, errno);
    }
    const int directory = place.directory.get();
    for (const auto& check : {check_is_cgroup, check_is_writable, check_is_domain}) {
        if (auto checked = check(directory, path); !checked) {
            return tl::unexpected<Error>(std::move(checked.error()));
        }
    }
    SmallText<256> text;
    place.controllers = parse_controllers(text.read(directory, "cgroup.subtree_control"));
    place.path = std::move(path);
    return place;
}

bool has_what_limits_need(const Controllers& controllers) noexcept { return controllers.memory && controllers.pids; }

void find_cure(CgroupPlace& place, const std::vector<CgroupMount>& mounts) {
    if (has_what_limits_need(place.controllers)) {
        return;
    }
    place.cure = leaf_cure;
    // What even the root does not have cannot be passed on by anybody.
    for (const CgroupMount& mount : mounts) {
        SmallText<256> text;
        const std::string file = mount.point + "/cgroup.controllers";
        if (mount.root == "/" && group_of_path(mount, place.path) &&
            !has_what_limits_need(parse_controllers(text.read(AT_FDCWD, file.c_str())))) {
            place.cure = hierarchy_cure;
        }
    }
}

bool is_systemd_root(int directory) noexcept {
    return ::faccessat(directory, "init.scope", F_OK, 0) == 0 || ::faccessat(directory, "system.slice", F_OK, 0) == 0;
}

// Whether groups in it would be made in somebody else's house. The path may be that of a mount point, so the group's
// own name is asked.
bool is_taken(const CgroupPlace& place, std::string_view group) noexcept {
    const std::string_view name = group.substr(group.rfind('/') + 1);
    return name.ends_with(".slice") || is_reactor_group(name) ||
           (name.empty() && is_systemd_root(place.directory.get()));
}

std::optional<CgroupPlace> find_parent_place(const OwnGroup& own) {
    const std::optional<std::string> parent = parent_group(own.group);
    for (const CgroupMount& mount : own.mounts) {
        const auto path = parent ? path_of_group(mount, *parent) : std::nullopt;
        auto place = path ? open_place(*path) : failure(Stage::cgroup, ENOENT, "");
        if (place && place->controllers != Controllers{} && !is_taken(*place, *parent)) {
            return std::move(*place);
        }
    }
    return std::nullopt;
}

Expected<CgroupPlace> find_own_place(const OwnGroup& own) {
    Expected<CgroupPlace> found = refusal(
        ENOENT, "the control group of this process, " + own.group + ", is not below any mounted cgroup v2 hierarchy");
    for (const CgroupMount& mount : own.mounts) {
        const auto path = path_of_group(mount, own.group);
        if (path && !found) {
            found = open_place(*path);
        }
    }
    return found;
}

// A process is born into a group only if cgroup.procs of the nearest group above it and us is ours to write. Where that
// group is not visible, the first launch will tell.
Expected<void> check_can_be_entered(const OwnGroup& own, const std::string& path) {
    for (const CgroupMount& mount : own.mounts) {
        const auto group = group_of_path(mount, path);
        const auto ancestor = group ? path_of_group(mount, common_ancestor(own.group, *group)) : std::nullopt;
        if (!ancestor || ::faccessat(AT_FDCWD, (*ancestor + "/cgroup.procs").c_str(), W_OK, AT_EACCESS) == 0 ||
            errno == ENOENT) {
            continue;
        }
        return refusal(errno,
                       "processes of ours cannot be born into " + path + ": " + *ancestor +
                           ", the nearest group above it and the host's own, is not ours to write",
                       "start the host below a delegated group and name a directory below the same one: systemd-run "
                       "--user --scope -p Delegate=yes …");
    }
    return {};
}

// With processes in it, and pids alone enabled, a group becomes the root of a threaded subtree, in which groups cannot
// hold processes. The kernel refuses memory then, but not pids. The hierarchy's root may do both.
void pass_controllers_on(CgroupPlace& place) {
    const int directory = place.directory.get();
    SmallText<64> process;
    const bool is_root = ::faccessat(directory, "cgroup.type", F_OK, 0) != 0;
    if (is_root || process.read(directory, "cgroup.procs").empty()) {
        place.controllers = enable_controllers(directory);
    }
}

std::string canonical(const std::string& path) {
    const std::unique_ptr<char, decltype(&std::free)> resolved(::realpath(path.c_str(), nullptr), &std::free);
    return resolved ? resolved.get() : path;
}

Expected<CgroupPlace> open_given_place(const std::string& given) {
    Expected<CgroupPlace> place = open_place(canonical(given));
    if (!place) {
        return place;
    }
    // Without /proc it is not known where we are, and a directory was given.
    const OwnGroup own = find_own_group().value_or(OwnGroup{});
    if (auto checked = check_can_be_entered(own, place->path); !checked) {
        return tl::unexpected<Error>(std::move(checked.error()));
    }
    pass_controllers_on(*place);
    find_cure(*place, own.mounts);
    if (!place->cure.empty() && place->cure == leaf_cure) {
        place->cure =
            "name a directory without processes in it, below one that passes memory and pids on; " + place->cure;
    }
    return place;
}

}  // namespace

Expected<CgroupPlace> find_place(const std::optional<std::string>& given) {
    if (given) {
        return open_given_place(*given);
    }
    Expected<OwnGroup> own = find_own_group();
    if (!own) {
        return tl::unexpected<Error>(std::move(own.error()));
    }
    if (std::optional<CgroupPlace> parent = find_parent_place(*own)) {
        find_cure(*parent, own->mounts);
        return std::move(*parent);
    }
    Expected<CgroupPlace> place = find_own_place(*own);
    if (place) {
        find_cure(*place, own->mounts);
    }
    return place;
}

}  // namespace proctor::detail
