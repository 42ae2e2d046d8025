// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <proctor/capture.hpp>
#include <proctor/error.hpp>

#include "base/failure.hpp"
#include "base/unique_fd.hpp"
#include "capture/growing_bytes.hpp"

namespace proctor::detail {

/// Keeps records, each as a frame (header, data), in the order of their appending: the first `max_size` bytes in
/// memory, the frames after those in the spool, which is
///
///     an unnamed file │ what is being written to it │ what waits for that
///
/// Whoever writes takes what waits (hand_over), writes it, and says how much of it the file has got (note_written). A
/// store writes by itself unless somebody else has taken that upon himself. After a failure what the
/// file has not got stays in memory: nothing that was appended is lost.
class FrameStore {
public:
    /// Of this much waiting it is worth while to write it.
    static constexpr std::size_t piece_size = std::size_t{256} << 10;

    FrameStore(Bytes max_size, std::string directory);

    /// The record is kept also if there is an error already, or comes to be; but then in memory, so that should be the
    /// last.
    void append(const CaptureRecord& record);
    /// The last one has been appended: a store that writes by itself writes the rest.
    void finish() noexcept;
    /// Gives the memory of buffers back, if all of them has been written.
    void release_buffers() noexcept;

    [[nodiscard]] std::size_t count() const noexcept { return count_; }
    [[nodiscard]] const std::optional<Error>& error() const noexcept { return error_; }

    // For playing back.

    /// Whole frames. Invalid after the next append.
    [[nodiscard]] std::string_view memory() const noexcept { return memory_.view(); }
    /// Bytes behind those.
    [[nodiscard]] std::uint64_t spool_size() const noexcept { return in_file_ + to_write().size() + waiting_.size(); }
    /// Fills `bytes` from that place of the spool on, where there is as much.
    [[nodiscard]] Expected<void> read_spool(std::uint64_t place, std::span<char> bytes) const;

    // For another writer than the store itself.

    void leave_writing_to_another() noexcept { writes_itself_ = false; }
    /// How much waits.
    [[nodiscard]] std::size_t waiting() const noexcept { return waiting_.size(); }
    /// Only when there is nothing to_write(). Makes of what waits what is to be written.
    void hand_over();
    [[nodiscard]] std::string_view to_write() const noexcept { return std::string_view(writing_).substr(written_); }
    [[nodiscard]] int file() const noexcept { return file_.get(); }
    /// Where to_write() goes.
    [[nodiscard]] std::uint64_t file_size() const noexcept { return in_file_; }
    /// Whether a write would be answered with SIGXFSZ. Then it is an error of the store.
    [[nodiscard]] bool limit_reached() noexcept;
    void note_written(std::size_t count) noexcept;
    void note_error(int error_number);

private:
    void write_through() noexcept;
    void open_file();

    std::size_t max_size_;
    std::string directory_;
    GrowingBytes memory_{};
    UniqueFd file_{};
    std::uint64_t in_file_ = 0;
    std::string writing_{};
    std::size_t written_ = 0;  // of it
    std::string waiting_{};
    bool spooling_ = false;
    bool writes_itself_ = true;
    std::chrono::nanoseconds last_time_{};
    std::size_t count_ = 0;
    std::optional<Error> error_{};
};

}  // namespace proctor::detail
