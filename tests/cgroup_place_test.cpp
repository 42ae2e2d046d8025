// SPDX-License-Identifier: MIT
//
// Where groups for jobs are made: what the kernel's texts say, and what is found or refused on a real machine.
#include <sys/mount.h>

#include <functional>
#include <string>
#include <vector>

#include "cgroup/reactor_group.hpp"
#include "cgroup_ground.hpp"

using ground::exists;
using ground::Group;
using ground::what;
using ground::write_to;
using proctor::Stage;
using proctor::detail::CgroupMount;
using proctor::detail::CgroupPlace;
using proctor::detail::Controllers;
using proctor::detail::Expected;
using proctor::detail::find_place;
using proctor::detail::PidListParser;

namespace detail = proctor::detail;

namespace {

using Mounts = std::vector<CgroupMount>;

std::vector<pid_t> pids_in(const std::vector<std::string>& pieces) {
    std::vector<pid_t> pids;
    PidListParser parser(pids);
    for (const std::string& piece : pieces) parser.take(piece);
    return pids;
}

// What a refusal has to have; empty if it is as it should be.
std::string refusal(const Expected<CgroupPlace>& place, int error_number, const std::string& excerpt) {
    if (place) return "there is a place: " + place->path;
    const bool right = place.error().stage == Stage::cgroup && place.error().error_number == error_number &&
                       place.error().message.find(excerpt) != std::string::npos && !place.error().cure.empty();
    return right ? std::string() : what(place);
}

bool is_root() { return geteuid() == 0; }

}  // namespace

TEST_CASE("mounts of cgroup2 are found in every form that mountinfo has") {
    CHECK(detail::parse_cgroup_mounts("").empty());
    CHECK(detail::parse_cgroup_mounts("31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n").empty());
    CHECK(detail::parse_cgroup_mounts("31 23 0:28 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw\n") ==
          Mounts{{"/", "/sys/fs/cgroup"}});
    // A mixed host, where v1 hierarchies stand beside.
    CHECK(detail::parse_cgroup_mounts("32 31 0:29 / /sys/fs/cgroup/cpu rw shared:4 - cgroup cgroup rw,cpu\n"
                                      "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n") ==
          Mounts{{"/", "/sys/fs/cgroup/unified"}});
    // Tags, several mounts, a container's root, escapes.
    CHECK(detail::parse_cgroup_mounts("1 2 0:1 /docker/ab /sys/fs/cgroup ro shared:1 master:2 - cgroup2 none rw\n"
                                      "3 4 0:1 /a\\040b\\134c /mnt/with\\040blank\\011 rw - cgroup2 none rw") ==
          Mounts{{"/docker/ab", "/sys/fs/cgroup"}, {"/a b\\c", "/mnt/with blank\t"}});
    CHECK(detail::parse_cgroup_mounts("1 2 0:1 /.. /sys/fs/cgroup ro - cgroup2 none rw\n") ==
          Mounts{{"/..", "/sys/fs/cgroup"}});
    // The later mount hides the earlier.
    CHECK(detail::parse_cgroup_mounts("1 2 0:1 / /c rw - cgroup2 a rw\n2 1 0:1 /x /c rw - cgroup2 a rw\n") ==
          Mounts{{"/x", "/c"}});
    CHECK(detail::parse_cgroup_mounts("1 2 0:1 / /c rw - cgroup2 a rw\n2 1 0:9 / /c rw - tmpfs a rw\n").empty());
}

