// SPDX-License-Identifier: MIT
//
// What a run does with its outputs and its spool.
#include <utility>

#include "capture/capture_state.hpp"
#include "capture/spool_writer.hpp"
#include "reactor/reactor_core.hpp"
#include "reactor/run.hpp"

namespace proctor::detail {

std::string_view Run::on_output(Stream stream, std::string_view data, Arrival arrival) noexcept {
    std::string_view kept;
    watch_.note_progress(now());
    input_.note_output(arrival.time);
    if (pair_ && pair_->recorded() && stream == STDOUT) {
        collect_launch();
        recorder_->count(stream, data);
        return pair_->on_words(*this, data, arrival.time);
    }
    record(stream, data, arrival, &kept);
    return kept;
}

// `kept` is what the capture limits let through.
void Run::record(Stream stream, std::string_view data, Arrival arrival, std::string_view* kept) {
    collect_launch();
    if (!records(job_.capture, stream)) {
        recorder_->count(stream, data);
        if (kept != nullptr) {
            *kept = data;
        }
        return;
    }
    const auto added = recorder_->add(stream, data, since_zero(arrival.time), arrival.ambiguous);
    spool_.pump();
    look_at_spool();
    if (kept != nullptr && added.data) {
        *kept = added.data->data;
    }
    if (added.cut && job_.capture.limit_ends_run) {
        strike_output(stream, recorder_->totals(stream), arrival.time);
    }
    if (handlers_.on_record && !core_.retired()) {
        if (added.data) {
            handlers_.on_record(*added.data);
        }
        if (added.cut && !core_.retired()) {
            handlers_.on_record(*added.cut);
        }
    }
}
void Run::strike_output(Stream stream, const StreamTotals& totals, Instant crossed_at) noexcept {
    if (!output_limit_) {
        output_limit_ = {stream, totals.cut_by.value_or(CaptureLimit::bytes), totals.bytes};
    }
    strike(Reason::output_limit, crossed_at);
}

void Run::on_output_error(Stream stream, int error_number, bool forwarding) noexcept {
    const std::string name = stream == STDOUT ? "standard output" : "standard error";
    fail({Stage::io, error_number,
          forwarding ? "the child's " + name + " cannot be passed on" : "the child's " + name + " cannot be read",
          forwarding ? "look at what the descriptor leads to: a full disk, the limit of file sizes (ulimit -f), or a "
                       "descriptor that is not open for writing"
                     : usual_cure(error_number)});
    terminate();
}

void Run::on_output_end(Stream stream) noexcept {
    if (pair_ && stream == STDOUT) {
        pair_->on_words_end(*this);
    }
    advance();
}

void Run::on_spool_moved() noexcept {
    watch_.note_progress(now());  // it was us that the child had to wait for
    look_at_spool();
    advance();
}

// Nothing is taken from the child or given to it while there is no room for the record of it.
void Run::look_at_spool() noexcept {
    const auto& error = pair_ && !recorder_->error() ? pair_->spool_error() : recorder_->error();
    if (error && !error_) {
        fail(*error);
        terminate();
    }
    if (const bool full = spool_.full() || (pair_ && pair_->spool_full()); full != held_) {
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
            if (!input_paused_) {
                input_.release();
            }
        }
    }
}

OutputStream* Run::output_stream(Stream stream) noexcept {
    return stream == STDOUT ? &output_ : stream == STDERR ? &error_output_ : nullptr;
}

void Run::pause_output(Stream stream) noexcept {
    if (OutputStream* const output = output_stream(stream); output != nullptr) {
        output->pause();
        exact_outputs_.pause(stream);
    }
}

void Run::resume_output(Stream stream) noexcept {
    if (OutputStream* const output = output_stream(stream); output != nullptr) {
        output->resume();
        exact_outputs_.resume(stream);
    }
}
}  // namespace proctor::detail
