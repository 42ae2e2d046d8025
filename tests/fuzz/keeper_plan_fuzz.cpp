// SPDX-License-Identifier: MIT
//
// Whatever a job's strings and lists are, the keeper finds them in its plan where the pointers in it say, aligned and
// the same. The plan is read here as the keeper has it, less the address at which it is mapped.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "process/keeper_plan.hpp"
#include "require.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using namespace proctor::detail;
using Strings = std::vector<std::string>;

class PlanReader {
public:
    explicit PlanReader(const std::vector<char>& plan) : plan_(plan) {}

    template <typename T>
    std::vector<T> items(const T* there, std::size_t count) const {
        std::vector<T> copies(count);
        require(reinterpret_cast<std::uintptr_t>(there) % alignof(T) == 0);
        if (count > 0) std::memcpy(copies.data(), at(there, count * sizeof(T)), count * sizeof(T));
        return copies;
    }
    [[nodiscard]] std::string string(const char* there) const {
        std::string copy;
        while (*at(there, 1) != '\0') copy += *there_and_on(there);
        return copy;
    }
    template <typename Pointer>
    Strings list(const Pointer* there) const {
        Strings copies;
        for (;; ++there) {
            const Pointer string_there = items(there, 1).front();
            if (string_there == nullptr) return copies;
            copies.push_back(string(string_there));
        }
    }

private:
    [[nodiscard]] const char* at(const void* there, std::size_t size) const {
        const std::uintptr_t offset = reinterpret_cast<std::uintptr_t>(there) - keeper_plan_address;
        require(offset >= sizeof(KeeperPlan) && offset <= plan_.size() && size <= plan_.size() - offset);
        return plan_.data() + offset;
    }
    // The byte there, and the pointer goes to the next one.
    const char* there_and_on(const char*& there) const { return at(there++, 1); }

    const std::vector<char>& plan_;
};

// The text's lines, in four lists: arguments, environment, candidates, and the directory with what else there is.
std::vector<Strings> make_lists(std::string_view text) {
    std::vector<Strings> lists(4);
    std::size_t list = 0;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        const std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (line.empty() && list + 1 < lists.size()) {
            ++list;
        } else {
            lists[list].emplace_back(line.substr(0, line.find('\0')));
        }
    }
    return lists;
}

std::size_t add_list(StringBlock& strings, const Strings& list) {
    const std::size_t position = strings.position();
    for (const std::string& string : list) strings.add(string);
    strings.end_list();
    return position;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto lists = make_lists({reinterpret_cast<const char*>(data), size});
    std::vector<DescriptorRange> ranges;
    std::vector<RlimitSetting> rlimits;
    std::vector<unsigned long> affinity;
    std::vector<unsigned> groups;
    for (const std::string& more : lists[3]) {
        const auto number = static_cast<unsigned>(more.size());
        if (number % 2 == 0) ranges.push_back({number, number + 1});
        if (number % 3 == 0)
            rlimits.push_back({.soft = number, .hard = number + 7, .resource = static_cast<int>(number)});
        if (number % 5 != 0) affinity.push_back(number);
        if (number % 7 != 0) groups.push_back(number);
    }

    StringBlock strings;
    const std::size_t arguments = add_list(strings, lists[0]);
    const std::size_t environment = add_list(strings, lists[1]);
    const std::size_t candidates = add_list(strings, lists[2]);
    const std::size_t directory = strings.position();
    if (!lists[3].empty()) strings.add(lists[3].front());
    strings.seal();

    KeeperPlan head;
    head.record.argv = strings.list(arguments);
    head.record.environment = strings.list(environment);
    head.record.candidates = strings.list(candidates);
    if (!lists[3].empty()) head.record.directory = *strings.list(directory);
    head.record.closed_ranges = ranges.data();
    head.record.closed_range_count = static_cast<unsigned>(ranges.size());
    head.record.rlimits = rlimits.data();
    head.record.rlimit_count = static_cast<unsigned>(rlimits.size());
    head.record.affinity = affinity.data();
    head.record.affinity_bytes = static_cast<unsigned>(affinity.size() * sizeof(unsigned long));
    head.record.groups = groups.data();
    head.record.group_count = static_cast<unsigned>(groups.size());
    std::vector<char> plan(3, 'x');  // of a job before this one
    flatten_plan(head, strings, plan);

    KeeperPlan found;
    require(plan.size() >= sizeof found);
    std::memcpy(&found, plan.data(), sizeof found);
    const LaunchRecord& record = found.record;
    const PlanReader reader(plan);
    require(found.magic == keeper_plan_magic && record.moves == nullptr && record.move_count == 0);
    require(reader.list(record.argv) == lists[0] && reader.list(record.environment) == lists[1]);
    require(reader.list(record.candidates) == lists[2]);
    require((record.directory == nullptr) == lists[3].empty());
    if (record.directory != nullptr) require(reader.string(record.directory) == lists[3].front());
    require(reader.items(record.affinity, affinity.size()) == affinity &&
            reader.items(record.groups, groups.size()) == groups);
    const auto ranges_there = reader.items(record.closed_ranges, ranges.size());
    for (std::size_t i = 0; i < ranges.size(); ++i) {
        require(ranges_there[i].first == ranges[i].first && ranges_there[i].last == ranges[i].last);
    }
    const auto rlimits_there = reader.items(record.rlimits, rlimits.size());
    for (std::size_t i = 0; i < rlimits.size(); ++i) {
        require(rlimits_there[i].resource == rlimits[i].resource && rlimits_there[i].soft == rlimits[i].soft &&
                rlimits_there[i].hard == rlimits[i].hard && rlimits_there[i].required == rlimits[i].required);
    }
    return 0;
}
