// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <string_view>

namespace proctor::detail {

/// Bytes in one piece that grow at their end. Not a std::string, which holds the old and the new piece while it grows:
/// realloc(3) moves pages of a large one instead of bytes, so the peak is what there is.
class GrowingBytes {
public:
    [[nodiscard]] std::string_view view() const noexcept { return {bytes_.get(), size_}; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

    /// Adds both, and takes memory for no more than `most` bytes in all, which must be enough. Throws std::bad_alloc.
    void append(std::string_view first, std::string_view second, std::size_t most);

private:
    struct Free {
        void operator()(char* bytes) const noexcept { std::free(bytes); }
    };

    void grow(std::size_t capacity);

    std::unique_ptr<char, Free> bytes_{};
    std::size_t size_ = 0;
    std::size_t capacity_ = 0;
};

}  // namespace proctor::detail
