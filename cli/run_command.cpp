// SPDX-License-Identifier: MIT
#include "run_command.hpp"

#include <unistd.h>

#include <cassert>
#include <cerrno>
#include <optional>
#include <string>
#include <utility>

#include <proctor/job.hpp>
#include <proctor/json.hpp>
#include <proctor/reactor.hpp>
#include <proctor/result.hpp>
#include <proctor/stdio.hpp>

#include "capture_file.hpp"
#include "exit_status.hpp"
#include "file_clash.hpp"
#include "input_replay.hpp"
#include "messages.hpp"
#include "result_file.hpp"
#include "stop_signals.hpp"

namespace proctor::cli {

namespace {

struct Ending {
    RunResult result{};
    std::optional<int> stopped_by{};  ///< the signal that told proctor to stop
};

Ending failed(Error error) {
    Ending ending;
    ending.result.outcome = Outcome::error;
    ending.result.error = std::move(error);
    return ending;
}

/// What takes part in a job besides its streams; each may be missing.
struct Companions {
    std::optional<CaptureFile> capture{};
    std::optional<InputReplay> input{};
};

Handlers handlers_for(Companions& companions) {
    Handlers handlers;
    if (companions.capture || companions.input) {
        handlers.on_record = [&companions](const CaptureRecord& record) {
            if (companions.capture) {
                companions.capture->add(record);
            }
            if (companions.input) {
                companions.input->add(record);
            }
        };
    }
    if (companions.input) {
        handlers.on_input_ready = [&companions] { companions.input->go_on(); };
    }
    return handlers;
}

Ending run_job(Job job, const ReactorOptions& options, StopSignals& signals, Companions& companions) {
    Result<Reactor> reactor = Reactor::create(options);
    if (!reactor) {
        return failed(reactor.error());
    }
    Ending ending;
    JobHandle handle;
    const Result<Watch> watch = reactor->watch(signals.descriptor(), [&] {
        while (const std::optional<int> signal = signals.take()) {
            ending.stopped_by = ending.stopped_by.value_or(*signal);
            handle.cancel();
        }
    });
    if (!watch) {
        return failed(watch.error());
    }
    bool ended = false;
    Handlers handlers = handlers_for(companions);
    handlers.on_end = [&](RunResult&& result) {
        ending.result = std::move(result);
        ended = true;
    };
    handle = reactor->submit(std::move(job), std::move(handlers));
    if (companions.capture) {
        if (const Result<void> attached = companions.capture->attach(*reactor, handle); !attached) {
            return failed(attached.error());
        }
    }
    if (companions.input) {
        companions.input->attach(handle);
    }
    if (const Result<void> ran = reactor->run(); !ran) {
        return failed(ran.error());
    }
    assert(ended);
    return ending;
}

// Passing on keeps nothing in memory, however much COMMAND writes.
void connect_outputs(Job& job, bool quiet) {
    job.capture.keep = false;
    job.output = quiet ? Output::capture() : Output::forward(STDOUT_FILENO);
    job.error_output = quiet ? Output::capture() : Output::forward(STDERR_FILENO);
}

// What cannot be had of the records is an error of ours, but a limit that was crossed stays what ended the run.
void take_failure(const Error& error, Ending& ending, int stop_descriptor) {
    RunResult& result = ending.result;
    const bool cancelled = result.error && result.error->stage == Stage::cancelled;
    if (result.reason || ending.stopped_by || (result.error && !cancelled)) {
        return tell_failure(error, stop_descriptor);
    }
    result.outcome = Outcome::error;
    result.error = error;
}

Ending run_request(RunRequest& request, Result<StopSignals>& signals, Companions& companions) {
    if (!signals) {
        return failed(signals.error());
    }
    connect_outputs(request.job, request.quiet);
    Ending ending = run_job(std::move(request.job), request.reactor, *signals, companions);
    if (companions.input && companions.input->error()) {
        take_failure(*companions.input->error(), ending, signals->descriptor());
    }
    if (companions.capture) {
        if (const Result<void> finished = companions.capture->finish(signals->descriptor()); !finished) {
            take_failure(finished.error(), ending, signals->descriptor());
        }
    }
    return ending;
}

// An error is known before anything has been done.
Result<Companions> prepare(RunRequest& request) {
    if (request.job.argv.empty() && request.job.shell.empty()) {
        return Error{Stage::setup, EINVAL, "COMMAND is missing",
                     "write: proctor run [options] [--] COMMAND [ARG…]; `proctor run --help` tells more"};
    }
    if (request.lacks_output && !request.quiet) {
        return Error{Stage::setup, EBADF, "standard output is closed, and what COMMAND writes goes there",
                     "open it, or say --quiet"};
    }
    if (request.lacks_input && request.job.input.source() == Input::Source::descriptor) {
        return Error{Stage::setup, EBADF, "standard input is closed, and COMMAND is to read it",
                     "open it, or leave --stdin out for an input that is empty"};
    }
    Companions companions;
    if (request.replay_path) {
        Result<InputReplay> opened = InputReplay::open(*request.replay_path);
        if (!opened) {
            return opened.error();
        }
        companions.input.emplace(std::move(*opened));
        request.job.input = Input::live();
    }
    if (request.capture_path) {
        Result<CaptureFile> opened = CaptureFile::open(*request.capture_path, request.capture_options);
        if (!opened) {
            return opened.error();
        }
        companions.capture.emplace(std::move(*opened));
    }
    return companions;
}

void tell_ending(const Ending& ending, const GivenLimits& given, bool quiet, int stop_descriptor) {
    const RunResult& result = ending.result;
    const bool cancelled = ending.stopped_by && result.error && result.error->stage == Stage::cancelled;
    if (result.error && !cancelled) {
        tell_failure(*result.error, stop_descriptor);
        return;
    }
    const std::string line = describe_ending(result, ending.stopped_by, given);
    if (!quiet && !line.empty()) {
        tell(line, stop_descriptor);
    }
}

}  // namespace

int run_command(RunRequest request) {
    if (const auto clash = find_file_clash(request)) {
        tell_misuse(*clash);
        return failure_status;
    }
    const GivenLimits given{request.job.limits, request.job.resource_limits};
    std::optional<ResultFile> result_file;
    if (request.result_path) {
        Result<ResultFile> opened = ResultFile::open(*request.result_path);
        if (!opened) {
            tell_failure(opened.error());
            return failure_status;
        }
        result_file.emplace(std::move(*opened));
    }
    // Before the signals are blocked: opening a named pipe waits for its reader.
    Result<Companions> companions = prepare(request);
    Result<StopSignals> signals = StopSignals::create();
    const Ending ending = companions ? run_request(request, signals, *companions) : failed(companions.error());
    const int stop_descriptor = signals ? signals->descriptor() : -1;
    // Before what is said on standard error, which may be a full pipe that nobody reads.
    Result<void> written;
    if (result_file) {
        written = result_file->write(to_json(ending.result) + '\n', stop_descriptor);
    }
    tell_ending(ending, given, request.quiet, stop_descriptor);
    const int status = exit_status(ending.result, ending.stopped_by);
    if (!written) {
        tell_failure(written.error(), stop_descriptor);
        return ending.result.reason ? status : failure_status;
    }
    return status;
}

}  // namespace proctor::cli
