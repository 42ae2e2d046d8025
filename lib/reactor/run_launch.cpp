// SPDX-License-Identifier: MIT
//
// How a run begins: its launch, in a keeper or not, and what the keeper tells.
#include <poll.h>

#include <cerrno>
#include <csignal>
#include <utility>

#include "process/processors.hpp"
#include "reactor/reactor_core.hpp"
#include "reactor/run.hpp"

namespace proctor::detail {

namespace {

constexpr Bytes least_memory_for_growth = Bytes{64} << 20;

HostDescriptor forward_target(const Output& output, const Engine& engine) noexcept {
    const int fd = output.sink() == Output::Sink::forward ? output.descriptor() : -1;
    return HostDescriptor::to_write(fd, engine.pipes_need_nonblock());
}

}  // namespace

bool Run::launch(bool may_wait, std::optional<unsigned> reactors_processor) {
    state_ = JobState::starting;
    if (job_.placement != Placement::any()) {
        job_.affinity = choose_processors(job_.placement, core_.processors(), reactors_processor);
    }
    if (auto started = start_child(); !started) {
        const int error_number = started.error().error_number;
        if (may_wait && (error_number == EMFILE || error_number == ENFILE)) {
            tree_.clear();
            state_ = JobState::queued;
            return false;
        }
        refuse(std::move(started.error()));
    }
    return true;
}

Expected<void> Run::start_child() {
    auto setup = set_up_stdio(job_, core_.null_device(), engine_.pipes_need_nonblock());
    if (!setup) {
        return tl::unexpected<Error>(std::move(setup.error()));
    }
    if (auto prepared = tree_.prepare(job_); !prepared) {
        return prepared;
    }
    auto slot = core_.launcher().acquire();
    if (!slot) {
        return tl::unexpected<Error>(std::move(slot.error()));
    }
    slot_ = *slot;
    auto launched = tree_.wants_keeper() ? launch_kept(*setup) : launch_direct(*setup);
    if (!launched) {
        core_.launcher().release(*std::exchange(slot_, nullptr));
        return launched;
    }
    cloned_at_ = now();
    core_.note_starting(*this);
    start_requests(std::move(*setup));
    watch_limits();
    return {};
}

Expected<void> Run::launch_direct(StdioSetup& setup) {
    // The killer of a group that is out of memory takes all that share the victim's memory, hence the suspending: it
    // spares a parent that waits in vfork.
    // Of live input it is told at once that the child reads no more, and of a pair's words that they have ended.
    const bool may_keep = setup.only_ours && !pair_ && job_.input.source() != Input::Source::live;
    auto child = core_.launcher().launch(job_, *slot_, std::move(setup.moves),
                                         {.cgroup = tree_.birthplace(),
                                          .suspend = tree_.memory_by_kernel(),
                                          .loses_affinity = tree_.has_cpuset(),
                                          .may_keep_descriptors = may_keep});
    if (!child) {
        return tl::unexpected<Error>(std::move(child.error()));
    }
    child_ = ChildProcess(child->pid, std::move(child->pidfd), core_.kernel().signal_group_by_pidfd);
    tree_.begin(child_);
    exit_watch_.fd = child_.pidfd();
    exit_watch_.events = POLLIN;
    engine_.start(exit_watch_);
    return {};
}

Expected<void> Run::launch_kept(StdioSetup& setup) {
    auto kept =
        core_.launcher().launch_in_keeper(job_, *slot_, std::move(setup.moves), {.path = *core_.tools().keeper});
    if (!kept) {
        return tl::unexpected<Error>(std::move(kept.error()));
    }
    tree_.begin_kept(ChildProcess(kept->keeper.pid, std::move(kept->keeper.pidfd), false), std::move(kept->control));
    keeper_news_.fd = tree_.news_socket();
    keeper_news_.events = POLLIN;
    engine_.start(keeper_news_);
    keeper_exit_.fd = tree_.keeper().pidfd();
    keeper_exit_.events = POLLIN;
    engine_.start(keeper_exit_);
    return {};
}

void Run::watch_limits() {
    watch_.start({job_.limits, job_.sample, tree_.memory_by_kernel(), tree_.tasks_by_kernel(),
                  job_.affinity.empty() ? core_.processor_count() : static_cast<unsigned>(job_.affinity.size()),
                  core_.machine_processor_count()});
    if (job_.limits.tasks && tree_.task_events() >= 0) {
        task_watch_.fd = tree_.task_events();
        task_watch_.events = POLLPRI;
        engine_.start(task_watch_);
    }
}

void Run::start_requests(StdioSetup setup) {
    setup.childs.clear();
    if (job_.limits.time) {
        engine_.start(wall_timer_, *cloned_at_ + *job_.limits.time);
    }
    if (setup.output && pair_) {
        words_ = std::move(setup.output);
    }
    unopened_ = {std::move(setup.output), std::move(setup.error_output), setup.exact_order, setup.largest_message};
    // A program in a keeper may write before the keeper has told of it: before its zero and its id are known.
    if (!tree_.kept()) {
        open_outputs();
    }
    start_input(std::move(setup));
}

void Run::start_input(StdioSetup setup) {
    if (pair_ && setup.input) {
        input_.lend(std::move(setup.input));
        return;
    }
    if (job_.input_delay) {
        input_.set_pace(InputFeed::Pace{*job_.input_delay, job_.input_pacing});
    } else {
        input_.set_pace(std::nullopt);
    }
    switch (job_.input.source()) {
        case Input::Source::text: input_.open_text(std::move(setup.input), job_.input.value()); break;
        case Input::Source::file: {
            input_.open_descriptor(
                std::move(setup.input),
                HostDescriptor::own_to_read(std::move(setup.input_file), engine_.pipes_need_nonblock()), true);
            break;
        }
        case Input::Source::descriptor:
            input_.open_descriptor(std::move(setup.input),
                                   HostDescriptor::to_read(job_.input.descriptor(), engine_.pipes_need_nonblock()),
                                   false);
            break;
        case Input::Source::held_open: input_.hold_open(std::move(setup.input)); break;
        case Input::Source::lines: input_.open_pieces(std::move(setup.input)); break;
        case Input::Source::live: input_.open_live(std::move(setup.input)); break;
        case Input::Source::empty:
        case Input::Source::inherit: break;
    }
}

void Run::open_outputs() {
    Outputs outputs = std::exchange(unopened_, {});
    const bool both = outputs.output && outputs.error_output;
    if (outputs.exact_order) {
        if (!exact_outputs_.open(std::move(outputs.output), forward_target(job_.output, engine_),
                                 std::move(outputs.error_output), forward_target(job_.error_output, engine_),
                                 outputs.largest_message)) {
            fail({Stage::io, ENOMEM, "no memory to receive what the child writes", "run fewer jobs at once"});
            terminate();
        }
        return;
    }
    // What a pipe holds is charged to the cgroup of who wrote it.
    const bool has_room = job_.limits.memory.value_or(least_memory_for_growth) >= least_memory_for_growth;
    PipeGrowth* const growth = has_room ? &core_.pipe_growth() : nullptr;
    if (outputs.output) {
        output_.open(std::move(outputs.output), forward_target(job_.output, engine_), false, growth);
    }
    if (outputs.error_output) {
        error_output_.open(std::move(outputs.error_output), forward_target(job_.error_output, engine_), false, growth);
    }
    if (both) {
        output_.set_beside(error_output_);
        error_output_.set_beside(output_);
    }
}

bool Run::collect_launch() {
    if (slot_ == nullptr) {
        return true;
    }
    const bool told = !tree_.kept() || keeper_gone_ || tree_.told(keeper_started | keeper_failed | keeper_refused);
    if (slot_->occupied() || !told) {
        return false;
    }
    zero_ = slot_->stamp();
    host_peak_ = host_peak();
    if (tree_.kept() && keeper_gone_ && !tree_.told(keeper_started | keeper_failed | keeper_refused) && zero_) {
        zero_.reset();  // that was the keeper's own
        fail({Stage::start, 0, "the job's keeper died before it came to start the program",
              "look for a killer: kill(1), or the kernel's out-of-memory killer (dmesg)"});
    }
    if (!zero_ && tree_.memory_refused()) {
        strike(Reason::memory_limit, now());  // it needed more to begin than it may have
    } else if (auto failed = slot_->child_error(job_)) {
        zero_.reset();
        if (failed->stage == Stage::start && tree_.kind() == JobTree::Kind::cgroup && !signalled_at_) {
            failed->cure +=
                "; or start the host in a new cgroup: if its own was ever killed (cgroup.kill), Linux 6.14 "
                "and newer kill whoever is born from it into another";
        }
        if (!reason_) {
            fail(std::move(*failed));
        }
    } else if (state_ == JobState::starting) {
        state_ = JobState::running;
    }
    core_.launcher().release(*slot_);
    slot_ = nullptr;
    return true;
}

void Run::on_keeper_news(int result) noexcept {
    if (result < 0) {
        // Nobody would open the outputs, and a program that fills them would wait for ever.
        cannot_watch_keeper(-result);
        tree_.kill(true);  // the keeper's exit ends it
    } else if (take_news() == Keeper::Received::nothing) {
        engine_.start(keeper_news_);
    }
    advance();
}

void Run::cannot_watch_keeper(int error_number) noexcept {
    fail({Stage::wait, error_number, "the job's keeper cannot be watched", "run fewer jobs at once"});
}

Keeper::Received Run::take_news() noexcept {
    for (;;) {
        KeeperMessage message;
        const auto received = tree_.receive(message);
        if (received != Keeper::Received::report) {
            return received;
        }
        if (slot_ != nullptr) {
            slot_->adopt(message.report);
        }
        if ((message.report.news & keeper_started) != 0) {
            main_started(message);
        }
        collect_launch();
        open_outputs();
    }
}

void Run::main_started(KeeperMessage& message) noexcept {
    if (!message.pidfd) {
        fail({Stage::spawn, EMFILE, "no descriptor is left for the new process",
              "run fewer at once, or raise the limit of open files (ulimit -n)"});
        tree_.kill(true);
        return;  // the keeper's exit ends it
    }
    child_ = ChildProcess(message.report.pid, std::move(message.pidfd), core_.kernel().signal_group_by_pidfd);
    tree_.begin(child_);
    exit_watch_.fd = child_.pidfd();
    exit_watch_.events = POLLIN;
    engine_.start(exit_watch_);
    if (pair_) {
        pair_->on_started(*this);
    }
}

void Run::on_keeper_exit(int result) noexcept {
    if (result < 0) {
        cannot_watch_keeper(-result);
        (void)tree_.keeper().signal(SIGKILL);  // or the reaping would wait for a living one
    }
    take_news();  // what it told last
    keeper_gone_ = true;
    collect_launch();
    open_outputs();
    if (child_ && !tree_.told(keeper_main_ended | keeper_empty)) {
        fail({Stage::wait, 0, "the job's keeper was killed, and with it the knowledge of how the program ended",
              "run programs as a user of their own (Job::user), who cannot signal the keeper"});
        child_.signal_group(SIGKILL);
        tree_.kill_seen();
    }
    if (!child_ && !exited_at_) {
        main_died();  // nothing else will tell
    }
    advance();
}

}  // namespace proctor::detail
