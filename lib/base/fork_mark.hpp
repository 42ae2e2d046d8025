// SPDX-License-Identifier: MIT
#pragma once

#include <sys/mman.h>
#include <unistd.h>

namespace proctor::detail {

/// Tells a forked copy of the process that made it, without a system call for the asking: a page of its own that the
/// kernel clears in copies (MADV_WIPEONFORK, 4.14). Where that cannot be had it knows of none.
class ForkMark {
public:
    ForkMark() noexcept {
        void* const page = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (page == MAP_FAILED) {
            return;
        }
        if (::madvise(page, length, MADV_WIPEONFORK) != 0) {
            ::munmap(page, length);
            return;
        }
        original_ = static_cast<volatile char*>(page);
        *original_ = 1;
    }
    ForkMark(const ForkMark&) = delete;
    ForkMark& operator=(const ForkMark&) = delete;
    ~ForkMark() {
        if (original_ != nullptr) {
            ::munmap(const_cast<char*>(original_), length);
        }
    }

    [[nodiscard]] bool is_copy() const noexcept { return original_ != nullptr && *original_ == 0; }

private:
    static constexpr unsigned long length = 4096;  // the kernel rounds it up to a page

    volatile char* original_ = nullptr;
};

}  // namespace proctor::detail
