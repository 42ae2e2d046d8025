// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <string>

#include <proctor/capture.hpp>
#include <proctor/error.hpp>
#include <proctor/export.hpp>

namespace proctor {

class CaptureLines;

/// Plays records back, one after another, from wherever they are kept:
///
///     for (const proctor::CaptureRecord& record : playback) …
///
/// A record's data is valid until the next one is asked for.
class PROCTOR_API CapturePlaybackBase {
public:
    CapturePlaybackBase(const CapturePlaybackBase&) = delete;
    CapturePlaybackBase& operator=(const CapturePlaybackBase&) = delete;
    virtual ~CapturePlaybackBase();

    /// The next record; none after the last, and where reading has failed: see error().
    [[nodiscard]] std::optional<CaptureRecord> next();
    /// The next record of that stream; those of others before it are passed over. So the bytes of one stream come piece
    /// by piece, in the memory of one record.
    [[nodiscard]] std::optional<CaptureRecord> next(Stream stream);
    /// What is left line by line (<proctor/capture_lines.hpp>), of one stream or of all. It takes its records from this
    /// playback, which must outlive it and stay where it is.
    [[nodiscard]] CaptureLines lines(std::optional<Stream> stream = std::nullopt) &;
    /// Back to the first record. Forgets the error.
    void rewind();
    /// So that next() gives the first record of that time or later, wherever the playback is now.
    void skip_to(std::chrono::nanoseconds time);
    /// Why there was no next record; none at an ordinary end.
    [[nodiscard]] const std::optional<Error>& error() const noexcept { return error_; }

    /// One pass over what is left, for range-for.
    class Iterator {
    public:
        using iterator_category = std::input_iterator_tag;
        using value_type = CaptureRecord;
        using difference_type = std::ptrdiff_t;
        using pointer = const CaptureRecord*;
        using reference = const CaptureRecord&;

        Iterator() = default;
        explicit Iterator(CapturePlaybackBase& playback) : playback_(&playback), record_(playback.next()) {}
        reference operator*() const noexcept { return *record_; }
        pointer operator->() const noexcept { return &*record_; }
        Iterator& operator++() {
            record_ = playback_->next();
            return *this;
        }
        void operator++(int) { ++*this; }
        bool operator==(std::default_sentinel_t) const noexcept { return !record_; }

    private:
        CapturePlaybackBase* playback_ = nullptr;
        std::optional<CaptureRecord> record_{};
    };
    [[nodiscard]] Iterator begin() { return Iterator(*this); }
    [[nodiscard]] static std::default_sentinel_t end() noexcept { return {}; }

protected:
    CapturePlaybackBase() = default;

    /// The record behind the last one that was read; none at the end, or after fail().
    virtual std::optional<CaptureRecord> read() = 0;
    /// The next read() gives the first record.
    virtual void start_over() = 0;

    void fail(Error error) { error_ = std::move(error); }

private:
    [[nodiscard]] std::optional<CaptureRecord> take();
    void note_passed(const CaptureRecord& record);

    std::optional<CaptureRecord> found_{};              // by skip_to(): the next one
    std::optional<std::chrono::nanoseconds> behind_{};  // the latest time of those before the next
    std::optional<Error> error_{};
};

/// Plays a Capture, from memory and then from its temporary file, through one buffer that is as large as the largest
/// record. Recording may go on meanwhile: a record's data is then valid until the next one is recorded, too.
/// Errors: stage `spool`, the temporary file cannot be read.
class PROCTOR_API CapturePlayback final : public CapturePlaybackBase {
public:
    ~CapturePlayback() override;

private:
    friend class Capture;
    explicit CapturePlayback(std::shared_ptr<const detail::CaptureState> state) noexcept;

    std::optional<CaptureRecord> read() override;
    void start_over() override;

    [[nodiscard]] bool buffer(std::size_t wanted);

    std::shared_ptr<const detail::CaptureState> state_;
    std::chrono::nanoseconds time_{};  // of the last record
    std::size_t place_ = 0;            // in memory
    std::uint64_t spool_place_ = 0;    // in the temporary file, of what comes after the buffer
    std::string buffer_{};
    std::size_t buffer_place_ = 0;
};

}  // namespace proctor
