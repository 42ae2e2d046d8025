// SPDX-License-Identifier: MIT
#pragma once

#include <sys/epoll.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/unique_fd.hpp"
#include "ring/engine.hpp"
#include "ring/kernel.hpp"

namespace proctor::detail {

/// The engine on epoll, for hosts that have no io_uring or may not use it. Kernel 5.10.
///
/// Theory of operation. A request is tried in the pass after its start where the kernel can be asked not to wait
/// (RWF_NOWAIT); else, or if there is nothing yet, it waits at its descriptor's number, which is registered in an epoll
/// set for what all requests there want, once (EPOLLONESHOT). When that has come, the system call is made and the
/// request completes. What epoll refuses to watch (EPERM: files) is always ready. Nothing is deregistered: a
/// registration ends with its file, and one that has fired is asleep. A number may become another file's while a copy
/// of the old one lives in a child that is about to execve, so each registration carries a count by which its late
/// events are known.
///
/// Host's descriptors are often blocking. They are asked with RWF_NOWAIT, or by a read or a small write (PIPE_BUF,
/// which a pipe that polls writable takes whole) after epoll said that it will not wait. Somebody else who reads the
/// same pipe could make such a read wait, on kernels before 6.4.
class PollEngine final : public Engine {
public:
    [[nodiscard]] static Expected<std::unique_ptr<PollEngine>> create(const KernelFeatures& kernel);
    ~PollEngine() override;

    [[nodiscard]] Expected<void> bind() override { return {}; }
    using Engine::cancel;
    using Engine::start;
    void start(Operation& operation) noexcept override;
    void cancel(Operation& operation) noexcept override;
    [[nodiscard]] int write_at_once(int fd, std::span<const char> data) noexcept override;
    [[nodiscard]] Expected<void> pass(Nanoseconds timeout) override;
    [[nodiscard]] Expected<void> flush() override;
    [[nodiscard]] int fd() noexcept override;
    void close() noexcept override;
    [[nodiscard]] bool pipes_need_nonblock() const noexcept override { return true; }
    [[nodiscard]] const char* name() const noexcept override { return "poll"; }

private:
    // Requests in the order in which they came, linked through themselves.
    class Line {
    public:
        [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
        [[nodiscard]] Operation* first() const noexcept { return first_; }
        void push(Operation& operation) noexcept;
        Operation* pop() noexcept;
        /// Whether it was there.
        bool remove(Operation& operation) noexcept;

    private:
        Operation* first_ = nullptr;
        Operation* last_ = nullptr;
    };
    // Who waits at one descriptor's number.
    struct Place {
        Line waiting{};
        std::uint32_t registration = 0;  // counts files registered under this number
        bool registered = false;
    };

    explicit PollEngine(const KernelFeatures& kernel);

    [[nodiscard]] bool has_work() const noexcept { return !started_.empty() || !given_up_.empty(); }
    [[nodiscard]] int wait_for_events(Nanoseconds timeout) noexcept;
    // Whether they completed anything.
    [[nodiscard]] bool complete_given_up() noexcept;
    [[nodiscard]] bool try_started() noexcept;
    void dispatch(const epoll_event& event) noexcept;
    void serve(int fd, std::uint32_t events) noexcept;

    // What the request answers; -EAGAIN if it would wait; `unasked` if there is no asking without waiting.
    [[nodiscard]] int try_without_waiting(Operation& operation) noexcept;
    // What the request answers, or `not_yet`.
    [[nodiscard]] int wait_or_perform(Operation& operation) noexcept;
    [[nodiscard]] int perform(Operation& operation, std::uint32_t events) noexcept;
    [[nodiscard]] int perform_on_file(Operation& operation) noexcept;

    [[nodiscard]] int try_read(Read& read) noexcept;
    [[nodiscard]] int read_out(Read& read) noexcept;
    [[nodiscard]] int note_data(Read& read, int result) noexcept;
    [[nodiscard]] int try_write(int fd, std::span<const char> data) noexcept;
    [[nodiscard]] int write_out(const Write& write, std::size_t most) noexcept;

    [[nodiscard]] int wait_in_set(Operation& operation) noexcept;
    [[nodiscard]] int arm(int fd) noexcept;
    [[nodiscard]] int control(int action, int fd, std::uint32_t events) noexcept;
    void aim_clock() noexcept;
    void silence_clock() noexcept;

    // No errno values.
    static constexpr int not_yet = -0x10000;
    static constexpr int unasked = -0x20000;
    static constexpr std::size_t events_at_once = 256;

    KernelFeatures kernel_;
    UniqueFd epoll_{};
    std::unique_ptr<char[]> buffer_;
    std::array<epoll_event, events_at_once> events_{};
    std::vector<Place> places_{};
    Line started_{};   // not tried yet
    Line current_{};   // being gone through
    Line given_up_{};  // cancelled; complete in the next pass
    bool waits_exactly_ = true;

    // For a host that waits on fd(): a timerfd in the set stands for the earliest timer, or for "at once".
    UniqueFd clock_{};
    bool wakes_by_fd_ = false;
    std::optional<Instant> aim_{};
};

}  // namespace proctor::detail
