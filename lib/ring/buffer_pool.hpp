// SPDX-License-Identifier: MIT
#pragma once

#include <liburing.h>

#include <cstddef>
#include <span>

#include "base/failure.hpp"
#include "ring/operation.hpp"

namespace proctor::detail {

/// The read buffers of one ring, lent to the kernel, which picks one when data is there (provided-buffer ring, 5.19).
/// All streams share them; what is never used is never touched and so costs no memory.
class BufferPool {
public:
    BufferPool() = default;
    BufferPool(const BufferPool&) = delete;
    BufferPool& operator=(const BufferPool&) = delete;
    ~BufferPool();

    static constexpr unsigned group = 0;
    static constexpr unsigned count = 64;  // a power of two, as the kernel wants it
    static constexpr std::size_t size = Read::most;

    [[nodiscard]] Expected<void> create(io_uring& ring);

    [[nodiscard]] std::span<const char> filled(unsigned id, std::size_t length) const noexcept;
    void give_back(unsigned id) noexcept;

private:
    [[nodiscard]] char* address(unsigned id) const noexcept { return memory_ + id * size; }

    io_uring_buf_ring* ring_ = nullptr;
    char* memory_ = nullptr;
};

}  // namespace proctor::detail
