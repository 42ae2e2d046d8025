// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <vector>

#include <proctor/placement.hpp>

namespace proctor::detail {

/// No kernel knows a processor of this number (CONFIG_NR_CPUS of the largest).
inline constexpr unsigned processor_numbers_end = 8192;

/// Those that the calling thread may use, in ascending order; none if the kernel does not tell.
[[nodiscard]] std::vector<unsigned> allowed_processors();

/// How many the machine has, also those that the calling thread may not use.
[[nodiscard]] unsigned count_processors() noexcept;

/// The one on which the calling thread is now; it may be another one at once.
[[nodiscard]] std::optional<unsigned> current_processor() noexcept;

/// Where a job is to run, given those of the host in ascending order and where the reactor's thread is. Empty: it is
/// not to be bound.
[[nodiscard]] std::vector<unsigned> choose_processors(Placement placement, const std::vector<unsigned>& of_host,
                                                      std::optional<unsigned> reactors);

}  // namespace proctor::detail
