// SPDX-License-Identifier: MIT
#include "command_driver.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <utility>

namespace command_driver {

namespace {

std::string command_path() {
    const char* path = std::getenv("PROCTOR_COMMAND");
    if (path == nullptr) {
        throw std::runtime_error("PROCTOR_COMMAND must name the proctor command");
    }
    return path;
}

int decode(int status) { return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status); }

void connect(int from, int to, int null) {
    if (from == closed) {
        close(to);
    } else {
        dup2(from >= 0 ? from : null, to);
    }
}

[[noreturn]] void execute(const Start& start, const char* path, char* const* arguments) {
    // Whatever started the suite, the command starts as from a shell.
    for (const int signal_number : {SIGHUP, SIGINT, SIGTERM, SIGPIPE, SIGCHLD}) {
        std::signal(signal_number, SIG_DFL);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    connect(start.in, 0, null);
    connect(start.out, 1, null);
    connect(start.err, 2, null);
    if (start.before_exec) {
        start.before_exec();
    }
    execv(path, arguments);
    _exit(90);
}

}  // namespace

Words operator+(Words left, const Words& right) {
    left.insert(left.end(), right.begin(), right.end());
    return left;
}

Words split(std::string_view text) {
    Words words;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find(' '), text.size());
        words.emplace_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return words;
}

Words run_script_words(const Words& options, std::string_view script) {
    return Words{"run"} + options + Words{"--", support::child()} + split(script);
}

Command::Command(const Start& start) {
    const std::string path = command_path();
    Words words = Words{"proctor"} + start.words;
    std::vector<char*> arguments;
    for (std::string& word : words) {
        arguments.push_back(word.data());
    }
    arguments.push_back(nullptr);
    // A signal that comes before execve would meet the suite's handlers.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_ = fork();
    if (pid_ == 0) {
        execute(start, path.c_str(), arguments.data());
    }
    sigprocmask(SIG_SETMASK, &before, nullptr);
    if (pid_ < 0) {
        throw std::runtime_error("fork");
    }
}

Command::~Command() {
    if (pid_ > 0) {
        kill(SIGKILL);
        wait();
    }
}

void Command::kill(int signal_number) const { ::kill(pid_, signal_number); }

std::optional<int> Command::reap(int options) {
    int status = 0;
    rusage usage{};
    pid_t reaped = 0;
    do {
        reaped = wait4(pid_, &status, options, &usage);
    } while (reaped < 0 && errno == EINTR);
    if (reaped != pid_) {
        return std::nullopt;
    }
    pid_ = -1;
    peak_memory_ = std::int64_t{usage.ru_maxrss} * 1024;
    return decode(status);
}

int Command::wait() { return reap(0).value(); }

std::optional<int> Command::try_wait() { return reap(WNOHANG); }

Collector::Collector() : fd_(memfd_create("collector", MFD_CLOEXEC)) {}

std::string Collector::text() const {
    lseek(fd_.get(), 0, SEEK_SET);
    return support::read_to_end(fd_.get());
}

Finished finish(const Words& words, std::string_view input, std::function<void()> before_exec) {
    const Collector in;
    const Collector out;
    const Collector err;
    support::write_all(in.fd(), input);
    lseek(in.fd(), 0, SEEK_SET);
    Command command(
        {.words = words, .in = in.fd(), .out = out.fd(), .err = err.fd(), .before_exec = std::move(before_exec)});
    const int status = command.wait();
    return {status, out.text(), err.text()};
}

Finished run_script(const Words& options, std::string_view script, std::string_view input) {
    return finish(run_script_words(options, script), input);
}

Json::Json(std::string text) : text_(std::move(text)) {
    INFO("result: ", text_);
    REQUIRE(text_.ends_with('\n'));
    REQUIRE(text_.find('\n') == text_.size() - 1);
    REQUIRE(parser_.parse(text_).get(root_) == simdjson::SUCCESS);
}

std::string Json::text(std::string_view pointer) const {
    return std::string(std::string_view(root_.at_pointer(pointer)));
}

std::int64_t Json::number(std::string_view pointer) const { return root_.at_pointer(pointer); }

double Json::real(std::string_view pointer) const { return root_.at_pointer(pointer); }

bool Json::truth(std::string_view pointer) const { return root_.at_pointer(pointer); }

bool Json::null(std::string_view pointer) const { return root_.at_pointer(pointer).is_null(); }

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

Witness::Witness() {
    if (mkfifo(path().c_str(), 0600) != 0) {
        throw std::runtime_error("mkfifo");
    }
    // Without blocking, or the open would wait for the writer.
    read_end_ = support::open_file(path(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

Words Witness::words(const Words& options, std::string_view script) const {
    return Words{"run", "--shell"} + options +
           Words{"--", R"(exec 9>"$1"; shift; exec "$@")", path(), support::child()} + split(script);
}

bool Witness::all_gone() { return support::await_end(read_end_.get()); }

bool Witness::anybody_left() {
    pollfd entry{read_end_.get(), POLLIN, 0};
    return poll(&entry, 1, 0) == 0;
}

void await_full(int write_end) {
    pollfd entry{write_end, POLLOUT, 0};
    while (poll(&entry, 1, 0) != 0) {
        sched_yield();
    }
}

}  // namespace command_driver
