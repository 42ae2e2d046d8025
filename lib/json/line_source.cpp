// SPDX-License-Identifier: MIT
#include "json/line_source.hpp"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace proctor::detail {

namespace {

constexpr std::size_t first_capacity = std::size_t{256} * 1024;

}  // namespace

LineSource::LineSource(std::string_view text)
    : at_end_(true),
      buffer_(new char[text.size() + readable_behind]{}),
      capacity_(text.size()),
      end_(text.copy(buffer_.get(), text.size())) {}

LineSource::LineSource(UniqueFd owned, std::string name) : LineSource(owned.get(), std::move(name)) {
    owned_ = std::move(owned);
}

LineSource::LineSource(int borrowed, std::string name)
    : fd_(borrowed),
      name_(std::move(name)),
      start_(::lseek(borrowed, 0, SEEK_CUR)),
      buffer_(new char[first_capacity + readable_behind]{}),
      capacity_(first_capacity) {}

Expected<std::optional<std::string_view>> LineSource::next() {
    std::size_t searched = 0;  // from begin_, without a newline
    for (;;) {
        const char* line = buffer_.get() + begin_;
        const std::size_t length = end_ - begin_;
        if (const void* newline = std::memchr(line + searched, '\n', length - searched); newline != nullptr) {
            const auto line_length = static_cast<std::size_t>(static_cast<const char*>(newline) - line);
            begin_ += line_length + 1;
            ++line_number_;
            return std::string_view(line, line_length);
        }
        if (at_end_) {
            if (length == 0) {
                return std::nullopt;
            }
            begin_ = end_;
            ++line_number_;
            return std::string_view(line, length);
        }
        searched = length;
        if (Expected<void> filled = fill(); !filled) {
            return tl::unexpected(std::move(filled.error()));
        }
    }
}

Expected<void> LineSource::fill() {
    make_room();
    for (;;) {
        const ssize_t count = ::read(fd_, buffer_.get() + end_, capacity_ - end_);
        if (count > 0) {
            end_ += static_cast<std::size_t>(count);
            return {};
        }
        if (count == 0) {
            at_end_ = true;
            return {};
        }
        if (errno == EAGAIN) {
            pollfd entry{fd_, POLLIN, 0};
            ::poll(&entry, 1, -1);
        } else if (errno != EINTR) {
            return failure(Stage::io, errno, name_ + " cannot be read", "name a file of JSON Lines that may be read");
        }
    }
}

void LineSource::make_room() {
    if (begin_ > 0) {
        std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
        end_ -= std::exchange(begin_, 0);
    }
    if (end_ == capacity_) {
        std::unique_ptr<char[]> larger(new char[2 * capacity_ + readable_behind]{});
        std::memcpy(larger.get(), buffer_.get(), end_);
        buffer_ = std::move(larger);
        capacity_ *= 2;
    }
}

Expected<void> LineSource::rewind() {
    const bool untouched = line_number_ == 0 && end_ == 0;
    line_number_ = 0;
    begin_ = 0;
    if (fd_ < 0 || untouched) {
        return {};
    }
    end_ = 0;
    at_end_ = false;
    if (start_ < 0 || ::lseek(fd_, start_, SEEK_SET) < 0) {
        return failure(Stage::io, ESPIPE, name_ + " cannot be read a second time", "keep it in a file");
    }
    return {};
}

}  // namespace proctor::detail
