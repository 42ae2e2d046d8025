// SPDX-License-Identifier: MIT
#include "accounting/memory_sample.hpp"

#include <algorithm>

#include "accounting/address_space.hpp"
#include "accounting/proc_text.hpp"

namespace proctor::detail {

namespace {

struct Field {
    std::string_view name;
    Bytes MemorySample::*part;
};

constexpr Field status_fields[] = {
    {"RssAnon", &MemorySample::anonymous},
    {"RssFile", &MemorySample::file},
    {"RssShmem", &MemorySample::shared},
    {"VmSwap", &MemorySample::swapped},
};

constexpr Field rollup_fields[] = {
    {"Pss_Anon", &MemorySample::anonymous},
    {"Pss_File", &MemorySample::file},
    {"Pss_Shmem", &MemorySample::shared},
    {"SwapPss", &MemorySample::swapped},
};

// Puts a sample together from lines; complete when the first field was there, since they come together.
class Collector {
public:
    explicit Collector(std::span<const Field> fields) noexcept : fields_(fields) {}

    // Whether the line was the last one wanted.
    bool take(std::string_view line) noexcept {
        for (const Field& field : fields_) {
            if (const auto value = kib_field(line, field.name)) {
                sample_.*field.part = *value;
                found_ = true;
                return &field == &fields_.back();
            }
        }
        return false;
    }
    [[nodiscard]] std::optional<MemorySample> sample() const noexcept {
        return found_ ? std::optional(sample_) : std::nullopt;
    }

private:
    std::span<const Field> fields_;
    MemorySample sample_{};
    bool found_ = false;
};

std::optional<MemorySample> parse(std::string_view text, std::span<const Field> fields) noexcept {
    Collector collector(fields);
    while (!text.empty() && !collector.take(next_line(text))) {
    }
    return collector.sample();
}

std::optional<MemorySample> read(const ProcDirectory& proc, const ProcPath& path,
                                 std::span<const Field> fields) noexcept {
    const UniqueFd file = proc.open_file(path);
    if (!file) {
        return std::nullopt;
    }
    Collector collector(fields);
    LineReader lines(file.get());
    for (auto line = lines.next(); line && !collector.take(*line); line = lines.next()) {
    }
    return collector.sample();
}

}  // namespace

std::optional<MemorySample> parse_memory_status(std::string_view text) noexcept { return parse(text, status_fields); }

std::optional<MemorySample> parse_memory_rollup(std::string_view text) noexcept { return parse(text, rollup_fields); }

std::optional<MemorySample> read_memory(const ProcDirectory& proc, pid_t id) noexcept {
    return read(proc, {id, "status"}, status_fields);
}

std::optional<MemorySample> read_proportional_memory(const ProcDirectory& proc, pid_t id) noexcept {
    return read(proc, {id, "smaps_rollup"}, rollup_fields);
}

void TreeMemory::look(const ProcDirectory& proc, std::span<const Process> processes) noexcept {
    find_address_spaces(proc, processes, ids_);
    Bytes sum = 0;
    for (const pid_t id : ids_) {
        sum += read_memory(proc, id).value_or(MemorySample{}).figure(mem_maps_filter_);
    }
    const bool nothing_is_shared = ids_.size() <= 1;
    if (nothing_is_shared && !over(sum)) {
        confirmed_sum_ = sum;
        confirmed_ = sum;
    } else if (sum < confirmed_sum_) {
        // What went may have been shared or not: until the next confirmation as if all of it had been.
        confirmed_sum_ = sum;
        confirmed_ = std::min(confirmed_, sum);
    }
    const bool confirmed_now = must_confirm(sum);
    if (confirmed_now) {
        confirm(proc, sum);
    }
    held_ = estimate(sum);
    if (confirmed_now || nothing_is_shared) {
        peak_ = std::max(peak_, held_);
    }
    over_limit_ = confirmed_now && over(held_);
    unconfirmed_ = !confirmed_now && over(sum);
}

bool TreeMemory::must_confirm(Bytes sum) const noexcept {
    constexpr Bytes margin_min = 1 << 20;
    const bool may_be_over = over(sum);
    const bool may_be_peak = sum > peak_ && sum != confirmed_;
    if (!may_be_over && !may_be_peak) {
        return false;
    }
    const Bytes margin = std::max(margin_min, peak_ / 16);
    return (may_be_over && over(estimate(sum))) || (may_be_peak && estimate(sum) > peak_ + margin) ||
           now() >= next_confirmation_;
}

Bytes TreeMemory::estimate(Bytes sum) const noexcept { return std::min(confirmed_ + (sum - confirmed_sum_), sum); }

void TreeMemory::confirm(const ProcDirectory& proc, Bytes sum) noexcept {
    constexpr int pause_per_cost = 64;
    const Instant began = now();
    MemorySample total;
    for (const pid_t id : ids_) {
        auto sample = read_proportional_memory(proc, id);
        if (!sample) {
            sample = read_memory(proc, id);  // none if it has gone; else all of it
            exact_ = exact_ && !sample;
        }
        total += sample.value_or(MemorySample{});
    }
    confirmed_sum_ = sum;
    confirmed_ = total.figure(mem_maps_filter_);
    ++confirmations_;
    const Instant ended = now();
    next_confirmation_ = ended + (ended - began) * pause_per_cost;
}

}  // namespace proctor::detail
