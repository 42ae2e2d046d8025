// SPDX-License-Identifier: MIT
#include "process/keeper_plan.hpp"

#include <cstring>
#include <type_traits>

namespace proctor::detail {

namespace {

class PlanWriter {
public:
    explicit PlanWriter(std::vector<char>& plan) : plan_(plan) { plan_.resize(sizeof(KeeperPlan)); }

    /// Copies the items to the end; answers where they will be in the keeper.
    template <typename T>
    const T* add(const T* items, std::size_t count) {
        static_assert(std::is_trivially_copyable_v<T>);
        // Padding would take whatever lay in our memory over to a process that is not ours alone.
        static_assert(std::has_unique_object_representations_v<T>);
        const std::size_t offset = make_room(alignof(T), count * sizeof(T));
        if (count > 0) {
            std::memcpy(plan_.data() + offset, items, count * sizeof(T));
        }
        return reinterpret_cast<const T*>(keeper_plan_address + offset);
    }

    /// Adds sealed strings, and the pointers to them.
    void add_strings(const StringBlock& strings) {
        old_text_ = strings.text().data();
        new_text_ = add(old_text_, strings.text().size());
        old_pointers_ = strings.pointers().data();
        std::size_t at = make_room(alignof(char*), strings.pointers().size() * sizeof(char*));
        new_pointers_ = keeper_plan_address + at;
        for (const char* const old : strings.pointers()) {
            const char* const moved = string(old);
            std::memcpy(plan_.data() + at, &moved, sizeof moved);
            at += sizeof moved;
        }
    }

    /// Where a list of these strings will be.
    template <typename T>
    [[nodiscard]] T* const* list(T* const* old) const {
        const auto index = static_cast<std::size_t>(static_cast<const char* const*>(old) - old_pointers_);
        return reinterpret_cast<T* const*>(new_pointers_ + index * sizeof(char*));
    }
    /// Where a single string will be.
    [[nodiscard]] const char* string(const char* old) const {
        return old == nullptr ? nullptr : new_text_ + (old - old_text_);
    }

private:
    std::size_t make_room(std::size_t alignment, std::size_t size) {
        const std::size_t offset = (plan_.size() + alignment - 1) / alignment * alignment;
        plan_.resize(offset + size);
        return offset;
    }

    std::vector<char>& plan_;
    const char* old_text_ = nullptr;
    const char* new_text_ = nullptr;
    const char* const* old_pointers_ = nullptr;
    std::uintptr_t new_pointers_ = 0;
};

}  // namespace

void flatten_plan(KeeperPlan head, const StringBlock& strings, std::vector<char>& plan) {
    LaunchRecord& record = head.record;
    PlanWriter writer(plan);
    writer.add_strings(strings);
    record.argv = writer.list(record.argv);
    record.environment = writer.list(record.environment);
    record.candidates = writer.list(record.candidates);
    record.directory = writer.string(record.directory);
    record.moves = nullptr;
    record.move_count = 0;
    record.closed_ranges = writer.add(record.closed_ranges, record.closed_range_count);
    record.rlimits = writer.add(record.rlimits, record.rlimit_count);
    record.affinity = writer.add(record.affinity, record.affinity_bytes / sizeof(unsigned long));
    record.groups = writer.add(record.groups, record.group_count);
    record.peers = nullptr;
    record.next_peer = nullptr;
    static_assert(std::is_trivially_copyable_v<KeeperPlan> && std::has_unique_object_representations_v<KeeperPlan>);
    std::memcpy(plan.data(), &head, sizeof head);
}

}  // namespace proctor::detail
