// SPDX-License-Identifier: MIT
//
// An engine for tests that does what an engine may do and seldom does. The system calls are real; what of them is told
// when comes from a seed.
#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "ring/engine.hpp"

namespace support {

/// In each pass it completes some of what is ready, or all of it, in any order: an exit before the end of output or
/// after it. Reads and writes are short, interrupted (EINTR) or refused (EAGAIN) for no reason; what was cancelled
/// completes with its result or with ECANCELED, now or later; timers come late.
class ShakenEngine final : public proctor::detail::Engine {
public:
    explicit ShakenEngine(std::uint64_t seed) : random_(seed) {}

    [[nodiscard]] proctor::detail::Expected<void> bind() override { return {}; }
    using Engine::cancel;
    using Engine::start;
    void start(proctor::detail::Operation& operation) noexcept override;
    void cancel(proctor::detail::Operation& operation) noexcept override;
    [[nodiscard]] int write_at_once(int fd, std::span<const char> data) noexcept override;
    [[nodiscard]] proctor::detail::Expected<void> pass(proctor::detail::Nanoseconds timeout) override;
    [[nodiscard]] proctor::detail::Expected<void> flush() override { return {}; }
    [[nodiscard]] int fd() noexcept override { return -1; }
    void close() noexcept override { in_flight_.clear(); }
    [[nodiscard]] bool pipes_need_nonblock() const noexcept override { return true; }
    [[nodiscard]] const char* name() const noexcept override { return "shaken"; }

    [[nodiscard]] std::size_t in_flight() const noexcept { return in_flight_.size(); }
    /// How often it has done each of the things that it may do.
    [[nodiscard]] const std::map<std::string, std::uint64_t>& deeds() const noexcept { return deeds_; }

private:
    using Operation = proctor::detail::Operation;

    // One in so many.
    [[nodiscard]] bool one_in(unsigned number) { return random_() % number == 0; }
    [[nodiscard]] std::size_t up_to(std::size_t most) { return 1 + random_() % most; }
    [[nodiscard]] std::vector<Operation*> find_ready(proctor::detail::Nanoseconds timeout);
    void complete(Operation& operation);
    [[nodiscard]] int result_of(Operation& operation);
    [[nodiscard]] int perform(Operation& operation);
    int note(const char* deed, int result) {
        ++deeds_[deed];
        return result;
    }

    std::mt19937_64 random_;
    std::vector<Operation*> in_flight_{};
    std::vector<char> buffer_ = std::vector<char>(proctor::detail::Read::most);
    std::map<std::string, std::uint64_t> deeds_{};
};

}  // namespace support
