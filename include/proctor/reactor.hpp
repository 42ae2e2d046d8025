// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <proctor/capture.hpp>
#include <proctor/engine.hpp>
#include <proctor/error.hpp>
#include <proctor/export.hpp>
#include <proctor/job.hpp>
#include <proctor/monitor.hpp>
#include <proctor/pair.hpp>
#include <proctor/result.hpp>

namespace proctor {

namespace detail {
class ReactorCore;
}

/// What a job's handlers are told; each may be left out. They run on the reactor's thread, never inside each other and
/// never inside submit. They may submit, cancel, pause and destroy, but not run the reactor again, and not throw: there
/// is nobody to catch, so that ends the host (std::terminate), as a want of memory does while jobs run. Of a process
/// that one forks, the copy is told nothing more when it returns: run() fails there.
struct Handlers {
    /// Each record as it happens, kept or not. Its bytes are valid until the handler returns.
    std::function<void(const CaptureRecord&)> on_record{};
    /// The end, once for every job, also for one that was refused. The result may be moved from.
    std::function<void(RunResult&&)> on_end{};
    /// Input::live() alone: write_input() said false, and what waits has since become less than the high-water mark.
    std::function<void()> on_input_ready{};
    /// The child has closed its standard input, perhaps by dying, before all of it was written: once. What is not
    /// written yet is dropped. Told when it is met: with Input::live() at once, else by the next write.
    std::function<void()> on_input_closed{};
};

/// How far a job has come.
enum class JobState : unsigned char {
    queued,    ///< waits for its turn
    starting,  ///< cloned; execve not yet seen to be done
    running,
    draining,  ///< the main process is dead, its output is still being read
    ended,     ///< its handler has been called, or is being called
};

/// Names one submitted job. May be copied, ignored, and kept longer than the job and the reactor: it then answers
/// `ended`. Belongs to the reactor's thread like the reactor itself.
class PROCTOR_API JobHandle {
public:
    JobHandle() = default;

    [[nodiscard]] JobState state() const noexcept;
    /// Process id of the main process while it is not reaped.
    [[nodiscard]] std::optional<int> pid() const noexcept;
    /// What it has used up to now; null before execve and after the end.
    [[nodiscard]] std::optional<Usage> usage() const;
    /// Its living processes, the main one first; empty before execve and after the end.
    [[nodiscard]] std::vector<ChildUsage> processes() const;
    /// The limit that has been crossed, if any.
    [[nodiscard]] std::optional<Reason> reason() const noexcept;

    /// Kills the job's tree (after SIGTERM, if the job has kill_after). Its handler gets the outcome `error` of stage
    /// `cancelled`. If the main process is dead already its verdict stands, and only the waiting for output ends.
    void cancel() const;
    /// Sends a signal to the main process. Errors: ESRCH if there is none (any more); EINVAL for a wrong number.
    [[nodiscard]] Result<void> signal(int number) const;
    /// No new read of that stream until it is resumed, so the child meets a full pipe. A read that was under way may
    /// still deliver one record; and once the main process is dead and its drain_grace over, what the pipe holds is
    /// delivered.
    void pause_output(Stream stream) const;
    void resume_output(Stream stream) const;
    /// No new write to the child's standard input until it is resumed. One that was under way may still deliver one
    /// record. Nothing for a job of a pair, whose input is the other's words: pause those.
    void pause_input() const;
    void resume_input() const;

    /// With Input::live(): queues bytes for the child's standard input, also before the job has started. All are taken;
    /// the answer is false if from now on the caller should wait for Handlers::on_input_ready, because
    /// input_high_water bytes or more are waiting. May be called from inside a handler. Errors: ESRCH once the main
    /// process is dead, or if there is no such job; EPIPE after close_input(), or if the child has closed its standard
    /// input; EINVAL for a job with another input.
    [[nodiscard]] Result<bool> write_input(std::string bytes) const;
    /// End of file for the child, once everything that was queued is written.
    void close_input() const;
    /// Bytes queued that the pipe has not accepted.
    [[nodiscard]] Bytes pending_input() const noexcept;

