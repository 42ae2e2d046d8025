// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace proctor {

/// A number of bytes. Signed, so that a negative one can be refused instead of becoming a huge one.
using Bytes = std::int64_t;

/// `using namespace proctor::literals;` for `256_MiB`; k is 1000 and Ki is 1024, as on the command line.
inline namespace literals {

constexpr Bytes operator""_B(unsigned long long count) noexcept { return static_cast<Bytes>(count); }
constexpr Bytes operator""_kB(unsigned long long count) noexcept { return static_cast<Bytes>(count * 1000); }
constexpr Bytes operator""_MB(unsigned long long count) noexcept { return static_cast<Bytes>(count * 1000 * 1000); }
constexpr Bytes operator""_GB(unsigned long long count) noexcept {
    return static_cast<Bytes>(count * 1000 * 1000 * 1000);
}
constexpr Bytes operator""_KiB(unsigned long long count) noexcept { return static_cast<Bytes>(count << 10); }
constexpr Bytes operator""_MiB(unsigned long long count) noexcept { return static_cast<Bytes>(count << 20); }
constexpr Bytes operator""_GiB(unsigned long long count) noexcept { return static_cast<Bytes>(count << 30); }

}  // namespace literals

}  // namespace proctor
