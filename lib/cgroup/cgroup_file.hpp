// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace proctor::detail {

/// One pread from the beginning. Empty if there is nothing to read, or it cannot be read.
[[nodiscard]] std::string_view read_at_start(int file, char* buffer, std::size_t size) noexcept;

/// Opens, reads as above, closes. `directory` may be AT_FDCWD.
[[nodiscard]] std::string_view read_at_start(int directory, const char* name, char* buffer, std::size_t size) noexcept;

/// Opens, writes at once, closes. 0, or an errno value.
[[nodiscard]] int write_at_once(int directory, const char* name, std::string_view text) noexcept;

/// All of a file, whatever its size, into `text`. 0, or an errno value.
[[nodiscard]] int read_all(const char* path, std::string& text);

/// A stack buffer, so that `text.read(…)` says where the bytes live.
template <std::size_t Size>
struct SmallText {
    [[nodiscard]] std::string_view read(int file) noexcept { return read_at_start(file, bytes, Size); }
    [[nodiscard]] std::string_view read(int directory, const char* name) noexcept {
        return read_at_start(directory, name, bytes, Size);
    }
    char bytes[Size];
};

}  // namespace proctor::detail
