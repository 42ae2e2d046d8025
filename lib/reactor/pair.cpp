// SPDX-License-Identifier: MIT
#include "reactor/pair.hpp"

#include <fcntl.h>

#include <cerrno>
#include <utility>

#include "capture/capture_state.hpp"
#include "process/processors.hpp"
#include "reactor/reactor_core.hpp"
#include "reactor/run.hpp"
#include "reactor/stdio_setup.hpp"

namespace proctor::detail {

namespace {

Error without_partner() {
    return {Stage::cancelled, 0, "the other program of the pair was not started", "look at its error"};
}

// Whatever it has done meanwhile, it did alone.
void spoil(RunResult& result, const RunResult& partner) {
    const bool partner_never_ran = partner.error && !partner.usage;
    if (partner_never_ran && !result.error) {
        result.outcome = Outcome::error;
        result.error = without_partner();
    }
}

}  // namespace

Pair::Pair(ReactorCore& core, PairHandlers handlers, Wiring wiring)
    : core_(core), handlers_(std::move(handlers)), wiring_(wiring), spool_(core.engine(), *this) {}

std::optional<Error> Pair::check(const Job& job, Wiring wiring) {
    if (job.input.source() != Input::Source::empty || job.output.sink() != Output::Sink::capture) {
        return Error{Stage::setup, EINVAL, "a job of a pair connects its standard input or output itself",
                     "leave `input` and `output` unset: each is connected to the other job's"};
    }
    if (job.input_delay) {
        return Error{Stage::setup, EINVAL, "what the other program of a pair says cannot be paced",
                     "leave input_delay unset"};
    }
    if (job.order == Order::exact) {
        return Error{Stage::setup, EINVAL, "the outputs of a job of a pair have no exact order",
                     "leave order unset: what it says goes into the dialogue, in the order in which it is passed on"};
    }
    const CaptureLimits& limits = job.capture.limits;
    if (wiring == Wiring::direct && (limits.max_stdout_bytes || limits.max_stdout_lines)) {
        return Error{Stage::setup, EINVAL,
                     "a capture limit is set for words that are not recorded: the wiring is direct",
                     "leave those of stdout unset, or let the wiring be recorded or ordered"};
    }
    return {};
}

void Pair::prepare(Job& first, Job& second) {
    records_ = {first.capture.output, second.capture.output};
    CaptureOptions options = first.capture;
    options.output = first.capture.output;
    options.error_output = second.capture.output;
    options.keep = first.capture.keep || second.capture.keep;
    options.limits = {first.capture.limits.max_stdout_lines, first.capture.limits.max_stdout_bytes,
                      second.capture.limits.max_stdout_lines, second.capture.limits.max_stdout_bytes};
    dialogue_ = Capture(std::move(options));
    recorder_.emplace(dialogue_.record());
    spool_.open(CaptureAccess::store(*recorder_));
    if (recorded()) {
        first.input = second.input = Input::held_open();  // a pipe that is not written to by the run itself
    }
}

void Pair::join(Run& first, Run& second) noexcept {
    first_ = &first;
    second_ = &second;
}

// The second must not fail for want of descriptors when the first runs already; then both would rather have waited.
bool Pair::has_descriptors_for_both() const {
    constexpr std::size_t wanted = 24;  // those of two jobs, and what their launches take for a moment
    std::array<UniqueFd, wanted> found;
    for (UniqueFd& each : found) {
        each.reset(::fcntl(core_.null_device().for_reading.get(), F_DUPFD_CLOEXEC, 0));
        if (!each) {
            return false;
        }
    }
    return true;
}

unsigned Pair::launch(bool may_wait) {
    if (may_wait && !has_descriptors_for_both()) {
        return 0;
    }
    zero_ = now();
    const auto alive = shared_from_this();  // whatever becomes of the runs
    if (!recorded()) {
        if (auto connected = connect_directly(); !connected) {
            const int error_number = connected.error().error_number;
            if (may_wait && (error_number == EMFILE || error_number == ENFILE)) {
                return 0;
            }
            first_->refuse_launch(std::move(connected.error()));
            return 1;
        }
    }
    unsigned launched = 0;
    const auto processor = current_processor();  // asked once: with the reactor, the two are together
    if (first_->launch(may_wait, processor)) {
        ++launched;
        if (first_->launched()) {
            (void)second_->launch(false, processor);
            ++launched;
        }
        if (second_->launched() && recorded()) {
            first_->begin_words(second_->input_.pipe());
            second_->begin_words(first_->input_.pipe());
        }
    }
    ends_ = {};
    return launched;
}

Expected<void> Pair::connect_directly() {
    auto forth = make_pipe();
    auto back = make_pipe();
    if (!forth || !back) {
        return tl::unexpected<Error>(std::move((forth ? back : forth).error()));
    }
    ends_ = {std::move(forth->reader), std::move(forth->writer), std::move(back->reader), std::move(back->writer)};
    const auto connect = [](Job& job, const UniqueFd& reader, const UniqueFd& writer) {
        job.input = Input::inherit(reader.get());
        job.output = Output::inherit(writer.get());
    };
    connect(first_->job_, ends_[2], ends_[1]);
    connect(second_->job_, ends_[0], ends_[3]);
    return {};
}

std::string_view Pair::on_words(Run& speaker, std::string_view data, Instant time) noexcept {
    const std::size_t side = &speaker == first_ ? 0 : 1;
    const Stream stream = side == 0 ? STDOUT : STDERR;
    if (!records_[side]) {
        recorder_->count(stream, data);
        return data;
    }
    const auto added = recorder_->add(stream, data, time - zero_);
    spool_.pump();
    look_at_spool();
    const std::string_view kept = added.data ? added.data->data : std::string_view();
    if (added.cut && speaker.job_.capture.limit_ends_run) {
        silenced_[side] = true;
        speaker.strike_output(STDOUT, recorder_->totals(stream), time);
    }
    if (added.data) {
        tell(*added.data);
    }
    if (added.cut) {
        tell(*added.cut);
    }
    return silenced_[side] ? kept : data;
}

void Pair::tell(const CaptureRecord& record) const {
    if (handlers_.on_record && !core_.retired()) {
        handlers_.on_record(record);
    }
}

void Pair::look_at_spool() noexcept {
    for (Run* const run : {first_, second_}) {
        if (run != nullptr) {
            run->look_at_spool();
        }
    }
}

void Pair::on_spool_moved() noexcept {
    look_at_spool();
    for (Run* const run : {first_, second_}) {
        if (run != nullptr) {
            run->watch_.note_progress(now());  // it was us that they had to wait for
            run->advance();
        }
    }
}

bool Pair::spooled(const Run& run) noexcept {
    const Run* const partner = other(run);
    const bool more_may_come = partner != nullptr && !partner->output_.ended();
    return more_may_come || spool_.finish();
}

void Pair::on_passed_on(Run& speaker, std::string_view data) noexcept {
    if (Run* const listener = other(speaker); listener != nullptr) {
        listener->watch_.note_progress(now());
        listener->recorder_->count(STDIN, data);
    }
}

// Whether a closed pipe of this one is to be let known to the other. If it is about to die, its death comes first.
bool Pair::may_be_told_of(Run& run) noexcept { return run.exited_at_ || run.look_at_life() == Run::Life::runs; }

void Pair::on_started(Run& run) noexcept {
    if (recorded() && run.output_.ended()) {
        on_words_end(run);
    }
    if (recorded() && run.input_.broken()) {
        on_listener_deaf(run);
    }
}

void Pair::on_words_end(Run& speaker) noexcept {
    constexpr Nanoseconds moment = std::chrono::milliseconds(2);
    if (speaker.exited_at_) {
        tell_end_of_words(&speaker);
    } else {
        core_.engine().start(&speaker == first_ ? static_cast<Timer&>(first_silent_) : second_silent_, now() + moment);
    }
}

void Pair::tell_end_of_words(Run* speaker) noexcept {
    Run* const listener = speaker != nullptr ? other(*speaker) : nullptr;
    if (listener != nullptr && may_be_told_of(*speaker)) {
        listener->input_.end_loan();
    }
}

void Pair::cancel_timers() noexcept {
    core_.engine().cancel(first_silent_);
    core_.engine().cancel(second_silent_);
}

void Pair::forsake() noexcept {
    spool_.forsake();
    cancel_timers();
}

void Pair::on_listener_deaf(Run& listener) noexcept {
    if (Run* const speaker = other(listener); speaker != nullptr) {
        on_partner_deaf(*speaker);
    }
}

// It meets SIGPIPE then, as it would by a pipe between them.
void Pair::on_partner_deaf(Run& speaker) noexcept {
    Run* const listener = other(speaker);
    if (listener == nullptr || may_be_told_of(*listener)) {
        speaker.output_.finish_up(true);
    }
}

void Pair::on_refused(Run& run) noexcept {
    if (Run* const partner = other(run); partner != nullptr) {
        partner->cancel(without_partner());
    }
}

// Whether it was alive when the other's death was seen. Of one whose keeper has told nothing yet that is not known; if
// it is told of the other's end by us alone, it cannot have caused it.
bool Pair::may_have_run_on(Run& partner) const noexcept {
    const Run::Life life = partner.look_at_life();
    return life == Run::Life::runs || (life == Run::Life::unknown && recorded());
}

void Pair::on_main_died(Run& run) noexcept {
    Run* const partner = other(run);
    if (!ended_first_) {
        const Side side = &run == first_ ? Side::first : Side::second;
        ended_first_ = partner != nullptr && may_have_run_on(*partner) ? side : Side::tie;
    }
    if (partner == nullptr) {
        run.input_.end_loan();
        return;
    }
    if (!run.zero_) {
        partner->cancel(without_partner());
    }
    if (!recorded()) {
        return;
    }
    if (run.output_.ended()) {
        partner->input_.end_loan();
    }
    partner->output_.finish_up(true);  // nobody listens any more
    if (partner->output_.ended()) {
        run.input_.end_loan();
    }
}

void Pair::leave(Run& run) noexcept {
    Run* const partner = other(run);
    (&run == first_ ? first_ : second_) = nullptr;
    if (partner == nullptr) {
        cancel_timers();
    }
    if (partner != nullptr) {
        partner->input_.end_loan();
    }
}

void Pair::take_result(Side side, RunResult&& result) {
    (side == Side::first ? first_result_ : second_result_) = std::move(result);
    if (!first_result_ || !second_result_ || !handlers_.on_end) {
        return;
    }
    PairResult both;
    both.first = std::move(*first_result_);
    both.second = std::move(*second_result_);
    spoil(both.first, both.second);
    spoil(both.second, both.first);
    recorder_.reset();
    both.dialogue = std::move(dialogue_);
    const bool both_ran = both.first.usage && both.second.usage;
    both.ended_first = both_ran ? ended_first_.value_or(Side::tie) : Side::tie;
    handlers_.on_end(std::move(both));
}

}  // namespace proctor::detail
