// SPDX-License-Identifier: MIT
#include "capture/frame_store.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <utility>

#include "capture/frame.hpp"
#include "capture/temporary_file.hpp"

namespace proctor::detail {

namespace {

// So that a buffer for what waits is grown once: a piece, and a read of each stream that was under way when it was
// full.
constexpr std::size_t usual_buffer = FrameStore::piece_size + (std::size_t{128} << 10);

std::string cure_for_writing(int error_number, const std::string& directory) {
    switch (error_number) {
        case ENOSPC:
        case EDQUOT:
            return "make room in " + directory +
                   ", name another place (CaptureOptions::spool_directory, or TMPDIR in the host's environment), or "
                   "bound what is kept by CaptureLimits";
        case EFBIG: return "raise the host's limit of file sizes (ulimit -f), or bound what is kept by CaptureLimits";
        default: return "look at the file system of " + directory + " (dmesg), or name another place";
    }
}

// Copies what lies at `place` from the part of the spool that begins at `begin`, and moves on behind it.
void copy_out(std::string_view part, std::uint64_t begin, std::uint64_t& place, std::span<char>& bytes) noexcept {
    if (!bytes.empty() && place < begin + part.size()) {
        const std::string_view rest = part.substr(static_cast<std::size_t>(place - begin), bytes.size());
        std::memcpy(bytes.data(), rest.data(), rest.size());
        place += rest.size();
        bytes = bytes.subspan(rest.size());
    }
}

void put(std::string& where, std::string_view header, std::string_view data) {
    where.append(header);
    where.append(data);
}

}  // namespace

FrameStore::FrameStore(Bytes max_size, std::string directory)
    : max_size_(static_cast<std::size_t>(std::max(max_size, Bytes{0}))), directory_(std::move(directory)) {}

void FrameStore::append(const CaptureRecord& record) {
    const EncodedHeader header({record.stream, record.truncated, record.ambiguous, record.data.size(),
                                static_cast<std::uint64_t>((record.time - last_time_).count())});
    last_time_ = record.time;
    ++count_;
    const std::size_t size = header.view().size() + record.data.size();
    if (!spooling_ && size <= max_size_ - memory_.size()) {
        memory_.append(header.view(), record.data, max_size_);
        return;
    }
    if (writes_itself_ && waiting_.size() >= piece_size) {
        write_through();
    }
    if (!std::exchange(spooling_, true)) {
        open_file();
        waiting_.reserve(usual_buffer);
    }
    put(waiting_, header.view(), record.data);
}

void FrameStore::finish() noexcept {
    if (writes_itself_) {
        write_through();
        release_buffers();
    }
}

void FrameStore::release_buffers() noexcept {
    if (to_write().empty() && waiting_.empty()) {
        written_ = 0;
        std::string().swap(writing_);
        std::string().swap(waiting_);
    }
}

void FrameStore::open_file() {
    directory_ = temporary_directory(directory_);
    auto opened = open_temporary_file(directory_);
    if (opened) {
        file_ = std::move(*opened);
    } else {
        error_ = std::move(opened.error());
    }
}

void FrameStore::write_through() noexcept {
    if (error_ || waiting_.empty()) {
        return;
    }
    hand_over();
    while (!to_write().empty() && !limit_reached()) {
        const std::string_view rest = to_write();
        const ssize_t count = ::pwrite(file_.get(), rest.data(), rest.size(), static_cast<off_t>(in_file_));
        if (count > 0) {
            note_written(static_cast<std::size_t>(count));
        } else if (count == 0 || errno != EINTR) {
            note_error(count == 0 ? EIO : errno);
            return;
        }
    }
}

void FrameStore::hand_over() {
    assert(to_write().empty());
    writing_.clear();
    written_ = 0;
    std::swap(writing_, waiting_);
    waiting_.reserve(usual_buffer);
}

// A write at the limit of file sizes kills its process by a signal, which is not the host's to handle for us.
bool FrameStore::limit_reached() noexcept {
    rlimit limit{};
    if (::getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && in_file_ >= limit.rlim_cur) {
        note_error(EFBIG);
        return true;
    }
    return false;
}

void FrameStore::note_written(std::size_t count) noexcept {
    written_ += count;
    in_file_ += count;
}

void FrameStore::note_error(int error_number) {
    if (!error_) {
        error_ = Error{Stage::spool, error_number,
                       "the temporary file of a large capture in " + directory_ + " cannot be written",
                       cure_for_writing(error_number, directory_)};
    }
}

Expected<void> FrameStore::read_spool(std::uint64_t place, std::span<char> bytes) const {
    assert(place + bytes.size() <= spool_size());
    while (!bytes.empty() && place < in_file_) {
        const std::size_t wanted = static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), in_file_ - place));
        const ssize_t count = ::pread(file_.get(), bytes.data(), wanted, static_cast<off_t>(place));
        if (count > 0) {
            place += static_cast<std::uint64_t>(count);
            bytes = bytes.subspan(static_cast<std::size_t>(count));
        } else if (count == 0 || errno != EINTR) {
            return failure(Stage::spool, count == 0 ? EIO : errno,
                           "the temporary file of a large capture cannot be read back",
                           "look at the file system of " + directory_ + " (dmesg)");
        }
    }
    copy_out(to_write(), in_file_, place, bytes);
    copy_out(waiting_, in_file_ + to_write().size(), place, bytes);
    return {};
}

}  // namespace proctor::detail
