// SPDX-License-Identifier: MIT
#include "hand_children.hpp"

#include <unistd.h>

#include <cerrno>

#include "line_order.hpp"
#include "support.hpp"
#include "vfork_child.hpp"

namespace compare {

std::span<char> ReadingChild::room(std::size_t /*stream*/) {
    static std::array<char, 65'536> buffer;
    return buffer;
}

void ReadingChild::on_output(std::size_t stream, std::size_t count) {
    take(stream, {ReadingChild::room(stream).data(), count});
}

void ReadingChild::on_end(int /*end_status*/) { ended_ = true; }

FloodedChild::FloodedChild(Keep keep) : keep_(keep), spool_(keep == Keep::disk ? open_spool() : -1) {}

FloodedChild::~FloodedChild() {
    if (spool_ >= 0) {
        ::close(spool_);
    }
}

std::span<char> FloodedChild::room(std::size_t stream) {
    if (keep_ != Keep::memory || stream != 0) {
        return ReadingChild::room(stream);
    }
    if (in_last_piece_ == piece_size) {
        pieces_.emplace_back(new char[piece_size]);
        in_last_piece_ = 0;
    }
    return {pieces_.back().get() + in_last_piece_, piece_size - in_last_piece_};
}

void FloodedChild::on_output(std::size_t stream, std::size_t count) {
    if (keep_ == Keep::memory && stream == 0) {
        in_last_piece_ += count;
        bytes_ += count;
        return;
    }
    ReadingChild::on_output(stream, count);
}

void FloodedChild::take(std::size_t stream, std::string_view bytes) {
    require(stream == 0, "the flood wrote to stderr");
    bytes_ += bytes.size();
    if (keep_ == Keep::disk) {
        write_all(spool_, bytes.data(), bytes.size());
    }
}

void MergingChild::take(std::size_t stream, std::string_view bytes) {
    bytes_.append(bytes);
    records_.push_back({stream, bytes.size()});
}

double MergingChild::in_order(std::size_t lines) const {
    LineOrder order;
    std::string_view left = bytes_;
    for (const Record& record : records_) {
        order.add(record.stream, left.substr(0, record.size));
        left.remove_prefix(record.size);
    }
    return order.in_order(lines);
}

void FedChild::on_input_room() {
    HandSource& source = this->source(HandSource::Kind::input);
    while (written_ < input_.size()) {
        const ssize_t count = ::write(source.fd, input_.data() + written_, input_.size() - written_);
        if (count < 0) {
            if (errno == EAGAIN) {
                return;
            }
            throw_errno("write");
        }
        written_ += static_cast<std::size_t>(count);
    }
    loop_.watch_input(*this, false);
    loop_.close_input(*this);
}

AskedChild::AskedChild(HandLoop& loop, std::size_t count)
    : loop_(loop), count_(count), left_(count + warm_up_round_trips) {
    microseconds.reserve(count);
}

void AskedChild::ask() {
    constexpr std::string_view line = "question\n";
    asked_ = std::chrono::steady_clock::now();
    // The pipe is empty, so it takes all of it.
    write_all(source(HandSource::Kind::input).fd, line.data(), line.size());
}

void AskedChild::take(std::size_t /*stream*/, std::string_view bytes) {
    answer_.append(bytes);
    if (answer_.empty() || answer_.back() != '\n') {
        return;
    }
    const auto took = std::chrono::steady_clock::now() - asked_;
    require(answer_ == "question\n", "the answer is '" + answer_ + "'");
    answer_.clear();
    --left_;
    if (left_ < count_) {
        microseconds.push_back(std::chrono::duration<double, std::micro>(took).count());
    }
    if (left_ > 0) {
        ask();
    } else {
        loop_.close_input(*this);
    }
}

}  // namespace compare
