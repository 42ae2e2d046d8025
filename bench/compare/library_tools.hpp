// SPDX-License-Identifier: MIT
//
// What the peers of other libraries have in common.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "line_order.hpp"
#include "peer.hpp"
#include "support.hpp"
#include "vfork_child.hpp"

namespace compare {

/// Seconds. Who has not launched all sleeping children by then cannot hold so many.
inline constexpr double launching_limit = 60;
/// Seconds. After it no more jobs are started, and the figures are of those that were: forks of a large host take long.
inline constexpr double spawning_limit = 5;
inline constexpr std::size_t read_size = 65'536;

/// A file descriptor with an owner.
class OwnedFd {
public:
    explicit OwnedFd(int fd = -1) : fd_(fd) {}
    OwnedFd(OwnedFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    OwnedFd& operator=(OwnedFd&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~OwnedFd() { reset(); }

    [[nodiscard]] int get() const { return fd_; }
    void reset() {
        if (fd_ >= 0) {
            ::close(std::exchange(fd_, -1));
        }
    }

private:
    int fd_;
};

/// The reading end that a burst's children get as descriptor 3, and the writing end, which no child gets.
struct BurstPipe {
    BurstPipe() {
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) < 0) {
            throw_errno("pipe2");
        }
        writer = OwnedFd(ends[1]);
        // Not 3 already: dup2 onto itself would leave it to be closed by the execve.
        const OwnedFd low(ends[0]);
        reader = OwnedFd(::fcntl(low.get(), F_DUPFD_CLOEXEC, 10));
        if (reader.get() < 0) {
            throw_errno("fcntl");
        }
    }

    OwnedFd reader{};
    OwnedFd writer{};
};

/// Takes the bytes of a flood.
class FloodSink {
public:
    explicit FloodSink(Keep keep) : keep_(keep), file_(keep == Keep::disk ? open_spool() : -1) {}

    void take(std::string_view bytes) {
        size_ += bytes.size();
        if (keep_ == Keep::memory) {
            memory_.append(bytes);
        } else if (keep_ == Keep::disk) {
            write_all(file_.get(), bytes.data(), bytes.size());
        }
    }
    [[nodiscard]] std::uint64_t size() const { return size_; }

private:
    Keep keep_;
    OwnedFd file_;
    std::string memory_{};
    std::uint64_t size_ = 0;
};

/// What came from both streams, in the order in which it was read. It is looked at when all is over.
class MergedRecord {
public:
    void take(std::size_t stream, std::string_view bytes) {
        pieces_.push_back({stream, bytes.size()});
        bytes_.append(bytes);
    }
    [[nodiscard]] double in_order(std::size_t lines) const {
        LineOrder order;
        std::string_view rest = bytes_;
        for (const Piece& piece : pieces_) {
            order.add(piece.stream, rest.substr(0, piece.size));
            rest.remove_prefix(piece.size);
        }
        return order.in_order(lines);
    }

private:
    struct Piece {
        std::size_t stream;
        std::size_t size;
    };
    std::vector<Piece> pieces_{};
    std::string bytes_{};
};

/// Text in which each line is another one, so that nothing is lost or swapped unnoticed.
inline std::string numbered_text(std::uint64_t bytes) {
    std::string text;
    text.reserve(bytes + 32);
    for (std::uint64_t number = 0; text.size() < bytes; ++number) {
        text += std::to_string(number);
        text += '\n';
    }
    text.resize(bytes);
    return text;
}

/// The lines to be sent, and how long their answers took.
class TripLog {
public:
    explicit TripLog(std::size_t count) : count_(count + warm_up_round_trips) { microseconds_.reserve(count); }

    /// The next line, which stays until the next call; its time begins now.
    std::string_view next_line() {
        line_ = std::to_string(trips_) + '\n';
        answer_.clear();
        sent_ = Stopwatch();
        return line_;
    }
    /// True when the answer is complete, and it must be the line that was sent.
    bool take(std::string_view bytes) {
        answer_.append(bytes);
        if (answer_.back() != '\n') {
            return false;
        }
        if (++trips_ > warm_up_round_trips) {
            microseconds_.push_back(sent_.seconds() * 1e6);
        }
        require(answer_ == line_, "'" + answer_ + "' instead of '" + line_ + "'");
        return true;
    }
    [[nodiscard]] bool done() const { return trips_ == count_; }
    [[nodiscard]] Figures figures() const { return round_trip_figures(microseconds_); }

private:
    std::size_t count_;
    std::size_t trips_ = 0;
    std::string line_{};
    std::string answer_{};
    Stopwatch sent_{};
    std::vector<double> microseconds_{};
};

}  // namespace compare
