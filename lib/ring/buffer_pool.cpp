// SPDX-License-Identifier: MIT
#include "ring/buffer_pool.hpp"

#include <sys/mman.h>

#include <cassert>
#include <cerrno>

namespace proctor::detail {

namespace {

constexpr std::size_t ring_size = BufferPool::count * sizeof(io_uring_buf);
constexpr std::size_t memory_size = BufferPool::count * BufferPool::size;

void* map(std::size_t length) noexcept {
    void* const memory = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? nullptr : memory;
}

}  // namespace

BufferPool::~BufferPool() {
    if (ring_ != nullptr) {
        ::munmap(ring_, ring_size);
    }
    if (memory_ != nullptr) {
        ::munmap(memory_, memory_size);
    }
}

Expected<void> BufferPool::create(io_uring& ring) {
    ring_ = static_cast<io_uring_buf_ring*>(map(ring_size));
    memory_ = static_cast<char*>(map(memory_size));
    if (ring_ == nullptr || memory_ == nullptr) {
        return failure(Stage::setup, ENOMEM, "no memory for the read buffers of the ring",
                       "free memory, or raise the limit of address space (ulimit -v)");
    }
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<std::uintptr_t>(ring_);
    registration.ring_entries = count;
    registration.bgid = group;
    if (const int status = io_uring_register_buf_ring(&ring, &registration, 0); status < 0) {
        return failure(Stage::setup, -status, "the kernel refuses a ring of read buffers", "use kernel 6.1 or newer");
    }
    io_uring_buf_ring_init(ring_);
    for (unsigned id = 0; id < count; ++id) {
        io_uring_buf_ring_add(ring_, address(id), size, static_cast<unsigned short>(id), io_uring_buf_ring_mask(count),
                              static_cast<int>(id));
    }
    io_uring_buf_ring_advance(ring_, count);
    return {};
}

std::span<const char> BufferPool::filled(unsigned id, std::size_t length) const noexcept {
    assert(id < count && length <= size);
    return {address(id), length};
}

void BufferPool::give_back(unsigned id) noexcept {
    io_uring_buf_ring_add(ring_, address(id), size, static_cast<unsigned short>(id), io_uring_buf_ring_mask(count), 0);
    io_uring_buf_ring_advance(ring_, 1);
}

}  // namespace proctor::detail