TEST_CASE("no beginning of a mountinfo confuses") {
    const std::string whole = "41 31 0:38 /a\\040b /sys/fs/cgroup/unified\\011 rw shared:3 - cgroup2 cgroup2 rw\n";
    for (std::size_t size = 0; size < whole.size(); ++size) {
        // In a buffer of its own, so that a checker sees a read beyond its end.
        const std::vector<char> begin(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
        const Mounts mounts = detail::parse_cgroup_mounts({begin.data(), begin.size()});
        CHECK((mounts.empty() || mounts == Mounts{{"/a b", "/sys/fs/cgroup/unified\t"}}));
    }
    CHECK(detail::parse_cgroup_mounts("\n\n - cgroup2\n1 2 3 - - - - cgroup2\n").empty());
}

TEST_CASE("our own group is the line of v2") {
    CHECK(detail::parse_own_group("9:name=systemd:/x\n4:memory:/y\n0::/user.slice/a b\n") == "/user.slice/a b");
    CHECK(detail::parse_own_group("0::/\n") == "/");
    CHECK(detail::parse_own_group("0::/../other\n") == "/../other");
    CHECK(detail::parse_own_group("4:memory:/0::/z\n") == std::nullopt);
    CHECK(detail::parse_own_group("0::\n") == std::nullopt);
    CHECK(detail::parse_own_group("") == std::nullopt);
}

TEST_CASE("a group's directory depends on what is mounted") {
    using detail::path_of_group;
    CHECK(path_of_group({"/", "/sys/fs/cgroup"}, "/a/b") == "/sys/fs/cgroup/a/b");
    CHECK(path_of_group({"/", "/sys/fs/cgroup"}, "/") == "/sys/fs/cgroup");
    CHECK(path_of_group({"/docker/ab", "/c"}, "/docker/ab") == "/c");
    CHECK(path_of_group({"/docker/ab", "/c"}, "/docker/ab/leaf") == "/c/leaf");
    CHECK(path_of_group({"/docker/ab", "/c"}, "/docker/abc") == std::nullopt);
    CHECK(path_of_group({"/docker/ab", "/c"}, "/docker") == std::nullopt);
    CHECK(path_of_group({"/", "/c"}, "/../other") == std::nullopt);
    CHECK(path_of_group({"/..", "/c"}, "/../other") == "/c/other");
    CHECK(path_of_group({"/", "/"}, "/a") == "/a");

    CHECK(detail::group_of_path({"/docker/ab", "/c"}, "/c/leaf") == "/docker/ab/leaf");
    CHECK(detail::group_of_path({"/", "/c"}, "/c") == "/");
    CHECK(detail::group_of_path({"/", "/c"}, "/c/leaf") == "/leaf");
    CHECK(detail::group_of_path({"/", "/c"}, "/cd") == std::nullopt);

    CHECK(detail::parent_group("/a/b") == "/a");
    CHECK(detail::parent_group("/a") == "/");
    CHECK(detail::parent_group("/") == std::nullopt);
    CHECK(detail::parent_group("/../a") == std::nullopt);

    CHECK(detail::common_ancestor("/a/b/c", "/a/b/d/e") == "/a/b");
    CHECK(detail::common_ancestor("/a/b", "/a/bc") == "/a");
    CHECK(detail::common_ancestor("/a", "/a/b") == "/a");
    CHECK(detail::common_ancestor("/a/b", "/c") == "/");
    CHECK(detail::common_ancestor("/", "/c") == "/");
}

TEST_CASE("controllers, numbers and names are read to the letter") {
    CHECK(detail::parse_controllers("cpuset cpu io memory hugetlb pids rdma\n") ==
          Controllers{.cpu = true, .memory = true, .pids = true});
    CHECK(detail::parse_controllers("cpuset hugetlb\n") == Controllers{});
    CHECK(detail::parse_controllers("pids") == Controllers{.pids = true});
    CHECK(detail::parse_controllers("\n") == Controllers{});

    constexpr std::string_view events = "low 0\nmax 12\noom 3\noom_kill 4\noom_group_kill 5";
    CHECK(detail::find_value(events, "max") == 12);
    CHECK(detail::find_value(events, "oom") == 3);
    CHECK(detail::find_value(events, "oom_kill") == 4);
    CHECK(detail::find_value(events, "kill") == std::nullopt);
    // Cut off: more digits may follow.
    CHECK(detail::find_value(events, "oom_group_kill") == std::nullopt);
    CHECK(detail::find_value("max\nmax 7\n", "max") == 7);
    CHECK(detail::find_value("max 99999999999999999999\n", "max") == std::nullopt);
    CHECK(detail::find_value("max -1\n", "max") == std::nullopt);

    CHECK(detail::parse_count("0\n") == 0);
    CHECK(detail::parse_count("4096\n") == 4096);
    CHECK(detail::parse_count("max\n") == std::nullopt);
    CHECK(detail::parse_count("") == std::nullopt);
    CHECK(detail::parse_count("12") == std::nullopt);

    CHECK(pids_in({"1\n22\n333\n"}) == std::vector<pid_t>{1, 22, 333});
    CHECK(pids_in({"1\n2", "2\n33", "", "3\n"}) == std::vector<pid_t>{1, 22, 333});
    CHECK(pids_in({"0\n7\n"}) == std::vector<pid_t>{7});
    CHECK(pids_in({""}).empty());

    CHECK(detail::is_reactor_group("proctor-0123456789abcdef"));
    CHECK_FALSE(detail::is_reactor_group("proctor-0123456789abcdeg"));
    CHECK_FALSE(detail::is_reactor_group("proctor-0123456789abcde"));
    CHECK_FALSE(detail::is_reactor_group("proctor-tests"));
}

TEST_CASE("a directory that cannot be used is refused with cause and cure") {
    const support::TempDir directory;
    CHECK(refusal(find_place(directory.file("nothing")), ENOENT, "there is no directory").empty());
    CHECK(refusal(find_place(directory.write("file", "")), ENOTDIR, "is not a directory").empty());
    CHECK(refusal(find_place(directory.path()), EINVAL, "is not a directory of cgroup v2").empty());
    if (exists("/sys/fs/cgroup/memory/tasks")) {
        CHECK(refusal(find_place("/sys/fs/cgroup/memory"), EINVAL, "belongs to cgroup v1").empty());
    }
}

TEST_CASE("want of descriptors is not taken for want of cgroups") {
    const std::optional<Group> group = Group::make();
    if (!group) return;
    CHECK(support::in_host([&]() -> std::string {
              const support::DescriptorsLeft none(0);
              if (std::string wrong = refusal(find_place(std::nullopt), EMFILE, "no descriptor is left");
                  !wrong.empty())
                  return wrong;
              return refusal(find_place(group->path()), EMFILE, "no descriptor is left");
          }) == "");
}

TEST_CASE("a given directory is taken, by whatever path, and nothing in it is changed but what it passes on") {
    const std::optional<Group> group = Group::make();
    if (!group) return;
    const support::TempDir elsewhere;
    REQUIRE(symlink(group->path().c_str(), elsewhere.file("link").c_str()) == 0);
    const Expected<CgroupPlace> place = find_place(elsewhere.file("link"));
    INFO(what(place));
    REQUIRE(place.has_value());
    CHECK(place->path == group->path());
    const Controllers there = detail::parse_controllers(support::read_file(group->file("cgroup.controllers")));
    CHECK(place->controllers == there);
    CHECK(place->cure.empty() == (there.memory && there.pids));
    struct stat status {};
    REQUIRE(stat(group->path().c_str(), &status) == 0);
    CHECK(status.st_nlink == 2);
}

TEST_CASE("a given directory with a process in it passes nothing on, and groups in it still hold processes") {
    const std::optional<Group> group = Group::make();
    if (!group) return;
    const support::Fd directory = support::open_file(group->path(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ground::Process inhabitant(directory.get(), "print x then pause");
    REQUIRE(inhabitant.error_number() == 0);
    const CgroupPlace place = group->place();
    CHECK(place.controllers == Controllers{});
    CHECK(place.cure.find("controller") != std::string::npos);
    const Group nested(group->file("nested"));
    CHECK(support::read_file(nested.file("cgroup.type")) == "domain\n");
}

TEST_CASE("a threaded directory is refused") {
    const std::optional<Group> group = Group::make();
    if (!group) return;
    const Group top(group->file("top"));
    const Group threaded(top.file("threaded"));
    REQUIRE(write_to(threaded.file("cgroup.type"), "threaded"));
    CHECK(refusal(find_place(threaded.path()), EOPNOTSUPP, "is threaded").empty());
    CHECK(refusal(find_place(top.path()), EOPNOTSUPP, "is threaded").empty());
}

TEST_CASE("a directory that is mounted read-only is refused") {
    const std::optional<Group> group = Group::make();
    if (!group) return;
    if (!is_root()) return support::skip("only root can mount");
    const support::TempDir point;
    bool mounted = true;
    const std::string wrong = support::in_host([&]() -> std::string {
        mounted = unshare(CLONE_NEWNS) == 0 && mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                  mount(group->path().c_str(), point.path().c_str(), nullptr, MS_BIND, nullptr) == 0 &&
                  mount(nullptr, point.path().c_str(), nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr) == 0;
        if (!mounted) return "cannot mount";
        return refusal(find_place(point.path()), EROFS, "is mounted read-only");
    });
    if (wrong == "cannot mount") return support::skip("no mount may be made here");
    CHECK(wrong.empty());
}

TEST_CASE("a directory of somebody else is refused, and one that nobody can be born into") {
    const std::optional<Group> group = Group::make();
    if (!group) return;
    if (!is_root()) return support::skip("only root can become somebody else");
    constexpr uid_t nobody = 65534;
    CHECK(support::in_host([&]() -> std::string {
              HOST_CHECK(setuid(nobody) == 0);
              return refusal(find_place(group->path()), EACCES, "may not make groups in");
          }) == "");
    // All is delegated but the group above, from which our children come.
    REQUIRE(chown(group->path().c_str(), nobody, nobody) == 0);
    for (const char* const name : {"cgroup.procs", "cgroup.subtree_control", "cgroup.threads"}) {
        REQUIRE(chown(group->file(name).c_str(), nobody, nobody) == 0);
    }
    CHECK(support::in_host([&]() -> std::string {
              HOST_CHECK(setuid(nobody) == 0);
              return refusal(find_place(group->path()), EACCES, "cannot be born into");
          }) == "");
    // With the host in it, it is the nearest group above both.
    CHECK(support::in_host([&]() -> std::string {
              HOST_CHECK(write_to(group->file("cgroup.procs"), "0"));
              HOST_CHECK(setuid(nobody) == 0);
              const Expected<CgroupPlace> place = find_place(group->path());
              if (!place) return what(place);
              const Expected<CgroupPlace> found = find_place(std::nullopt);
              if (!found) return what(found);
              HOST_CHECK(found->path == group->path());
              return {};
          }) == "");
}

TEST_CASE("a host in a leaf of a group that passes controllers on finds that group") {
    const std::optional<Group> group = Group::make();
    if (!group) return;
    if (const CgroupPlace place = group->place(); place.controllers == Controllers{}) {
        return support::skip("no controller can be passed on here: " + place.cure);
    }
    const Group leaf(group->file("leaf"));
    CHECK(support::in_host([&]() -> std::string {
              HOST_CHECK(write_to(leaf.file("cgroup.procs"), "0"));
              const Expected<CgroupPlace> found = find_place(std::nullopt);
              if (!found) return what(found);
              HOST_CHECK(found->path == group->path());
              HOST_CHECK(found->controllers.memory);
              HOST_CHECK(found->cure.empty());
              return {};
          }) == "");
}

TEST_CASE("groups of others are not used though they pass controllers on: slices, and the group of a reactor") {
    const std::optional<Group> group = Group::make();
    if (!group) return;
    for (const char* const name : {"app.slice", "proctor-0123456789abcdef"}) {
        const Group parent(group->file(name));
        static_cast<void>(group->place());
        static_cast<void>(parent.place());
        const Group leaf(parent.file("leaf"));
        CHECK(support::in_host([&]() -> std::string {
                  HOST_CHECK(write_to(leaf.file("cgroup.procs"), "0"));
                  const Expected<CgroupPlace> found = find_place(std::nullopt);
                  if (!found) return what(found);
                  HOST_CHECK(found->path == leaf.path());
                  HOST_CHECK(found->controllers == Controllers{});
                  HOST_CHECK(!found->cure.empty());
                  return {};
              }) == "");
    }
}

TEST_CASE("a host whose group is not to be seen is told so") {
    if (!is_root()) return support::skip("only root can mount");
    const std::string wrong = support::in_host([&]() -> std::string {
        if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
            mount("none", "/sys", "tmpfs", 0, nullptr) != 0) {
            return "cannot mount";
        }
        return refusal(find_place(std::nullopt), ENOENT, "");
    });
    if (wrong == "cannot mount") return support::skip("no mount may be made here");
    CHECK(wrong == "");
}

TEST_CASE("a host without a hierarchy of cgroup v2, or in none of its groups, is told so") {
    if (!is_root()) return support::skip("only root can mount");
    const support::TempDir directory;
    const std::string v1_alone = directory.write("groups", "4:memory:/x\n");
    const auto in_own_mounts = [](const std::function<std::string()>& host) {
        return support::in_host([&]() -> std::string {
            const bool own =
                unshare(CLONE_NEWNS) == 0 && mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
            return own ? host() : "cannot mount";
        });
    };
    const std::string no_hierarchy = in_own_mounts([]() -> std::string {
        for (;;) {
            const Mounts mounts = detail::parse_cgroup_mounts(support::read_file("/proc/self/mountinfo"));
            if (mounts.empty()) return refusal(find_place(std::nullopt), ENODEV, "no cgroup v2 hierarchy is mounted");
            if (umount2(mounts.front().point.c_str(), MNT_DETACH) != 0) return "cannot mount";
        }
    });
    const std::string no_group = in_own_mounts([&]() -> std::string {
        if (mount(v1_alone.c_str(), "/proc/self/cgroup", nullptr, MS_BIND, nullptr) != 0) return "cannot mount";
        return refusal(find_place(std::nullopt), ENODEV, "is in no group of cgroup v2");
    });
    for (const std::string& wrong : {no_hierarchy, no_group}) {
        if (wrong == "cannot mount") return support::skip("no mount may be made or taken away here");
        CHECK(wrong == "");
    }
}

TEST_CASE("whatever the kernel refuses about a group, there is a cure") {
    for (const int error_number :
         {ENOENT, ENODEV, EAGAIN, EMFILE, ENFILE, EACCES, EPERM, EROFS, ENOMEM, EBUSY, ENOSPC}) {
        CAPTURE(error_number);
        const proctor::Error error = detail::explain_failure(error_number, "/some/group");
        CHECK(error.stage == Stage::cgroup);
        CHECK(error.error_number == error_number);
        CHECK(error.message.find("/some/group") != std::string::npos);
        CHECK_FALSE(error.cure.empty());
    }
}