    static constexpr Bytes input_high_water = 65'536;

private:
    friend class detail::ReactorCore;
    JobHandle(std::weak_ptr<detail::ReactorCore> core, std::uint64_t id) : core_(std::move(core)), id_(id) {}

    std::weak_ptr<detail::ReactorCore> core_{};
    std::uint64_t id_ = 0;
};

/// Names the two jobs of one submitted pair, as JobHandle names one.
class PROCTOR_API PairHandle {
public:
    PairHandle() = default;

    [[nodiscard]] const JobHandle& first() const noexcept { return first_; }
    [[nodiscard]] const JobHandle& second() const noexcept { return second_; }
    /// Cancels both. To cancel one by its own handle ends the other's input, and spares it otherwise.
    void cancel() const;

private:
    friend class detail::ReactorCore;
    PairHandle(JobHandle first, JobHandle second) : first_(std::move(first)), second_(std::move(second)) {}

    JobHandle first_{};
    JobHandle second_{};
};

/// Ends the watching of a descriptor when it is destroyed.
class PROCTOR_API Watch {
public:
    Watch() = default;
    Watch(Watch&& other) noexcept = default;
    Watch& operator=(Watch&& other) noexcept;
    ~Watch();

private:
    friend class detail::ReactorCore;
    Watch(std::weak_ptr<detail::ReactorCore> core, std::uint64_t id) : core_(std::move(core)), id_(id) {}

    std::weak_ptr<detail::ReactorCore> core_{};
    std::uint64_t id_ = 0;
};

/// What holds a job's processes together, so that all of them are known and none escapes the kill.
enum class Containment : unsigned char {
    automatic,  ///< the first of the following that can be had
    cgroup,     ///< a cgroup (v2) for each job
    keeper,     ///< a small process above each job, to which orphans come (prctl(2), PR_SET_CHILD_SUBREAPER)
    tree,       ///< the process group, and what a walk through /proc finds: best effort
};

struct ReactorOptions {
    /// Jobs alive at once; what is submitted beyond it waits for its turn. 1 to 16,000. Each takes up to nine
    /// descriptors, from the 257th on three to five: the default fits the usual limit of 1,024 (ulimit -n), and jobs
    /// for which none is left wait, too.
    unsigned max_running = 100;
    /// Start every child with the reactor's thread suspended until its execve (CLONE_VFORK): slower. (valgrind 3.19
    /// runs no jobs in either way: its vfork does not share the memory.)
    bool suspend_while_starting = false;

    EngineChoice engine = EngineChoice::automatic;

    Containment containment = Containment::automatic;
    /// A directory of the cgroup v2 hierarchy in which groups may be made; for controllers it must have no process of
    /// its own. Empty: one is looked for.
    std::string cgroup{};
    /// The program proctor-keeper. Empty: it is looked for where it is installed.
    std::string keeper{};
    /// With cgroups, one small process (proctor-keeper) that kills the jobs when the host is killed.
    bool guard = true;
};

/// Runs jobs on one io_uring ring (or an epoll set), in one thread and without a lock. It belongs to the thread that
/// first runs it or asks for its fd(); what is submitted before is queued and launched then. Any number of reactors may
/// live in one program.
class PROCTOR_API Reactor {
public:
    /// Errors: no descriptor or memory is left for the engine; what `options` asks for is not there. Where
    /// EngineChoice::io_uring was asked for: the kernel is too old (6.1 is needed), or it is forbidden here; the cure
    /// says how to allow it.
    [[nodiscard]] static Result<Reactor> create(const ReactorOptions& options = {});

    Reactor(Reactor&&) noexcept;
    Reactor& operator=(Reactor&&) noexcept;
    /// Kills and reaps what still runs. Handlers of such jobs are not called: use cancel_all() and run() for that.
    ~Reactor();

