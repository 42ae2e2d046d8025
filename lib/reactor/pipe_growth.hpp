// SPDX-License-Identifier: MIT
#pragma once

namespace proctor::detail {

/// Makes the pipes larger through which much goes: what a pipe holds is what a child can write, or read, before it has
/// to wait for the reactor, and a wake-up costs more than the copy of 64 KiB. For one reactor, which bounds how many.
class PipeGrowth {
public:
    /// What anybody may ask for (/proc/sys/fs/pipe-max-size, pipe(7)).
    static constexpr int size = 1 << 20;
    /// A quarter of what a user's pipes may hold altogether (/proc/sys/fs/pipe-user-pages-soft, 64 MiB, pipe(7)): past
    /// that each new pipe would get two pages, also those of other programs.
    static constexpr unsigned most = 16;

    /// False if it stays as it is. Else closed() is to follow when it is closed.
    [[nodiscard]] bool grow(int pipe) noexcept;
    void closed() noexcept { --grown_; }

private:
    unsigned grown_ = 0;
};

/// One pipe's share in it.
class GrowingPipe {
public:
    /// Reads of all that fits into a buffer, after which more is expected.
    static constexpr unsigned full_reads = 4;

    void begin(PipeGrowth* growth) noexcept {
        growth_ = growth;
        left_ = growth != nullptr ? full_reads : 0;
    }
    /// A whole buffer has come through.
    void note_full(int pipe) noexcept {
        if (left_ > 0 && --left_ == 0) {
            grown_ = growth_->grow(pipe);
        }
    }
    void end() noexcept {
        if (grown_) {
            growth_->closed();
        }
        grown_ = false;
        left_ = 0;
    }

private:
    PipeGrowth* growth_ = nullptr;
    unsigned left_ = 0;
    bool grown_ = false;
};

}  // namespace proctor::detail
