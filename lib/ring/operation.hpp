// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>

namespace proctor::detail {

/// One request to an engine. Its owner embeds it; its address is what the kernel gives back, so it must neither move
/// nor die while in_flight(). The rooms above choose one of the kinds below and implement only `complete`.
class Operation {
public:
    enum class Kind : std::uint8_t { read, write, ready };

    Operation(const Operation&) = delete;
    Operation& operator=(const Operation&) = delete;

    /// How the engine makes a read or a write, where the usual way will not do.
    enum class Manner : std::uint8_t {
        usual,
        by_call,  ///< by read(2) or write(2), which lock the file's position; a ring moves it without (6.18)
        aside,    ///< where waiting holds nobody up, since the descriptor waits whatever it is asked; epoll has no such
                  ///< place
    };
    Manner manner = Manner::usual;

    [[nodiscard]] Kind kind() const noexcept { return kind_; }
    [[nodiscard]] bool in_flight() const noexcept { return in_flight_; }
    [[nodiscard]] bool cancelled() const noexcept { return cancelled_; }

    // The rest is the engines' side.

    void begin() noexcept {
        assert(!in_flight_);
        in_flight_ = true;
        cancelled_ = false;
    }
    void mark_cancelled() noexcept { cancelled_ = true; }
    /// The engine is gone and will complete nothing any more.
    void forsake() noexcept { in_flight_ = false; }
    void finish(int result) noexcept {
        assert(in_flight_);
        in_flight_ = false;
        complete(result);  // the last touch: it may start *this again, or destroy it
    }

    /// Why it is on the engine's waiting list, if it is.
    enum class Waits : std::uint8_t {
        no,
        to_start,   // the kernel does not know it yet
        to_cancel,  // the kernel has it and is to be told to give it up
        as_no_op,   // cancelled before the kernel knew it: handed over as a no-op that brings its completion
    };
    Waits waits = Waits::no;
    Operation* next_waiting = nullptr;

protected:
    explicit Operation(Kind kind) noexcept : kind_(kind) {}
    ~Operation() { assert(!in_flight_); }

private:
    /// `result` is what the system call of the same name returns, or -errno.
    virtual void complete(int result) noexcept = 0;

    Kind kind_;
    bool in_flight_ = false;
    bool cancelled_ = false;
};

/// Reads once, what is there, at the descriptor's own position, into a buffer of the engine's pool: memory follows the
/// streams that are active, not those that are open. `data` is valid during complete() alone.
class Read : public Operation {
public:
    /// What comes at once: as much as a pipe holds, unless it was made larger.
    static constexpr std::size_t most = std::size_t{64} * 1024;

    int fd = -1;
    std::span<const char> data{};

    /// The engine's side: has been read, and complete() comes in this pass or the next. An engine that reads right
    /// before it calls complete() has no need of it.
    bool arriving = false;

protected:
    Read() noexcept : Operation(Kind::read) {}
    ~Read() = default;
};

/// Writes once; may accept less than all. The bytes stay the owner's and must live until complete(). A reader that is
/// gone is -EPIPE and never a signal.
class Write : public Operation {
public:
    static constexpr std::uint64_t at_position = static_cast<std::uint64_t>(-1);

    int fd = -1;
    std::span<const char> data{};
    std::uint64_t offset = at_position;  ///< in a file; else where the descriptor's own position is

protected:
    Write() noexcept : Operation(Kind::write) {}
    ~Write() = default;
};

/// Completes once, with the poll(2) events, when one of `events` has come or the descriptor is at its end or broken.
class Ready : public Operation {
public:
    int fd = -1;
    short events = 0;  ///< POLLIN, POLLOUT, …; POLLERR and POLLHUP always count

protected:
    Ready() noexcept : Operation(Kind::ready) {}
    ~Ready() = default;
};

/// Ties a request or a timer to a member function of its owner: `Bound<Read, Job, &Job::on_read> read_{*this};`
template <typename Base, typename Owner, void (Owner::*Handler)(int) noexcept>
class Bound final : public Base {
public:
    explicit Bound(Owner& owner) noexcept : owner_(owner) {}

private:
    void complete(int result) noexcept override { (owner_.*Handler)(result); }

    Owner& owner_;
};

}  // namespace proctor::detail
