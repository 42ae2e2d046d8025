// SPDX-License-Identifier: MIT
//
// The children of the hand-written loops, by what becomes of their output.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "hand_loop.hpp"
#include "peer.hpp"

namespace compare {

/// Its output is read into a buffer of 64 KiB, which the next read overwrites.
class ReadingChild : public HandChild {
public:
    std::span<char> room(std::size_t stream) override;
    void on_output(std::size_t stream, std::size_t count) override;
    void on_end(int end_status) override;

    [[nodiscard]] bool ended() const { return ended_; }

protected:
    /// What came, valid until it returns.
    virtual void take(std::size_t /*stream*/, std::string_view /*bytes*/) {}

private:
    bool ended_ = false;
};

/// Its output is appended to two strings.
class CapturingChild : public ReadingChild {
public:
    std::array<std::string, 2> text{};

protected:
    void take(std::size_t stream, std::string_view bytes) override { text[stream].append(bytes); }
};

/// Counts its output, and keeps it as it should.
class FloodedChild final : public ReadingChild {
public:
    explicit FloodedChild(Keep keep);
    ~FloodedChild() override;

    /// In memory it is read straight into pieces of 1 MiB, which nobody copies.
    std::span<char> room(std::size_t stream) override;
    void on_output(std::size_t stream, std::size_t count) override;

    [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

protected:
    void take(std::size_t stream, std::string_view bytes) override;

private:
    static constexpr std::size_t piece_size = std::size_t{1} << 20;

    Keep keep_;
    int spool_ = -1;
    std::uint64_t bytes_ = 0;
    std::vector<std::unique_ptr<char[]>> pieces_{};
    std::size_t in_last_piece_ = piece_size;
};

/// Keeps both outputs in one record, in the order in which they were read.
class MergingChild final : public ReadingChild {
public:
    [[nodiscard]] double in_order(std::size_t lines) const;

protected:
    void take(std::size_t stream, std::string_view bytes) override;

private:
    struct Record {
        std::size_t stream = 0;
        std::size_t size = 0;
    };
    std::string bytes_{};
    std::vector<Record> records_{};
};

/// Is fed a text, and its output is kept.
class FedChild final : public CapturingChild {
public:
    FedChild(HandLoop& loop, const std::string& input) : loop_(loop), input_(input) {}
    void on_input_room() override;

private:
    HandLoop& loop_;
    const std::string& input_;
    std::size_t written_ = 0;
};

/// Is asked line after line, each when the one before has been answered.
class AskedChild final : public ReadingChild {
public:
    AskedChild(HandLoop& loop, std::size_t count);
    /// Asks the first.
    void ask();

    std::vector<double> microseconds{};

protected:
    void take(std::size_t stream, std::string_view bytes) override;

private:
    HandLoop& loop_;
    std::size_t count_;
    std::size_t left_;
    std::string answer_{};
    SteadyTime asked_{};
};

}  // namespace compare
