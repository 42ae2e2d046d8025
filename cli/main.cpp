// SPDX-License-Identifier: MIT
//
// The proctor command: it reads the options, has the library run the job, and turns the result into an exit status, a
// line of JSON and a message. All else is the library's.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <exception>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <proctor/error.hpp>

#include "doctor_command.hpp"
#include "exit_status.hpp"
#include "messages.hpp"
#include "options.hpp"
#include "replay_command.hpp"
#include "result_file.hpp"
#include "run_command.hpp"

namespace {

using namespace proctor;

struct StandardStreams {
    bool usable = true;
    bool input_was_closed = false;
    bool output_was_closed = false;
};

// A standard stream that is closed at the start would be the number of the next file or pipe that is opened, and what
// is meant for the stream would go there.
StandardStreams fill_standard_streams() {
    StandardStreams streams;
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        if (::fcntl(fd, F_GETFD) >= 0 || errno != EBADF) {
            continue;
        }
        streams.input_was_closed = streams.input_was_closed || fd == STDIN_FILENO;
        streams.output_was_closed = streams.output_was_closed || fd == STDOUT_FILENO;
        streams.usable = streams.usable && ::open("/dev/null", O_RDWR) == fd;
    }
    return streams;
}

// What the command inherited must not change what it does: with SIGCHLD ignored the kernel would keep the child's
// status to itself, and SIGPIPE, or SIGXFSZ at the limit of file sizes, would end the command before it has told
// anything.
void settle_signals() {
    std::signal(SIGCHLD, SIG_DFL);
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGXFSZ, SIG_IGN);
}

int print(const std::string& text, const StandardStreams& streams) {
    if (streams.output_was_closed) {
        cli::tell("standard output is closed — open it");
        return cli::failure_status;
    }
    Result<cli::ResultFile> output = cli::ResultFile::open("-");
    if (const Result<void> written = output->write(text, -1); !written) {
        cli::tell_failure(written.error());
        return cli::failure_status;
    }
    return 0;
}

int act(const std::vector<std::string>& words, const StandardStreams& streams) {
    Result<cli::Request> request = cli::read_command_line(words);
    if (!request) {
        cli::tell_misuse(request.error());
        return cli::failure_status;
    }
    if (const auto* wanted = std::get_if<cli::TextRequest>(&*request)) {
        return print(wanted->text, streams);
    }
    if (const auto* wanted = std::get_if<cli::DoctorRequest>(&*request)) {
        const cli::Diagnosis diagnosis = cli::diagnose(*wanted);
        const int status = print(diagnosis.text, streams);
        return status != 0 ? status : diagnosis.status;
    }
    if (const auto* wanted = std::get_if<cli::ReplayRequest>(&*request)) {
        if (streams.output_was_closed || (streams.input_was_closed && wanted->path == "-")) {
            cli::tell("standard input or standard output is closed — open it");
            return cli::failure_status;
        }
        return cli::replay_command(*wanted);
    }
    auto& run = std::get<cli::RunRequest>(*request);
    const char* to_output = run.result_path == "-" ? "--result" : run.capture_path == "-" ? "--capture" : nullptr;
    if (to_output != nullptr && streams.output_was_closed) {
        cli::tell(std::string(to_output) + " -: standard output is closed — open it, or name a file");
        return cli::failure_status;
    }
    run.lacks_input = streams.input_was_closed;
    run.lacks_output = streams.output_was_closed;
    return cli::run_command(std::move(run));
}

}  // namespace

int main(int argument_count, char** arguments) {
    settle_signals();
    const StandardStreams streams = fill_standard_streams();
    if (!streams.usable) {
        cli::tell("a standard stream is closed, and /dev/null cannot be opened in its place — open all three");
        return cli::failure_status;
    }
    try {
        return act({arguments + (argument_count > 0 ? 1 : 0), arguments + argument_count}, streams);
    } catch (const std::exception& failure) {
        cli::tell(failure.what());
        return cli::failure_status;
    }
}
