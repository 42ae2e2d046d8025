// SPDX-License-Identifier: MIT
//
// An engine for tests that does what an engine may do and seldom does. The system calls are real; what of them is told
// when comes from a seed.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "ring/engine.hpp"

namespace support {

/// One completion that fails although nothing was wrong: that of the n-th request (from 0) of a kind, named as by
/// ShakenEngine::place_of.
struct CompletionFault {
    std::string place{};
    unsigned number = 0;
    int error_number = 0;
};

/// In each pass it completes some of what is ready, or all of it, in any order: an exit before the end of output or
/// after it. Some passes read all that is ready before the first of it is told, as a ring does. Reads and writes are
/// short, interrupted (EINTR) or refused (EAGAIN) for no reason; reads wait for a buffer of the pool (ENOBUFS, which no
/// engine tells its owners); what was cancelled completes with its result or with ECANCELED, now or later; timers come
/// late.
class ShakenEngine final : public proctor::detail::Engine {
public:
    explicit ShakenEngine(std::uint64_t seed) : random_(seed) {}

    /// From now on.
    void fail(CompletionFault fault) { fault_ = std::move(fault); }
    /// Whether it has come; if not, it will not any more.
    bool end_faults();
    /// "read pipe", "write pipe", "write socket", "write spool", "poll pidfd", "read timerfd", …
    [[nodiscard]] static std::string place_of(const proctor::detail::Operation& operation);

    [[nodiscard]] proctor::detail::Expected<void> bind() override { return {}; }
    using Engine::cancel;
    using Engine::start;
    void start(proctor::detail::Operation& operation) noexcept override;
    void cancel(proctor::detail::Operation& operation) noexcept override;
    [[nodiscard]] int write_at_once(int fd, std::span<const char> data) noexcept override;
    [[nodiscard]] proctor::detail::Expected<void> pass(proctor::detail::Nanoseconds timeout) override;
    [[nodiscard]] proctor::detail::Expected<void> flush() override { return {}; }
    [[nodiscard]] int fd() noexcept override { return -1; }
    void close() noexcept override;
    [[nodiscard]] bool pipes_need_nonblock() const noexcept override { return true; }
    [[nodiscard]] const char* name() const noexcept override { return "shaken"; }

    [[nodiscard]] std::size_t in_flight() const noexcept { return in_flight_.size(); }
    /// How many requests were in flight when it was closed.
    [[nodiscard]] std::size_t left_at_close() const noexcept { return left_at_close_; }
    /// How often it has done each of the things that it may do.
    [[nodiscard]] const std::map<std::string, std::uint64_t>& deeds() const noexcept { return deeds_; }

private:
    using Operation = proctor::detail::Operation;

    // What has been done and is not told yet.
    struct Done {
        int result = 0;
        std::vector<char> data{};
    };

    // One in so many.
    [[nodiscard]] bool one_in(unsigned number) { return random_() % number == 0; }
    [[nodiscard]] std::size_t up_to(std::size_t most) { return 1 + random_() % most; }
    [[nodiscard]] std::vector<Operation*> find_ready(proctor::detail::Nanoseconds timeout);
    void read_ahead(const std::vector<Operation*>& ready);
    void complete(Operation& operation);
    void tell(Operation& operation, Done done);
    [[nodiscard]] int result_of(Operation& operation);
    [[nodiscard]] int perform(Operation& operation);
    [[nodiscard]] bool is_to_fail(const Operation& operation);
    int note(const char* deed, int result) {
        ++deeds_[deed];
        return result;
    }

    std::mt19937_64 random_;
    std::vector<Operation*> in_flight_{};
    std::map<Operation*, Done> done_{};
    std::vector<char> buffer_ = std::vector<char>(proctor::detail::Read::most);
    std::optional<CompletionFault> fault_{};
    std::size_t left_at_close_ = 0;
    std::map<std::string, std::uint64_t> deeds_{};
};

}  // namespace support
