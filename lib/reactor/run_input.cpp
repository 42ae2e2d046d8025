// SPDX-License-Identifier: MIT
//
// What a run does about its program's standard input.
#include <cerrno>
#include <utility>

#include "reactor/reactor_core.hpp"
#include "reactor/run.hpp"

namespace proctor::detail {

void Run::on_input(std::string_view data, Instant issued) noexcept {
    watch_.note_progress(now());
    exact_outputs_.deliver_until(issued);
    record(STDIN, data, {issued}, nullptr);
}

void Run::on_input_error(int error_number, bool reading) noexcept {
    fail({Stage::io, error_number,
          reading ? "the job's input cannot be read" : "the child's standard input cannot be written",
          reading ? "name a file or descriptor that can be read" : usual_cure(error_number)});
    terminate();
}

void Run::on_input_closed() noexcept {
    if (pair_) {
        return pair_->on_listener_deaf(*this);
    }
    if (handlers_.on_input_closed && !core_.retired()) {
        handlers_.on_input_closed();
    }
}

void Run::on_input_end() noexcept { advance(); }

std::optional<std::string> Run::next_piece() noexcept { return core_.retired() ? std::nullopt : job_.input.next()(); }

void Run::on_input_room() noexcept {
    if (handlers_.on_input_ready && !core_.retired()) {
        handlers_.on_input_ready();
    }
}

Expected<bool> Run::write_input(std::string bytes) {
    if (job_.input.source() != Input::Source::live) {
        return failure(Stage::io, EINVAL, "the job's input is not written while it runs", "give it Input::live()");
    }
    if (exited_at_ || error_) {
        return failure(Stage::io, ESRCH, "the job is over", "");
    }
    if (!input_.takes_more()) {
        return failure(Stage::io, EPIPE, "the child's standard input is closed",
                       "write no more after close_input() or Handlers::on_input_closed");
    }
    return input_.push(std::move(bytes));
}

void Run::close_input() noexcept {
    if (job_.input.source() == Input::Source::live && !exited_at_) {
        input_.finish();
    }
}

void Run::pause_input() noexcept {
    input_paused_ = true;
    input_.hold();
}

void Run::resume_input() noexcept {
    input_paused_ = false;
    if (!held_) {
        input_.release();
    }
}

Bytes Run::pending_input() const noexcept {
    return job_.input.source() == Input::Source::live ? static_cast<Bytes>(input_.pending()) : 0;
}

}  // namespace proctor::detail
