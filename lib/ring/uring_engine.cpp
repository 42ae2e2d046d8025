// SPDX-License-Identifier: MIT
#include "ring/uring_engine.hpp"

#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <new>

#include "ring/sigpipe_guard.hpp"

namespace proctor::detail {

namespace {

// user_data of requests that are not Operations: addresses are never so small.
constexpr std::uint64_t ignored = 0;
constexpr std::uint64_t wake_up = 1;

// Of a longer write the ring would see the lower half of the length: of 4 GiB nothing, again and again.
constexpr std::size_t longest_write = std::size_t{1} << 30;

Error refusal(int error_number) {
    switch (error_number) {
        case ENOSYS:
            return {
                Stage::setup, error_number, "this kernel, or a seccomp filter, has no io_uring",
                "use kernel 6.1 or newer; in a container allow io_uring_setup, io_uring_enter and io_uring_register "
                "in the seccomp profile (docker run --security-opt seccomp=…)"};
        case EPERM:
            return {Stage::setup, error_number, "io_uring is forbidden here",
                    "sysctl kernel.io_uring_disabled=0; in a container allow io_uring_setup, io_uring_enter and "
                    "io_uring_register in the seccomp profile (docker run --security-opt seccomp=…)"};
        case EINVAL:
            return {Stage::setup, error_number,
                    "this kernel's io_uring knows no IORING_SETUP_SINGLE_ISSUER or IORING_SETUP_DEFER_TASKRUN",
                    "use kernel 6.1 or newer"};
        case EMFILE:
        case ENFILE:
            return {Stage::setup, error_number, "no descriptor is left for the ring",
                    "close some, or raise the limit of open files (ulimit -n)"};
        case ENOMEM:
            return {Stage::setup, error_number, "no memory for the ring",
                    "free memory, or raise the limit of locked memory (ulimit -l)"};
        default: return {Stage::setup, error_number, "the ring cannot be made", usual_cure(error_number)};
    }
}

__kernel_timespec to_kernel_timespec(Nanoseconds duration) noexcept {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(duration);
    return {seconds.count(), (duration - seconds).count()};
}

// What an entry into the ring may answer without anything being wrong: nobody came in time, a signal, or a kernel that
// wants its completions reaped first.
bool is_ordinary(int status) noexcept {
    return status >= 0 || status == -ETIME || status == -EINTR || status == -EAGAIN || status == -EBUSY;
}

void prepare_cancel(io_uring_sqe& slot, Operation& operation) noexcept {
    io_uring_prep_cancel(&slot, &operation, 0);
    io_uring_sqe_set_data64(&slot, ignored);
}

}  // namespace

Expected<std::unique_ptr<UringEngine>> UringEngine::create(unsigned requests, const KernelFeatures& kernel) {
    auto engine = std::unique_ptr<UringEngine>(new UringEngine(kernel));
    io_uring_params parameters{};
    parameters.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_R_DISABLED |
                       IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
    const unsigned submissions = std::clamp(std::bit_ceil(requests / 2), 64U, 2048U);
    parameters.cq_entries = std::clamp(std::bit_ceil(requests), 2 * submissions, 65536U);
    if (const int status = io_uring_queue_init_params(submissions, &engine->ring_, &parameters); status < 0) {
        return tl::unexpected<Error>(refusal(-status));
    }
    engine->created_ = true;
    constexpr unsigned needed = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG | IORING_FEAT_FAST_POLL;
    if ((parameters.features & needed) != needed) {
        return tl::unexpected<Error>(refusal(EINVAL));
    }
    engine->event_fd_.reset(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    if (!engine->event_fd_) {
        return tl::unexpected<Error>(refusal(errno));
    }
    if (auto made = engine->buffers_.create(engine->ring_); !made) {
        return tl::unexpected<Error>(std::move(made.error()));
    }
    return engine;
}

UringEngine::~UringEngine() { close(); }

void UringEngine::close() noexcept {
    if (created_) {
        // The exit does deferred work, so a write that waited for room may be tried again.
        SigpipeGuard guard(!kernel_.write_without_signal && writes_in_flight_ > 0);
        io_uring_queue_exit(&ring_);
        guard.consume();
        created_ = false;
    }
}

Expected<void> UringEngine::bind() {
    // Not io_uring_enable_rings(): the shared library of liburing 2.3 forgets to export it.
    if (::syscall(SYS_io_uring_register, ring_.ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0) < 0) {
        return failure(Stage::setup, errno, "the ring cannot be enabled", usual_cure(errno));
    }
    return {};
}

void UringEngine::start(Operation& operation) noexcept {
    operation.begin();
    if (fork_.is_copy()) {
        return;
    }
    if (operation.kind() == Operation::Kind::write) {
        ++writes_in_flight_;
    }
    if (io_uring_sqe* const slot = waiting_first_ == nullptr ? next_slot() : nullptr; slot != nullptr) {
        prepare(*slot, operation);
    } else {
        wait_in_line(operation, Operation::Waits::to_start);
    }
}

void UringEngine::cancel(Operation& operation) noexcept {
    if (!operation.in_flight() || operation.cancelled() || fork_.is_copy()) {
        return;
    }
    operation.mark_cancelled();
    if (operation.waits == Operation::Waits::to_start) {
        operation.waits = Operation::Waits::as_no_op;
    } else if (io_uring_sqe* const slot = next_slot(); slot != nullptr) {
        prepare_cancel(*slot, operation);
    } else {
        wait_in_line(operation, Operation::Waits::to_cancel);
    }
}

// Where the kernel has no flag against SIGPIPE, blocking the signal would cost more than a request does.
int UringEngine::write_at_once(int fd, std::span<const char> data) noexcept {
    if (!kernel_.write_without_signal || !kernel_.pipe_without_nonblock || fork_.is_copy()) {
        return -EAGAIN;
    }
    const iovec piece{const_cast<char*>(data.data()), data.size()};
    const ssize_t written = ::pwritev2(fd, &piece, 1, -1, RWF_NOWAIT | rwf_nosignal);
    return written >= 0 ? static_cast<int>(written) : -EAGAIN;
}

// liburing leaves the user_data of a slot's last tenant where it is, so every path below sets it, and sets it last.
void UringEngine::prepare(io_uring_sqe& slot, Operation& operation) noexcept {
    if (operation.manner == Operation::Manner::by_call) {
        io_uring_prep_nop(&slot);  // its completion is the time to make the call
        io_uring_sqe_set_data(&slot, &operation);
        return;
    }
    switch (operation.kind()) {
        case Operation::Kind::read: {
            auto& read = static_cast<Read&>(operation);
            io_uring_prep_read(&slot, read.fd, nullptr, static_cast<unsigned>(BufferPool::size),
                               static_cast<std::uint64_t>(-1));
            slot.flags |= IOSQE_BUFFER_SELECT;
            slot.buf_group = BufferPool::group;
            break;
        }
        case Operation::Kind::write: {
            auto& write = static_cast<Write&>(operation);
            const auto length = static_cast<unsigned>(std::min(write.data.size(), longest_write));
            io_uring_prep_write(&slot, write.fd, write.data.data(), length, write.offset);
            slot.rw_flags = kernel_.write_without_signal ? rwf_nosignal : 0;
            break;
        }
        case Operation::Kind::ready: {
            auto& ready = static_cast<Ready&>(operation);
            io_uring_prep_poll_add(&slot, ready.fd, static_cast<unsigned>(ready.events));
            break;
        }
    }
    if (operation.manner == Operation::Manner::aside) {
        slot.flags |= IOSQE_ASYNC;
    }
    io_uring_sqe_set_data(&slot, &operation);
}

io_uring_sqe* UringEngine::next_slot() noexcept {
    io_uring_sqe* slot = io_uring_get_sqe(&ring_);
    if (slot == nullptr) {
        SigpipeGuard guard(!kernel_.write_without_signal && writes_in_flight_ > 0);
        io_uring_submit(&ring_);  // reaps nothing; whether it made room is what counts
        guard.consume();
        note_arrivals();  // it may have read
        slot = io_uring_get_sqe(&ring_);
    }
    return slot;
}

void UringEngine::wait_in_line(Operation& operation, Operation::Waits why) noexcept {
    operation.waits = why;
    operation.next_waiting = nullptr;
    (waiting_last_ != nullptr ? waiting_last_->next_waiting : waiting_first_) = &operation;
    waiting_last_ = &operation;
}

// Linear, but only for a request that completes while its cancellation finds no place.
void UringEngine::leave_line(Operation& operation) noexcept {
    Operation* before = nullptr;
    for (Operation* each = waiting_first_; each != &operation; each = each->next_waiting) {
        before = each;
    }
    (before != nullptr ? before->next_waiting : waiting_first_) = operation.next_waiting;
    if (waiting_last_ == &operation) {
        waiting_last_ = before;
    }
    operation.waits = Operation::Waits::no;
}

void UringEngine::retry_waiting() noexcept {
    while (waiting_first_ != nullptr) {
        io_uring_sqe* const slot = next_slot();
        if (slot == nullptr) {
            return;
        }
        hand_over(*slot, *waiting_first_);
    }
}

void UringEngine::hand_over(io_uring_sqe& slot, Operation& operation) noexcept {
    const Operation::Waits why = operation.waits;
    leave_line(operation);
    switch (why) {
        case Operation::Waits::no:
        case Operation::Waits::to_start: prepare(slot, operation); break;
        case Operation::Waits::to_cancel: prepare_cancel(slot, operation); break;
        case Operation::Waits::as_no_op:
            operation.waits = Operation::Waits::as_no_op;  // for dispatch(), which must not take 0 for its result
            io_uring_prep_nop(&slot);
            io_uring_sqe_set_data(&slot, &operation);
            break;
    }
}

Expected<void> UringEngine::pass(Nanoseconds timeout) {
    if (wakes_by_fd_) {
        // Before the reaping: an event that comes between the two must not be lost.
        eventfd_t count = 0;
        ::eventfd_read(event_fd_.get(), &count);
    }
    retry_waiting();
    if (const int status = enter(waiting_first_ != nullptr ? Nanoseconds::zero() : wait_at_most(timeout));
        !is_ordinary(status)) {
        return failure(Stage::io, -status, "the ring cannot be entered",
                       status == -EEXIST ? "a reactor belongs to the thread that first ran it" : usual_cure(-status));
    }
    dispatch_ready();
    fire_timers();
    return still_ours();
}

int UringEngine::enter(Nanoseconds timeout) noexcept {
    SigpipeGuard guard(!kernel_.write_without_signal && writes_in_flight_ > 0);
    int status = 0;
    if (io_uring_cq_ready(&ring_) > 0) {
        // Nothing to wait for. The waiting call would leave the deferred work undone then (liburing 2.3), and as the
        // eventfd is signalled only when that list begins to fill, whoever sleeps on fd() would not be woken again.
        status = io_uring_submit_and_get_events(&ring_);
    } else {
        __kernel_timespec time = to_kernel_timespec(timeout);
        io_uring_cqe* entry = nullptr;
        status =
            io_uring_submit_and_wait_timeout(&ring_, &entry, 1, timeout == wait_for_ever ? nullptr : &time, nullptr);
    }
    // Whatever has completed: the signal may come in an entry before the one that brings the completion (6.1, 6.12).
    guard.consume();
    return status;
}

// Who is told of one read can so ask whether another has taken something meanwhile.
void UringEngine::note_arrivals() noexcept {
    unsigned head = 0;
    io_uring_cqe* entry = nullptr;
    io_uring_for_each_cqe(&ring_, head, entry) {
        if (entry->user_data != ignored && entry->user_data != wake_up && entry->res > 0) {
            auto& operation = *reinterpret_cast<Operation*>(static_cast<std::uintptr_t>(entry->user_data));
            if (operation.kind() == Operation::Kind::read) {
                static_cast<Read&>(operation).arriving = true;
            }
        }
    }
}

void UringEngine::dispatch_ready() noexcept {
    note_arrivals();
    for (unsigned ready = io_uring_cq_ready(&ring_); ready > 0 && !fork_.is_copy(); --ready) {
        io_uring_cqe* entry = nullptr;
        [[maybe_unused]] const int status = io_uring_peek_cqe(&ring_, &entry);
        assert(status == 0 && entry != nullptr);
        const io_uring_cqe copy = *entry;
        io_uring_cqe_seen(&ring_, entry);  // free the place first: a handler may start requests
        dispatch(copy);
    }
}

void UringEngine::dispatch(const io_uring_cqe& entry) noexcept {
    if (entry.user_data == ignored) {
        return;
    }
    if (entry.user_data == wake_up) {
        wake_up_armed_ = false;
        return;
    }
    auto& operation = *reinterpret_cast<Operation*>(static_cast<std::uintptr_t>(entry.user_data));
    if (operation.waits == Operation::Waits::as_no_op) {
        operation.waits = Operation::Waits::no;
        complete(operation, -ECANCELED);
        return;
    }
    if (operation.waits == Operation::Waits::to_cancel) {
        leave_line(operation);  // too late: here is its result
    }
    if (operation.manner == Operation::Manner::by_call && operation.kind() != Operation::Kind::ready) {
        complete(operation, operation.cancelled() ? -ECANCELED : call(operation));
        return;
    }
    if (entry.res == -ENOBUFS && operation.kind() == Operation::Kind::read) {
        // All buffers are out; they come back before the next pass begins.
        wait_in_line(operation, operation.cancelled() ? Operation::Waits::as_no_op : Operation::Waits::to_start);
        return;
    }
    if ((entry.flags & IORING_CQE_F_BUFFER) == 0) {
        complete(operation, entry.res);
        return;
    }
    const unsigned buffer = entry.flags >> IORING_CQE_BUFFER_SHIFT;
    if (entry.res >= 0) {
        static_cast<Read&>(operation).data = buffers_.filled(buffer, static_cast<std::size_t>(entry.res));
    }
    complete(operation, entry.res);
    if (!fork_.is_copy()) {
        buffers_.give_back(buffer);
    }
}

// Of a file, so it may wait for a disk and nothing else.
int UringEngine::call(Operation& operation) noexcept {
    if (operation.kind() == Operation::Kind::write) {
        const auto& write = static_cast<const Write&>(operation);
        const ssize_t count = ::write(write.fd, write.data.data(), write.data.size());
        return count >= 0 ? static_cast<int>(count) : -errno;
    }
    if (!called_data_) {
        called_data_.reset(new (std::nothrow) char[Read::most]);
    }
    auto& read = static_cast<Read&>(operation);
    const ssize_t count = called_data_ ? ::read(read.fd, called_data_.get(), Read::most) : (errno = ENOMEM, -1);
    if (count >= 0) {
        read.data = {called_data_.get(), static_cast<std::size_t>(count)};
    }
    return count >= 0 ? static_cast<int>(count) : -errno;
}

void UringEngine::complete(Operation& operation, int result) noexcept {
    if (operation.kind() == Operation::Kind::write) {
        --writes_in_flight_;
    } else if (operation.kind() == Operation::Kind::read) {
        static_cast<Read&>(operation).arriving = false;
    }
    operation.finish(result);
}

Expected<void> UringEngine::flush() {
    if (fork_.is_copy()) {
        return still_ours();
    }
    retry_waiting();
    arm_wake_up();
    SigpipeGuard guard(!kernel_.write_without_signal && writes_in_flight_ > 0);
    const int status = io_uring_submit(&ring_);
    guard.consume();
    if (!is_ordinary(status)) {
        return failure(Stage::io, -status, "the ring cannot be entered", usual_cure(-status));
    }
    return {};
}

int UringEngine::fd() noexcept {
    if (!wakes_by_fd_) {
        wakes_by_fd_ = io_uring_register_eventfd(&ring_, event_fd_.get()) == 0;
        ::eventfd_write(event_fd_.get(), 1);  // for what happened before
    }
    return wakes_by_fd_ ? event_fd_.get() : -1;
}

void UringEngine::arm_wake_up() noexcept {
    const auto earliest = timers_.earliest();
    if (!wakes_by_fd_ || !earliest || (wake_up_armed_ && wake_up_at_ <= *earliest)) {
        return;  // one that comes too early finds nothing due and is armed anew
    }
    io_uring_sqe* const slot = next_slot();
    if (slot == nullptr) {
        return;
    }
    wake_up_at_ = *earliest;
    wake_up_time_ = to_kernel_timespec(earliest->since_boot);
    if (wake_up_armed_) {
        io_uring_prep_timeout_update(slot, &wake_up_time_, wake_up, IORING_TIMEOUT_ABS);
        io_uring_sqe_set_data64(slot, ignored);
    } else {
        io_uring_prep_timeout(slot, &wake_up_time_, 0, IORING_TIMEOUT_ABS);
        io_uring_sqe_set_data64(slot, wake_up);
        wake_up_armed_ = true;
    }
}

}  // namespace proctor::detail
