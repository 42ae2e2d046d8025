// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace proctor::detail {

/// What a thread is in, from the text of /proc/PID/task/TID/syscall.
struct SystemCall {
    long number = -1;  ///< -1: in none, such as a page fault
    std::uint64_t arguments[3] = {};
    /// Whether the numbers are those of this processor's 64-bit calls. A 32-bit program has others; it is known by its
    /// stack, which lies below 4 GiB.
    bool is_native = true;
};

/// None if it runs, or the text is no such.
[[nodiscard]] std::optional<SystemCall> parse_system_call(std::string_view text) noexcept;

/// The descriptor that a system call reads or writes, where it waits for one.
[[nodiscard]] std::optional<int> awaited_descriptor(const SystemCall& call) noexcept;

/// In words what a thread in this call waits for, such as "asleep in futex (lock)". `descriptor` names the one that it
/// reads or writes, such as "stdin".
[[nodiscard]] std::string words_for_call(const SystemCall& call, std::string_view descriptor);

/// The same from the kernel's function that it sleeps in (/proc/PID/wchan), where the call may not be seen.
[[nodiscard]] std::string words_for_function(std::string_view function);

/// What a state letter other than S and D says by itself; empty for those.
[[nodiscard]] std::string_view words_for_state(char state) noexcept;

}  // namespace proctor::detail
