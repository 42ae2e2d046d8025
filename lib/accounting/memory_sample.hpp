// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include <proctor/units.hpp>

#include "accounting/proc_directory.hpp"
#include "accounting/process_table.hpp"
#include "base/clock.hpp"

namespace proctor::detail {

/// Memory of one address space, or of several.
struct MemorySample {
    Bytes anonymous = 0;  ///< heap, stacks, private pages of files once they were written to
    Bytes file = 0;       ///< pages of mapped files: programs and libraries, and data that is mapped
    Bytes shared = 0;     ///< shared memory and tmpfs files, as far as they are mapped and were touched
    Bytes swapped = 0;    ///< out of the first; of shared memory that is swapped out no process knows

    /// The figure that a memory limit is about. With `mem_maps_filter`: what the processes brought about themselves,
    /// which is all but mapped files. Those are page cache: the kernel takes them away under pressure and reads them
    /// again, and most of them are libraries that every process maps. Without: the whole resident set, mapped files
    /// included and what is swapped out not, as ps and ru_maxrss tell it.
    [[nodiscard]] Bytes figure(bool mem_maps_filter) const noexcept {
        return mem_maps_filter ? anonymous + shared + swapped : anonymous + shared + file;
    }
    MemorySample& operator+=(const MemorySample& other) noexcept {
        anonymous += other.anonymous;
        file += other.file;
        shared += other.shared;
        swapped += other.swapped;
        return *this;
    }
};

/// From the text of /proc/PID/status; none if it has no memory, as a dead process.
[[nodiscard]] std::optional<MemorySample> parse_memory_status(std::string_view text) noexcept;
/// From the text of /proc/PID/smaps_rollup: of each page the share of one who maps it among all who do.
[[nodiscard]] std::optional<MemorySample> parse_memory_rollup(std::string_view text) noexcept;

/// All pages that a process maps. Anybody may ask. The kernel counts in batches, of 64 pages for each thread before 6.2
/// and of 32 or more for each processor that it ran on since, so each part may be so much off. `id` may be a thread's
/// too.
[[nodiscard]] std::optional<MemorySample> read_memory(const ProcDirectory& proc, pid_t id) noexcept;
/// The process's proportion of what it shares, exact at the moment. The kernel goes through all its pages, some
/// milliseconds for each 100 MiB in small ones. None also where we may not look at it as a debugger might.
[[nodiscard]] std::optional<MemorySample> read_proportional_memory(const ProcDirectory& proc, pid_t id) noexcept;

/// The memory of a tree over time.
///
/// Each look sums up what its processes map, which is cheap; but pages that two of them share are in it twice: those
/// from before a fork until one writes to them, and shared memory. Where that could matter, because the sum is above
/// the limit or would be a new peak, it is confirmed by each process's proportion of its pages, which counts every page
/// once (and of pages that processes outside the tree share only the tree's part).
///
/// Confirming costs much more than looking. It is done at once if the sum has grown by as much as was missing when it
/// was confirmed last; else again after a pause of so many times what it took last, because shared pages cease to be
/// shared without the sum's growing.
class TreeMemory {
public:
    explicit TreeMemory(bool mem_maps_filter, std::optional<Bytes> limit = std::nullopt) noexcept
        : mem_maps_filter_(mem_maps_filter), limit_(limit) {}

    void set_limit(std::optional<Bytes> limit) noexcept { limit_ = limit; }

    /// Takes a sample of the processes that live.
    void look(const ProcDirectory& proc, std::span<const Process> processes) noexcept;

    /// What the tree holds now. Where pages are shared it is the last confirmed figure, and what the sum has grown
    /// since.
    [[nodiscard]] Bytes held() const noexcept { return held_; }
    /// The greatest figure that was confirmed, or needed no confirming. Up to 1 MiB and a sixteenth less than was seen.
    [[nodiscard]] Bytes peak() const noexcept { return peak_; }
    /// Whether the last look found more than the limit, and that was confirmed.
    [[nodiscard]] bool over_limit() const noexcept { return over_limit_; }
    /// Whether it found more than the limit, and the confirmation of that is put off to a later look.
    [[nodiscard]] bool unconfirmed() const noexcept { return unconfirmed_; }
    /// Whether every confirmation could be made. If not, shared pages of those that may not be looked at count in full.
    [[nodiscard]] bool exact() const noexcept { return exact_; }
    /// How often it was confirmed.
    [[nodiscard]] int confirmations() const noexcept { return confirmations_; }

private:
    [[nodiscard]] bool must_confirm(Bytes sum) const noexcept;
    [[nodiscard]] Bytes estimate(Bytes sum) const noexcept;
    void confirm(const ProcDirectory& proc, Bytes sum) noexcept;
    [[nodiscard]] bool over(Bytes figure) const noexcept { return limit_ && figure > *limit_; }

    bool mem_maps_filter_;
    std::optional<Bytes> limit_;
    Bytes held_ = 0;
    Bytes peak_ = 0;
    bool over_limit_ = false;
    bool unconfirmed_ = false;
    bool exact_ = true;
    int confirmations_ = 0;
    // What the sum was when it was confirmed last, or the least since then, and what came of it.
    Bytes confirmed_sum_ = 0;
    Bytes confirmed_ = 0;
    Instant next_confirmation_{};
    std::vector<pid_t> ids_{};
};

}  // namespace proctor::detail
