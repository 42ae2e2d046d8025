// SPDX-License-Identifier: MIT
#include "capture/growing_bytes.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <new>

namespace proctor::detail {

void GrowingBytes::append(std::string_view first, std::string_view second, std::size_t most) {
    const std::size_t needed = size_ + first.size() + second.size();
    assert(needed <= most);
    if (needed > capacity_) {
        grow(std::min(std::max(needed, 2 * capacity_), most));
    }
    for (const std::string_view part : {first, second}) {
        if (!part.empty()) {
            std::memcpy(bytes_.get() + size_, part.data(), part.size());
            size_ += part.size();
        }
    }
}

void GrowingBytes::grow(std::size_t capacity) {
    char* const larger = static_cast<char*>(std::realloc(bytes_.get(), capacity));
    if (larger == nullptr) {
        throw std::bad_alloc();
    }
    static_cast<void>(bytes_.release());  // realloc has freed it, or given it back
    bytes_.reset(larger);
    capacity_ = capacity;
}

}  // namespace proctor::detail
