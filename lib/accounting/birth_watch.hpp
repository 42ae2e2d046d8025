// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <utility>

#include "base/clock.hpp"
#include "base/unique_fd.hpp"

namespace proctor::detail {

/// Whether anybody can have been born between two moments, told without looking at any process. The kernel gives ids to
/// new processes and threads in ascending order, from the beginning again after the greatest, and tells which it gave
/// last (/proc/sys/kernel/ns_last_pid). Of those the host's own children are known, and are counted apart.
///
/// It errs on one side only: "nobody" is certain. Ids that are in use are passed over, children of the host that were
/// not noted count as somebody's, and where so much time passed without a look that all ids may have been given round
/// once, nothing before it can be compared with anything after. One exception: who may choose the id of a new process
/// (CAP_CHECKPOINT_RESTORE) can be born unnoticed.
class BirthWatch {
public:
    struct Moment {
        std::uint64_t given = 0;  ///< ids, counted on from any number
        std::uint64_t own = 0;    ///< of those, to children that were noted
        std::uint64_t era = 0;    ///< moments of two eras cannot be compared
        pid_t last = 0;           ///< the id that was given last
    };

    /// Knows nothing.
    BirthWatch() = default;
    /// Reads the last id from the beginning of this file; the greatest is one less than `end`.
    BirthWatch(UniqueFd last_id, pid_t end) noexcept : last_id_(std::move(last_id)), end_(end) {}
    /// Knows nothing where the kernel does not tell (CONFIG_CHECKPOINT_RESTORE).
    [[nodiscard]] static BirthWatch open() noexcept;

    /// A child of ours has just been born. The moment of its birth.
    Moment note_own(pid_t child) noexcept;
    /// Now. None where it is not known.
    [[nodiscard]] std::optional<Moment> look() noexcept;

    /// Ids that others have got in between, at most; none where that is not known.
    [[nodiscard]] static std::optional<std::uint64_t> others_between(const Moment& then, const Moment& later) noexcept;

private:
    [[nodiscard]] Moment advance(pid_t last) noexcept;

    UniqueFd last_id_{};
    pid_t end_ = 0;
    Moment seen_{};
    Instant seen_at_{};
};

}  // namespace proctor::detail
