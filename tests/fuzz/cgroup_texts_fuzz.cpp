// SPDX-License-Identifier: MIT
//
// Whatever the files of the cgroup file system and mountinfo hold, what is read of them is what slow models find there.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "cgroup/cgroup_text.hpp"
#include "require.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using namespace proctor::detail;

// What is between the separators, also where that is nothing.
std::vector<std::string> split(std::string_view text, char separator) {
    std::vector<std::string> parts(1);
    for (const char letter : text) {
        if (letter == separator) {
            parts.emplace_back();
        } else {
            parts.back() += letter;
        }
    }
    return parts;
}

// As the kernel writes a group: a slash before each of its names.
bool is_canonical(std::string_view group) {
    if (group == "/") return true;
    if (!group.starts_with('/')) return false;
    const std::vector<std::string> names = split(group.substr(1), '/');
    return std::none_of(names.begin(), names.end(),
                        [](const std::string& name) { return name.empty() || name == "." || name == ".."; });
}

std::optional<std::uint64_t> count_in(const std::string& text) {
    if (text.empty() || text.find_first_not_of("0123456789") != std::string::npos) return std::nullopt;
    std::uint64_t count = 0;
    for (const char digit : text) {
        const auto more = static_cast<unsigned>(digit - '0');
        if (count > (std::numeric_limits<std::uint64_t>::max() - more) / 10) return std::nullopt;
        count = count * 10 + more;
    }
    return count;
}

std::string common_part(const std::string& left, const std::string& right) {
    if (left == "/" || right == "/") return "/";
    const std::vector<std::string> left_names = split(left.substr(1), '/');
    const std::vector<std::string> right_names = split(right.substr(1), '/');
    std::string common;
    for (std::size_t i = 0; i < std::min(left_names.size(), right_names.size()); ++i) {
        if (left_names[i] != right_names[i]) break;
        common += "/" + left_names[i];
    }
    return common.empty() ? "/" : common;
}

void check_numbers(std::string_view text) {
    const bool whole = text.ends_with('\n');
    require(parse_count(text) == (whole ? count_in(std::string(text.substr(0, text.size() - 1))) : std::nullopt));

    std::vector<std::string> lines = split(text, '\n');
    lines.pop_back();  // no newline behind it
    for (const std::string_view key : {"oom_kill", "populated", "a"}) {
        const auto line = std::find_if(lines.begin(), lines.end(), [&](const std::string& some) {
            return some.starts_with(std::string(key) + " ");
        });
        require(find_value(text, key) == (line == lines.end() ? std::nullopt : count_in(line->substr(key.size() + 1))));
    }
}

void check_controllers(std::string_view text) {
    const std::vector<std::string> words = split(split(text, '\n').front(), ' ');
    const auto has = [&](const char* word) { return std::find(words.begin(), words.end(), word) != words.end(); };
    require(parse_controllers(text) == Controllers{.cpu = has("cpu"), .memory = has("memory"), .pids = has("pids")});
}

// The first byte tells where reads cut the list.
void check_pids(std::string_view text) {
    const std::size_t step = text.empty() ? 1 : 1 + static_cast<unsigned char>(text.front()) % 7;
    std::vector<pid_t> pids;
    PidListParser parser(pids);
    for (std::size_t at = 0; at < text.size(); at += step) {
        parser.take(text.substr(at, step));
    }
    std::vector<pid_t> expected;
    std::string number;
    for (const char letter : text) {
        if (letter >= '0' && letter <= '9') {
            number += letter;
            continue;
        }
        constexpr std::uint64_t most = std::numeric_limits<pid_t>::max();
        const std::uint64_t count = number.empty() ? 0 : count_in(number).value_or(most);
        if (count > 0) expected.push_back(static_cast<pid_t>(std::min(count, most)));
        number.clear();
    }
    require(pids == expected);
}

void check_paths(std::string_view text) {
    const std::vector<CgroupMount> mounts = parse_cgroup_mounts(text);
    std::set<std::string> points;
    std::vector<std::string> groups;
    for (const std::string& line : split(text, '\n')) {
        groups.push_back(line);
        if (const auto own = parse_own_group(line)) groups.push_back(*own);
    }
    for (const CgroupMount& mount : mounts) {
        require(mount.root.starts_with('/') && mount.point.starts_with('/') && points.insert(mount.point).second);
        groups.push_back(mount.root);
    }
    groups.resize(std::min<std::size_t>(groups.size(), 20));
    for (const std::string& group : groups) {
        for (const CgroupMount& mount : mounts) {
            const auto path = path_of_group(mount, group);
            if (path && is_canonical(group)) require(group_of_path(mount, *path) == group);
        }
        for (const std::string& other : groups) {
            const std::string ancestor = common_ancestor(group, other);
            if (is_canonical(group) && is_canonical(other)) require(ancestor == common_part(group, other));
        }
    }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    check_numbers(text);
    check_controllers(text);
    check_pids(text);
    check_paths(text);
    return 0;
}
