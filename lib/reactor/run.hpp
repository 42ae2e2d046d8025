// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>

#include <proctor/job.hpp>
#include <proctor/reactor.hpp>
#include <proctor/recorder.hpp>
#include <proctor/result.hpp>

#include "capture/spool_writer.hpp"
#include "containment/job_tree.hpp"
#include "limits/limit_watch.hpp"
#include "process/child_process.hpp"
#include "process/launcher.hpp"
#include "reactor/exact_outputs.hpp"
#include "reactor/input_feed.hpp"
#include "reactor/output_stream.hpp"
#include "reactor/pair.hpp"
#include "reactor/stdio_setup.hpp"

namespace proctor::detail {

class ReactorCore;

/// How long those that were killed may take to die before that is told as a failure of ours.
constexpr Nanoseconds longest_death = std::chrono::seconds(10);

/// One job from its launch to its result: a state machine over its requests and timers.
///
///     queued -> starting -> running -> draining -> ended
///
/// The main process's death freezes the verdict. Then output may go on for drain_grace, until end of file, or who was
/// asked to end may do so for kill_after; the tree is killed; what the pipes still hold is read; the leader is reaped
/// last. The result is delivered by a timer that is due at once, so never from inside a request's completion, when
/// nothing of the run is in flight any more.
class Run final : private OutputOwner, private InputOwner, private LimitOwner, private SpoolOwner {
public:
    explicit Run(ReactorCore& core) noexcept;
    ~Run() = default;

    void assign(Job job, Handlers handlers, std::uint64_t id);
    /// As one of a pair, whose job it has prepared.
    void assign_half(Job job, std::shared_ptr<Pair> pair, Side side, std::uint64_t id);
    /// Ends it without a launch; the result comes by its handler, in a later pass.
    void refuse(Error error);
    /// The same when its turn has come: it then counts as launched, and its end makes room for the next.
    void refuse_launch(Error error);
    /// False if no descriptor is left for it and `may_wait`: others run, which will give theirs back. It is queued
    /// still. `reactors_processor` is where the reactor's thread is, for the job's placement.
    [[nodiscard]] bool launch(bool may_wait, std::optional<unsigned> reactors_processor);

    /// The same with the partner, if it has one; says how many were launched.
    [[nodiscard]] unsigned launch_with_partner(bool may_wait);
    /// How many of the jobs that may run at once it takes.
    [[nodiscard]] unsigned places() const noexcept { return pair_ ? 2 : 1; }

    void cancel();
    void cancel(Error why);
    /// As cancel, but in haste and without telling anybody: the reactor is being destroyed.
    void abandon();
    /// The ring is gone: kill and reap by waiting, if the child is ours to kill, and let go of all requests.
    void forsake(bool kill) noexcept;

    void pause_output(Stream stream) noexcept;
    void resume_output(Stream stream) noexcept;
    void pause_input() noexcept;
    void resume_input() noexcept;
    [[nodiscard]] Expected<bool> write_input(std::string bytes);
    void close_input() noexcept;
    [[nodiscard]] Bytes pending_input() const noexcept;
    [[nodiscard]] int signal(int number) const noexcept;

    /// Looks whether the child has left our address space, and if so takes what it wrote and frees its slot.
    bool collect_launch();

    [[nodiscard]] std::uint64_t id() const noexcept { return id_; }
    [[nodiscard]] JobState state() const noexcept;
    /// Whether it is to be launched: queued, and not refused or cancelled meanwhile.
    [[nodiscard]] bool awaits_launch() const noexcept { return state_ == JobState::queued && !error_; }
    [[nodiscard]] std::optional<int> pid() const noexcept;
    [[nodiscard]] std::optional<Usage> usage();
    [[nodiscard]] std::vector<ChildUsage> processes();
    [[nodiscard]] std::optional<Reason> reason() const noexcept { return reason_; }

private:
    friend class Pair;

    /// Our ends of the outputs, until they are read.
    struct Outputs {
        UniqueFd output{};
        UniqueFd error_output{};
        bool exact_order = false;
        std::size_t largest_message = 0;
    };

    [[nodiscard]] Expected<void> start_child();
    [[nodiscard]] Expected<void> launch_direct(StdioSetup& setup);
    [[nodiscard]] Expected<void> launch_kept(StdioSetup& setup);
    [[nodiscard]] bool launched() const noexcept { return child_ || tree_.kept(); }
    void main_died() noexcept;
    Keeper::Received take_news() noexcept;
    void main_started(KeeperMessage& message) noexcept;
    [[nodiscard]] bool take_exit() noexcept;
    void start_requests(StdioSetup setup);
    void open_outputs();
    void start_input(StdioSetup setup);

