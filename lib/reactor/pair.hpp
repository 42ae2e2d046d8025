// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string_view>

#include <proctor/job.hpp>
#include <proctor/pair.hpp>
#include <proctor/recorder.hpp>

#include "base/clock.hpp"
#include "base/failure.hpp"
#include "base/unique_fd.hpp"
#include "capture/spool_writer.hpp"
#include "ring/engine.hpp"

namespace proctor::detail {

class ReactorCore;
class Run;

/// Two runs whose programs talk to each other. Each is a run like any other, with its limits and its result; the pair
/// launches them together, passes words and ends of words from one to the other, and joins the two results. Both runs
/// own it.
///
/// Recorded, the words of a speaker go the way of output that is forwarded, into the listener's pipe, which the
/// listener's InputFeed lends for it. The loan ends when the speaker's output has: only then is no write under way. So
/// whatever ends the dialogue (the listener has died, or closed its input) ends the speaker's output first.
///
/// A program that dies lets go of its pipes before its death can be seen, and its partner could act on that so quickly
/// that it is seen dead first. So where the one that closed a pipe is on its way out, its partner is not let know
/// before the death has been seen: of two recorded programs the one that only followed never counts as the first. And
/// because many close their output themselves just before they end, an end of words is told a moment later.
class Pair final : public std::enable_shared_from_this<Pair>, private SpoolOwner {
public:
    Pair(ReactorCore& core, PairHandlers handlers, Wiring wiring);

    /// The jobs may not connect their streams themselves. Null if they do not.
    [[nodiscard]] static std::optional<Error> check(const Job& job, Wiring wiring);
    /// Before the runs are assigned: connects the jobs, and takes from them how the dialogue is recorded.
    void prepare(Job& first, Job& second);
    void join(Run& first, Run& second) noexcept;

    /// How many were launched; 0 if descriptors are short and `may_wait`: both are queued still.
    [[nodiscard]] unsigned launch(bool may_wait);
    [[nodiscard]] bool recorded() const noexcept { return wiring_ == Wiring::recorded; }

    // What its runs tell it.

    /// Its main process is known at last.
    void on_started(Run& run) noexcept;

    /// Data came on a program's standard output; gives what is to be passed on.
    [[nodiscard]] std::string_view on_words(Run& speaker, std::string_view data, Instant time) noexcept;
    /// The other's pipe has accepted these bytes.
    void on_passed_on(Run& speaker, std::string_view data) noexcept;
    void on_words_end(Run& speaker) noexcept;
    /// Nobody reads the listener's input any more. May come from both ends.
    void on_listener_deaf(Run& listener) noexcept;
    void on_partner_deaf(Run& speaker) noexcept;
    void on_refused(Run& run) noexcept;
    void on_main_died(Run& run) noexcept;
    /// Whether neither program may say more until the dialogue's spool has room.
    [[nodiscard]] bool spool_full() const noexcept { return spool_.full(); }
    [[nodiscard]] const std::optional<Error>& spool_error() const noexcept { return recorder_->error(); }
    /// Whether this run need not wait for the spool: all is written, or the other one still talks and will wait.
    [[nodiscard]] bool spooled(const Run& run) noexcept;
    void forsake() noexcept;

    /// It has made its result, and its place may get another job.
    void leave(Run& run) noexcept;
    void take_result(Side side, RunResult&& result);

private:
    [[nodiscard]] Run* other(const Run& run) const noexcept { return &run == first_ ? second_ : first_; }
    [[nodiscard]] static bool may_be_told_of(Run& run) noexcept;
    [[nodiscard]] bool may_have_run_on(Run& partner) const noexcept;
    [[nodiscard]] Expected<void> connect_directly();
    void tell(const CaptureRecord& record) const;
    void look_at_spool() noexcept;
    void on_spool_moved() noexcept override;
    [[nodiscard]] bool has_descriptors_for_both() const;
    void tell_end_of_words(Run* speaker) noexcept;
    void on_first_silent(int /*result*/) noexcept { tell_end_of_words(first_); }
    void on_second_silent(int /*result*/) noexcept { tell_end_of_words(second_); }
    void cancel_timers() noexcept;

    ReactorCore& core_;
    PairHandlers handlers_;
    Wiring wiring_;
    Run* first_ = nullptr;
    Run* second_ = nullptr;
    Instant zero_{};
    Capture dialogue_{};
    std::optional<CaptureRecorder> recorder_{};
    SpoolWriter spool_;
    std::array<bool, 2> records_{};   // whose words are recorded
    std::array<bool, 2> silenced_{};  // over a limit that ends the run: nothing more is passed on
    std::optional<Side> ended_first_{};
    // When it has ended its words and not, so far, itself.
    Bound<Timer, Pair, &Pair::on_first_silent> first_silent_{*this};
    Bound<Timer, Pair, &Pair::on_second_silent> second_silent_{*this};
    std::array<UniqueFd, 4> ends_{};  // of the direct pipes, until both are launched
    std::optional<RunResult> first_result_{};
    std::optional<RunResult> second_result_{};
};

}  // namespace proctor::detail
