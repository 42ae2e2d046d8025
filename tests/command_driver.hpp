// SPDX-License-Identifier: MIT
//
// Starts the real proctor command (PROCTOR_COMMAND in the environment) with streams and signals of the test's choice,
// and reads what it leaves.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <simdjson.h>

#include "support.hpp"

namespace command_driver {

using Words = std::vector<std::string>;

Words operator+(Words left, const Words& right);

/// The words between blanks.
Words split(std::string_view text);

/// `run OPTIONS -- HELPER SCRIPT`
Words run_script_words(const Words& options, std::string_view script);

/// A stream that is closed when the command starts.
inline constexpr int closed = -2;

/// What the command is started with. Streams that are not set are /dev/null.
struct Start {
    Words words{};
    int in = -1;
    int out = -1;
    int err = -1;
    std::function<void()> before_exec{};
};

/// One running proctor, killed at the end of its scope if nobody has waited for it.
class Command {
public:
    explicit Command(const Start& start);
    Command(const Command&) = delete;
    Command& operator=(const Command&) = delete;
    ~Command();

    void kill(int signal_number) const;
    /// The exit status, or minus the signal.
    int wait();
    std::optional<int> try_wait();
    /// After its end: the most memory that it, or this process before the fork, has had resident, in bytes.
    [[nodiscard]] std::int64_t peak_memory() const { return peak_memory_; }

private:
    std::optional<int> reap(int options);

    pid_t pid_ = -1;
    std::int64_t peak_memory_ = 0;
};

/// A file without a name, to collect a stream in.
class Collector {
public:
    Collector();
    [[nodiscard]] int fd() const { return fd_.get(); }
    [[nodiscard]] std::string text() const;

private:
    support::Fd fd_{};
};

struct Finished {
    int status = 0;
    std::string out{};
    std::string err{};
};

/// Runs the command to its end, with a file of these bytes on its standard input.
Finished finish(const Words& words, std::string_view input = {}, std::function<void()> before_exec = {});
Finished run_script(const Words& options, std::string_view script, std::string_view input = {});

/// One line of JSON; values are named by JSON pointers such as "/usage/mem".
class Json {
public:
    explicit Json(std::string text);
    static Json of_file(const std::string& path) { return Json(support::read_file(path)); }

    [[nodiscard]] std::string text(std::string_view pointer) const;
    [[nodiscard]] std::int64_t number(std::string_view pointer) const;
    [[nodiscard]] double real(std::string_view pointer) const;
    [[nodiscard]] bool truth(std::string_view pointer) const;
    [[nodiscard]] bool null(std::string_view pointer) const;

private:
    std::string text_;
    simdjson::dom::parser parser_{};
    simdjson::dom::element root_{};
};

bool contains(std::string_view text, std::string_view part);

/// A named pipe that all processes of a job hold open, so that its end tells that none of them is left.
class Witness {
public:
    Witness();
    /// `run OPTIONS` and a shell that opens the pipe and becomes the helper.
    [[nodiscard]] Words words(const Words& options, std::string_view script) const;
    /// Whether they are gone, or go within a minute. Call both when the helper has said something.
    bool all_gone();
    bool anybody_left();

private:
    [[nodiscard]] std::string path() const { return directory_.file("witness"); }

    support::TempDir directory_{};
    support::Fd read_end_{};
};

/// Returns when nothing more fits into the pipe.
void await_full(int write_end);

}  // namespace command_driver
