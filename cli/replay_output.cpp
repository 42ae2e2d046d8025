// SPDX-License-Identifier: MIT
#include "replay_output.hpp"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdlib>

#include <fmt/format.h>

#include "exit_status.hpp"

namespace proctor::cli {

namespace {

constexpr std::size_t most_kept = std::size_t{64} * 1024;
constexpr std::string_view plain = "\033[0m";
constexpr std::string_view faint = "\033[2m";
constexpr std::array<std::string_view, 3> colour_of = {"\033[36m", "", "\033[31m"};  // cyan, the terminal's own, red

// As https://no-color.org has it, and terminals that know none.
bool colours_wanted() {
    const char* refused = std::getenv("NO_COLOR");
    const char* terminal = std::getenv("TERM");
    return (refused == nullptr || *refused == '\0') && terminal != nullptr && std::string_view(terminal) != "dumb";
}

// For the signal handler: descriptors that are shown in colour.
std::array<volatile std::sig_atomic_t, 3> coloured{};

extern "C" void end_replay(int signal) {
    for (int fd = 0; fd < 3; ++fd) {
        if (coloured[static_cast<std::size_t>(fd)] != 0) {
            [[maybe_unused]] const ssize_t written = ::write(fd, plain.data(), plain.size());
        }
    }
    ::_exit(signal_status_base + signal);
}

// An errno value, or 0.
int write_whole(int fd, std::string_view text) {
    while (!text.empty()) {
        const ssize_t count = ::write(fd, text.data(), text.size());
        if (count >= 0) {
            text.remove_prefix(static_cast<std::size_t>(count));
        } else if (errno == EAGAIN) {
            pollfd entry{fd, POLLOUT, 0};
            ::poll(&entry, 1, -1);
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

}  // namespace

ReplayOutput::ReplayOutput()
    : destinations_{
          {{.fd = STDOUT_FILENO, .name = "standard output"}, {.fd = STDERR_FILENO, .name = "standard error"}}} {
    const bool wanted = colours_wanted();
    for (Destination& each : destinations_) {
        each.terminal = ::isatty(each.fd) == 1;
        each.colours = each.terminal && wanted;
        coloured[static_cast<std::size_t>(each.fd)] = each.colours ? 1 : 0;
    }
}

Result<void> ReplayOutput::show(const CaptureRecord& record) {
    const Destination& destination = destinations_[record.stream == STDERR ? 1 : 0];
    if (&destination != last_ || text_.size() >= most_kept) {
        if (const Result<void> flushed = flush(); !flushed) {
            return flushed.error();
        }
        last_ = &destination;
    }
    if (!record.truncated) {
        append(destination.colours ? colour_of[record.stream] : std::string_view(), record.data);
    } else if (destination.terminal) {
        append(destination.colours ? faint : std::string_view(), "[the rest was not recorded]\n");
    }
    return {};
}

void ReplayOutput::append(std::string_view before, std::string_view text) {
    text_ += before;
    text_ += text;
    text_ += before.empty() ? before : plain;
}

Result<void> ReplayOutput::flush() {
    const int error_number = text_.empty() ? 0 : write_whole(last_->fd, text_);
    text_.clear();
    if (error_number != 0) {
        return Error{Stage::io, error_number, fmt::format("{} could not be written", last_->name),
                     "free some space, or send it elsewhere"};
    }
    return {};
}

void end_replay_on_signals() {
    struct sigaction action {};
    action.sa_handler = end_replay;
    sigset_t signals;
    ::sigemptyset(&signals);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
        struct sigaction before {};
        ::sigaction(signal, nullptr, &before);
        if (signal != SIGHUP || before.sa_handler != SIG_IGN) {
            ::sigaction(signal, &action, nullptr);
            ::sigaddset(&signals, signal);
        }
    }
    ::sigprocmask(SIG_UNBLOCK, &signals, nullptr);
}

}  // namespace proctor::cli