    std::string_view on_output(Stream stream, std::string_view data, Arrival arrival) noexcept override;
    void on_output_error(Stream stream, int error_number, bool forwarding) noexcept override;
    void on_passed_on(std::string_view data) noexcept override;
    void on_forward_closed() noexcept override;
    void on_output_end(Stream stream) noexcept override;
    void on_input(std::string_view data, Instant issued) noexcept override;
    void on_input_error(int error_number, bool reading) noexcept override;
    void on_input_closed() noexcept override;
    void on_input_end() noexcept override;
    void on_spool_moved() noexcept override;
    [[nodiscard]] std::optional<std::string> next_piece() noexcept override;
    void on_input_room() noexcept override;
    [[nodiscard]] bool awaits_paced_input() const noexcept override { return input_.waits_for_time(); }
    void on_limit(Reason reason, Instant crossed_at) noexcept override;
    [[nodiscard]] std::optional<Instant> began() noexcept override;
    void on_exit(int result) noexcept;
    void on_task_refused(int result) noexcept;
    void on_keeper_news(int result) noexcept;
    void cannot_watch_keeper(int error_number) noexcept;
    void on_keeper_exit(int result) noexcept;
    void on_gone_timer(int result) noexcept;
    void on_wall_timer(int result) noexcept;
    void on_end_timer(int result) noexcept;
    void on_settle(int result) noexcept;

    void record(Stream stream, std::string_view data, Arrival arrival, std::string_view* kept);
    void look_at_spool() noexcept;
    void begin_words(int listener) noexcept;
    /// Of the main process. Until the keeper has told of it, unknown.
    enum class Life : unsigned char { unknown, runs, over };
    [[nodiscard]] Life look_at_life() noexcept;
    void watch_limits();
    void strike(Reason reason, Instant crossed_at) noexcept;
    void strike_output(Stream stream, const StreamTotals& totals, Instant crossed_at) noexcept;
    [[nodiscard]] Reason prefer(Reason reason) noexcept;
    void terminate() noexcept;
    Instant kill_main() noexcept;
    void fail(Error error) noexcept;
    void judge_at_exit() noexcept;
    [[nodiscard]] bool tree_is_gone() noexcept;
    void advance() noexcept;
    [[nodiscard]] bool is_being_asked() const noexcept;
    void wait_for_the_rest() noexcept;
    void wait_for_the_asked() noexcept;
    void judge_grace() noexcept;
    void fail_to_kill() noexcept;
    void kill_tree() noexcept;
    void finish_up(bool impatient) noexcept;
    void settle_soon() noexcept;
    [[nodiscard]] bool in_haste() const noexcept;
    [[nodiscard]] bool outputs_ended() const noexcept;
    [[nodiscard]] OutputStream* output_stream(Stream stream) noexcept;
    [[nodiscard]] Nanoseconds since_zero(Instant time) const noexcept;

    [[nodiscard]] RunResult make_result();
    void add_exit(RunResult& result);
    void clear() noexcept;

    ReactorCore& core_;
    Engine& engine_;
    std::uint64_t id_ = 0;
    Job job_{};
    Handlers handlers_{};
    JobState state_ = JobState::ended;

    LaunchSlot* slot_ = nullptr;
    ChildProcess child_{};
    Bytes host_peak_ = 0;
    std::optional<Instant> cloned_at_{};
    std::optional<Instant> zero_{};  // the child's stamp, once it has left our address space
    std::optional<Instant> exited_at_{};
    std::optional<ExitStatus> exit_{};
    std::optional<Instant> gone_at_{};
    std::optional<Instant> signalled_at_{};
    bool killed_ = false;   // the main process, and not only asked to end
    bool undying_ = false;  // that did not help
    std::optional<Instant> crossed_at_{};
    std::optional<Reason> reason_{};
    std::optional<Error> error_{};
    std::uint64_t reason_pass_ = 0;  // in which pass it was set
    bool in_grace_ = false;          // the main process is dead, and others may go on for drain_grace
    std::optional<Reason> limit_in_grace_{};
    bool tree_killed_ = false;
    bool keeper_gone_ = false;
    Nanoseconds gone_wait_{};
    std::string blocked_in_{};
    std::optional<OutputLimit> output_limit_{};

    JobTree tree_;
    LimitWatch watch_;
    Capture capture_{};
    std::optional<CaptureRecorder> recorder_{};
    SpoolWriter spool_;
    bool held_ = false;  // streams, until the spool has room
    bool input_paused_ = false;
    InputFeed input_;
    Outputs unopened_{};
    std::shared_ptr<Pair> pair_{};
    UniqueFd words_{};  // of a pair: standard output, until both are launched
    OutputStream output_;
    OutputStream error_output_;
    ExactOutputs exact_outputs_;  // instead of the two, with Order::exact
    Bound<Ready, Run, &Run::on_exit> exit_watch_{*this};
    Bound<Timer, Run, &Run::on_wall_timer> wall_timer_{*this};
    Bound<Timer, Run, &Run::on_end_timer> end_timer_{*this};
    Bound<Ready, Run, &Run::on_task_refused> task_watch_{*this};
    Bound<Ready, Run, &Run::on_keeper_news> keeper_news_{*this};
    Bound<Ready, Run, &Run::on_keeper_exit> keeper_exit_{*this};
    Bound<Timer, Run, &Run::on_gone_timer> gone_timer_{*this};
    Bound<Timer, Run, &Run::on_settle> settle_timer_{*this};
};

}  // namespace proctor::detail