    /// Never fails: a job that cannot be run ends with the outcome `error`, by its handler, from the next pass.
    JobHandle submit(Job job, Handlers handlers = {});
    /// With the handler of the end alone: anything that can be called with a result.
    template <std::invocable<RunResult&&> OnEnd>
    JobHandle submit(Job job, OnEnd on_end) {
        return submit(std::move(job), Handlers{.on_record = {}, .on_end = std::move(on_end)});
    }

    /// Two jobs, started together, whose programs talk to each other: the standard output of each is the other's
    /// standard input. When one ends or closes its output, the other's input is at its end; when one ends or closes its
    /// input, the other meets SIGPIPE or EPIPE at its next write. Their limits hold for each; those of stdout in
    /// `capture` bound what is recorded of its words, and end what is passed on only with limit_ends_run. `input`,
    /// `output`, `input_delay` and `order` must be unset. They count as two of max_running. If one cannot be started,
    /// the other is cancelled, and its error says so. Each is placed as it says: two that say little at a time and
    /// compute little are quicker with Placement::with_reactor(). Never fails, as submit.
    PairHandle submit_pair(Job first, Job second, PairHandlers handlers = {}, Wiring wiring = Wiring::recorded);
    /// With the handler of the end alone.
    template <std::invocable<PairResult&&> OnEnd>
    PairHandle submit_pair(Job first, Job second, OnEnd on_end, Wiring wiring = Wiring::recorded) {
        return submit_pair(std::move(first), std::move(second),
                           PairHandlers{.on_record = {}, .on_end = std::move(on_end)}, wiring);
    }

    /// Watches a process that somebody else has started, with what descends from it, and keeps limits on them; run()
    /// goes on until it has ended. It is never moved into a group. `on_end` gets usage and reason; the exit status is
    /// known if the process is a child of this one, or the kernel tells (PIDFD_GET_INFO, 6.15), and else null, which is
    /// a pass if no limit was crossed. What descends from it is let alone if it ends by itself. Errors: ESRCH; EPERM,
    /// if it may not be signalled; EINVAL for a limit that cannot be kept.
    [[nodiscard]] Result<MonitorHandle> monitor(int pid, const MonitorOptions& options,
                                                std::function<void(RunResult&&)> on_end = {});
    /// The same for a pidfd, which stays the caller's.
    [[nodiscard]] Result<MonitorHandle> monitor_descriptor(int pidfd, const MonitorOptions& options,
                                                           std::function<void(RunResult&&)> on_end = {});

    /// Runs until no job is left. Errors: called from another thread than before, from inside a handler, or in a forked
    /// copy of the process that made the reactor.
    Result<void> run();
    /// One pass: waits at most this long for something to happen and handles what is ready, no more. Negative: waits
    /// as long as it takes; with no job and no watch it returns at once. Errors: as run().
    Result<void> run_once(std::chrono::nanoseconds timeout = std::chrono::nanoseconds(-1));

    /// A descriptor that polls readable when run_once() has something to do, so that the reactor can be nested in
    /// another loop. The reactor's own: do not read, write or close it. -1 if it is asked by another thread than the
    /// one that runs the reactor.
    [[nodiscard]] int fd();

    /// Jobs that have not ended.
    [[nodiscard]] std::size_t size() const noexcept;
    void cancel_all();

    /// Calls `on_readable` from the loop whenever the descriptor is readable, at its end, or broken, until the Watch is
    /// destroyed. Does not keep run() going. Borrowed: unwatch before you close it. Errors: EBADF; EPERM for a
    /// descriptor that cannot be polled.
    [[nodiscard]] Result<Watch> watch(int descriptor, std::function<void()> on_readable);

private:
    explicit Reactor(std::shared_ptr<detail::ReactorCore> core);
    std::shared_ptr<detail::ReactorCore> core_;
};

/// Runs one job and waits for its end, on a reactor of its own.
[[nodiscard]] PROCTOR_API RunResult run(Job job);

}  // namespace proctor
