// SPDX-License-Identifier: MIT
#pragma once

#include <liburing.h>

#include <memory>

#include "base/unique_fd.hpp"
#include "ring/buffer_pool.hpp"
#include "ring/engine.hpp"
#include "ring/kernel.hpp"

namespace proctor::detail {

/// The engine on io_uring, and the only owner of it.
///
/// Theory of operation. The ring is made with SINGLE_ISSUER and DEFER_TASKRUN (6.1): the kernel does our completions'
/// work only when this thread enters, never by interrupting it. It is made disabled and is enabled by bind(), which
/// fixes the thread. A pass enters the kernel once: that hands over what was started and waits. Then it completes as
/// many entries as were ready when it began, so that a child which floods its pipe cannot keep the caller from its
/// deadlines. A queue of submissions that is full is flushed, which reaps nothing; if even that fails for now (EAGAIN,
/// EBUSY), requests wait in a list linked through themselves until the next pass. The completion queue may overflow:
/// the kernel then keeps the rest (IORING_FEAT_NODROP) and hands it over at the next entry, so no event is lost.
class UringEngine final : public Engine {
public:
    /// `requests`: how many may be in flight without an overflow; a hint and not a bound.
    [[nodiscard]] static Expected<std::unique_ptr<UringEngine>> create(unsigned requests, const KernelFeatures& kernel);
    ~UringEngine() override;

    [[nodiscard]] Expected<void> bind() override;
    using Engine::cancel;
    using Engine::start;
    void start(Operation& operation) noexcept override;
    void cancel(Operation& operation) noexcept override;
    [[nodiscard]] int write_at_once(int fd, std::span<const char> data) noexcept override;
    [[nodiscard]] Expected<void> pass(Nanoseconds timeout) override;
    [[nodiscard]] Expected<void> flush() override;
    [[nodiscard]] int fd() noexcept override;
    void close() noexcept override;
    [[nodiscard]] bool pipes_need_nonblock() const noexcept override { return !kernel_.pipe_without_nonblock; }
    [[nodiscard]] const char* name() const noexcept override { return "io_uring"; }

private:
    explicit UringEngine(const KernelFeatures& kernel) noexcept : kernel_(kernel) {}

    [[nodiscard]] io_uring_sqe* next_slot() noexcept;
    void prepare(io_uring_sqe& slot, Operation& operation) noexcept;
    void wait_in_line(Operation& operation, Operation::Waits why) noexcept;
    void leave_line(Operation& operation) noexcept;
    void hand_over(io_uring_sqe& slot, Operation& operation) noexcept;
    void retry_waiting() noexcept;
    [[nodiscard]] int enter(Nanoseconds timeout) noexcept;
    void dispatch(const io_uring_cqe& entry) noexcept;
    void note_arrivals() noexcept;
    void dispatch_ready() noexcept;
    [[nodiscard]] int call(Operation& operation) noexcept;
    void complete(Operation& operation, int result) noexcept;
    void arm_wake_up() noexcept;

    KernelFeatures kernel_;
    io_uring ring_{};
    bool created_ = false;
    BufferPool buffers_{};
    std::unique_ptr<char[]> called_data_{};  // from the first read that is made by a call
    Operation* waiting_first_ = nullptr;
    Operation* waiting_last_ = nullptr;
    unsigned writes_in_flight_ = 0;

    // For a host that waits on fd(), an eventfd: the ring's own descriptor wakes nobody from 6.3 on, since with
    // DEFER_TASKRUN completions are posted by our entering alone, but a registered eventfd is signalled when work for
    // us begins to wait. One timeout request in the ring stands for the earliest timer.
    UniqueFd event_fd_{};
    bool wakes_by_fd_ = false;
    bool wake_up_armed_ = false;
    Instant wake_up_at_{};
    __kernel_timespec wake_up_time_{};
};

}  // namespace proctor::detail
