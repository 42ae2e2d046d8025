// SPDX-License-Identifier: MIT
#include "cgroup/cgroup_text.hpp"

#include <algorithm>
#include <charconv>
#include <limits>

namespace proctor::detail {

namespace {

constexpr auto none = std::string_view::npos;

// The part before the separator, which is taken off `rest` together with it.
std::string_view next_part(std::string_view& rest, char separator) noexcept {
    const std::size_t end = rest.find(separator);
    const std::string_view part = rest.substr(0, end);
    rest.remove_prefix(end == none ? rest.size() : end + 1);
    return part;
}

bool is_octal(char digit) noexcept { return digit >= '0' && digit <= '7'; }

// The kernel writes blanks, tabs, newlines and backslashes of a path as a backslash and three octal digits.
std::string unescape(std::string_view text) {
    std::string plain;
    while (!text.empty()) {
        if (text.size() >= 4 && text[0] == '\\' && is_octal(text[1]) && is_octal(text[2]) && is_octal(text[3])) {
            plain += static_cast<char>((text[1] - '0') * 64 + (text[2] - '0') * 8 + (text[3] - '0'));
            text.remove_prefix(4);
        } else {
            plain += text.front();
            text.remove_prefix(1);
        }
    }
    return plain;
}

struct Mount {
    CgroupMount place{};
    bool is_cgroup2 = false;
};

// proc_pid_mountinfo(5): id, parent, device, root, point, options, any number of tags, a hyphen, type, and more.
std::optional<Mount> parse_mount(std::string_view line) {
    for (int unused = 0; unused < 3; ++unused) {
        next_part(line, ' ');
    }
    Mount mount;
    mount.place.root = unescape(next_part(line, ' '));
    mount.place.point = unescape(next_part(line, ' '));
    next_part(line, ' ');
    while (!line.empty() && next_part(line, ' ') != "-") {
    }
    mount.is_cgroup2 = next_part(line, ' ') == "cgroup2";
    const bool whole = mount.place.root.starts_with('/') && mount.place.point.starts_with('/');
    return whole ? std::optional(std::move(mount)) : std::nullopt;
}

// What is left of `path` below `base`: empty for `base` itself, else it begins with a slash.
std::optional<std::string_view> rest_below(std::string_view path, std::string_view base) noexcept {
    if (base == "/") {
        return path == "/" ? std::string_view() : path;
    }
    if (!path.starts_with(base)) {
        return std::nullopt;
    }
    path.remove_prefix(base.size());
    return path.empty() || path.front() == '/' ? std::optional(path) : std::nullopt;
}

std::string join(std::string_view base, std::string_view rest) {
    std::string whole(base == "/" && !rest.empty() ? std::string_view() : base);
    return whole.append(rest);
}

// A process outside our cgroup namespace, or outside the part that is mounted, has a path that climbs: "/../other".
bool climbs(std::string_view group) noexcept { return group == "/.." || group.starts_with("/../"); }

}  // namespace

Controllers parse_controllers(std::string_view text) noexcept {
    Controllers found;
    text = text.substr(0, text.find('\n'));
    while (!text.empty()) {
        const std::string_view name = next_part(text, ' ');
        found.cpu = found.cpu || name == "cpu";
        found.memory = found.memory || name == "memory";
        found.pids = found.pids || name == "pids";
    }
    return found;
}

std::vector<CgroupMount> parse_cgroup_mounts(std::string_view mountinfo) {
    std::vector<CgroupMount> mounts;
    while (!mountinfo.empty()) {
        std::optional<Mount> mount = parse_mount(next_part(mountinfo, '\n'));
        if (!mount) {
            continue;
        }
        std::erase_if(mounts, [&](const CgroupMount& earlier) { return earlier.point == mount->place.point; });
        if (mount->is_cgroup2) {
            mounts.push_back(std::move(mount->place));
        }
    }
    return mounts;
}

std::optional<std::string> parse_own_group(std::string_view text) {
    constexpr std::string_view v2 = "0::";
    while (!text.empty()) {
        const std::string_view line = next_part(text, '\n');
        if (line.starts_with(v2) && line.substr(v2.size()).starts_with('/')) {
            return std::string(line.substr(v2.size()));
        }
    }
    return std::nullopt;
}

std::optional<std::string> path_of_group(const CgroupMount& mount, std::string_view group) {
    if (climbs(group) && !climbs(mount.root)) {
        return std::nullopt;
    }
    const auto rest = rest_below(group, mount.root);
    return rest ? std::optional(join(mount.point, *rest)) : std::nullopt;
}

std::optional<std::string> group_of_path(const CgroupMount& mount, std::string_view path) {
    const auto rest = rest_below(path, mount.point);
    return rest ? std::optional(join(mount.root, *rest)) : std::nullopt;
}

std::optional<std::string> parent_group(std::string_view group) {
    if (group == "/" || group.empty() || climbs(group)) {
        return std::nullopt;
    }
    const std::size_t slash = group.rfind('/');
    return slash == 0 || slash == none ? "/" : std::string(group.substr(0, slash));
}

std::string common_ancestor(std::string_view left, std::string_view right) {
    std::string ancestor(left);
    while (!rest_below(right, ancestor)) {
        ancestor = parent_group(ancestor).value_or("/");
    }
    return ancestor;
}

std::optional<std::uint64_t> find_value(std::string_view text, std::string_view key) noexcept {
    for (std::size_t end = text.find('\n'); end != none; end = text.find('\n')) {
        const std::string_view line = text.substr(0, end);
        if (line.size() > key.size() && line.starts_with(key) && line[key.size()] == ' ') {
            return parse_count(text.substr(key.size() + 1, end - key.size()));
        }
        text.remove_prefix(end + 1);
    }
    return std::nullopt;
}

std::optional<std::uint64_t> parse_count(std::string_view text) noexcept {
    std::uint64_t count = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, count);
    const bool whole = error == std::errc() && end - stop == 1 && *stop == '\n';
    return whole ? std::optional(count) : std::nullopt;
}

void PidListParser::take(std::string_view piece) {
    for (const char letter : piece) {
        if (letter >= '0' && letter <= '9') {
            number_ = std::min<std::int64_t>(number_ * 10 + (letter - '0'), std::numeric_limits<pid_t>::max());
            continue;
        }
        // 0 is a process that has no number in our pid namespace.
        if (number_ > 0) {
            pids_.push_back(static_cast<pid_t>(number_));
        }
        number_ = 0;
    }
}

}  // namespace proctor::detail
