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

#include "exit_status.hpp"
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

Ending run_job(Job job, const ReactorOptions& options, StopSignals& signals) {
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
    handle = reactor->submit(std::move(job), [&](RunResult&& result) {
        ending.result = std::move(result);
        ended = true;
    });
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

Ending run_request(RunRequest& request, Result<StopSignals>& signals) {
    if (request.job.argv.empty() && request.job.shell.empty()) {
        return failed({Stage::setup, EINVAL, "COMMAND is missing",
                       "write: proctor run [options] [--] COMMAND [ARG…]; `proctor run --help` tells more"});
    }
    if (!signals) {
        return failed(signals.error());
    }
    connect_outputs(request.job, request.quiet);
    return run_job(std::move(request.job), request.reactor, *signals);
}

void tell_ending(const Ending& ending, bool quiet) {
    const RunResult& result = ending.result;
    const bool cancelled = ending.stopped_by && result.error && result.error->stage == Stage::cancelled;
    if (result.error && !cancelled) {
        tell_failure(*result.error);
        return;
    }
    const std::string line = describe_ending(result, ending.stopped_by);
    if (!quiet && !line.empty()) {
        tell(line);
    }
}

}  // namespace

int run_command(RunRequest request) {
    std::optional<ResultFile> result_file;
    if (request.result_path) {
        Result<ResultFile> opened = ResultFile::open(*request.result_path);
        if (!opened) {
            tell_failure(opened.error());
            return failure_status;
        }
        result_file.emplace(std::move(*opened));
    }
    Result<StopSignals> signals = StopSignals::create();
    const Ending ending = run_request(request, signals);
    tell_ending(ending, request.quiet);
    const int status = exit_status(ending.result, ending.stopped_by);
    if (result_file) {
        const std::string line = to_json(ending.result) + '\n';
        const Result<void> written = result_file->write(line, signals ? signals->descriptor() : -1);
        if (!written) {
            tell_failure(written.error());
            return ending.result.reason ? status : failure_status;
        }
    }
    return status;
}

}  // namespace proctor::cli
