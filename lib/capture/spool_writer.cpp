// SPDX-License-Identifier: MIT
#include "capture/spool_writer.hpp"

#include <cassert>
#include <cerrno>

namespace proctor::detail {

void SpoolWriter::open(FrameStore& store) noexcept {
    assert(!write_.in_flight());
    store_ = &store;
    store.leave_writing_to_another();
    finishing_ = false;
}

void SpoolWriter::close() noexcept {
    assert(!write_.in_flight());
    store_ = nullptr;
}

void SpoolWriter::pump() noexcept {
    if (write_.in_flight() || store_->error()) {
        return;
    }
    if (store_->waiting() >= FrameStore::piece_size || (finishing_ && store_->waiting() > 0)) {
        store_->hand_over();
        write_next();
    }
}

bool SpoolWriter::full() const noexcept { return write_.in_flight() && store_->waiting() >= FrameStore::piece_size; }

bool SpoolWriter::finish() noexcept {
    finishing_ = true;
    pump();
    if (write_.in_flight()) {
        return false;
    }
    store_->release_buffers();
    return true;
}

void SpoolWriter::write_next() noexcept {
    const std::string_view rest = store_->to_write();
    if (!rest.empty() && !store_->limit_reached()) {
        write_.fd = store_->file();
        write_.data = rest;
        write_.offset = store_->file_size();
        engine_.start(write_);
    }
}

void SpoolWriter::on_written(int result) noexcept {
    if (result > 0) {
        store_->note_written(static_cast<std::size_t>(result));
    } else if (result != -EINTR && result != -EAGAIN) {
        store_->note_error(result == 0 ? EIO : -result);
    }
    if (!store_->error()) {
        if (!store_->to_write().empty()) {
            write_next();
        } else {
            pump();
        }
    }
    owner_.on_spool_moved();
}

}  // namespace proctor::detail
