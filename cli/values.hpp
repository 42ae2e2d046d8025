// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <proctor/capture.hpp>
#include <proctor/error.hpp>
#include <proctor/job.hpp>
#include <proctor/placement.hpp>
#include <proctor/reactor.hpp>
#include <proctor/units.hpp>

/// The values that the command's options take. An Error says in `message` what is wrong with the text and in `cure`
/// what would be right.
namespace proctor::cli {

/// "1.5" seconds, a number with us, ms, s, m or h, "1:30" or "1:02:03". What is finer than a nanosecond is dropped.
[[nodiscard]] Result<std::chrono::nanoseconds> parse_duration(std::string_view text);

/// "4096" bytes, a number with k, K, M, G or T (B may follow; powers of 1000), or with KiB, MiB, GiB or TiB (of 1024).
/// Fractions of a byte are dropped.
[[nodiscard]] Result<Bytes> parse_size(std::string_view text);

/// A whole number, 0 or more.
[[nodiscard]] Result<std::int64_t> parse_count(std::string_view text);

/// A whole number, 0 to 9.
[[nodiscard]] Result<int> parse_precision(std::string_view text);

/// A decimal number above zero.
[[nodiscard]] Result<double> parse_speed(std::string_view text);

/// 0, 1 or 2.
[[nodiscard]] Result<Stream> parse_stream(std::string_view text);

/// automatic, cgroup, keeper or tree.
[[nodiscard]] Result<Containment> parse_containment(std::string_view text);
[[nodiscard]] Result<EngineChoice> parse_engine(std::string_view text);

/// pipe or exact.
[[nodiscard]] Result<Order> parse_order(std::string_view text);

/// fixed or quiet.
[[nodiscard]] Result<Pacing> parse_pacing(std::string_view text);

/// any, with-reactor, apart, or slot:N with a whole number, 0 to 4,294,967,295.
[[nodiscard]] Result<Placement> parse_placement(std::string_view text);

/// Words of cgroup, cpu, memory, tasks and kill with commas between them.
[[nodiscard]] Result<Require> parse_require(std::string_view text);

/// "1000" or "1000:100".
[[nodiscard]] Result<User> parse_user(std::string_view text);

/// "NAME=VALUE"; the value may be empty and may have more equals signs in it.
[[nodiscard]] Result<std::pair<std::string, std::string>> parse_variable(std::string_view text);

}  // namespace proctor::cli
