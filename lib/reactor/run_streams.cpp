// SPDX-License-Identifier: MIT
//
// What a run's streams and its spool tell besides the data.
#include <utility>

#include "capture/spool_writer.hpp"
#include "reactor/reactor_core.hpp"
#include "reactor/run.hpp"

namespace proctor::detail {

void Run::on_output_error(Stream stream, int error_number, bool forwarding) noexcept {
    const std::string name = stream == STDOUT ? "standard output" : "standard error";
    fail({Stage::io, error_number,
          forwarding ? "the child's " + name + " cannot be passed on" : "the child's " + name + " cannot be read",
          forwarding ? "look at what the descriptor leads to: a full disk, or one that is not open for writing" : ""});
    terminate();
}

void Run::on_output_end(Stream /*stream*/) noexcept { advance(); }

void Run::on_input_error(int error_number, bool reading) noexcept {
    fail({Stage::io, error_number,
          reading ? "the job's input cannot be read" : "the child's standard input cannot be written",
          reading ? "name a file or descriptor that can be read" : ""});
    terminate();
}

void Run::on_input_end() noexcept { advance(); }

void Run::on_spool_moved() noexcept {
    watch_.note_progress(now());  // it was us that the child had to wait for
    look_at_spool();
    advance();
}

// Nothing is taken from the child or given to it while there is no room for the record of it.
void Run::look_at_spool() noexcept {
    if (recorder_->error() && !error_) {
        fail(*recorder_->error());
        terminate();
    }
    if (const bool full = spool_.full(); full != held_) {
        held_ = full;
        if (full) {
            output_.hold();
            error_output_.hold();
            exact_outputs_.hold();
            input_.hold();
        } else {
            output_.release();
            error_output_.release();
            exact_outputs_.release();
            input_.release();
        }
    }
}

}  // namespace proctor::detail
