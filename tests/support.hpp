// SPDX-License-Identifier: MIT
//
// What the suites share: the helper program, descriptors and files that clean up after themselves, waiting for events,
// and hosts in a state of their own.
#pragma once

#include <doctest/doctest.h>

#include <sys/resource.h>

#include <functional>
#include <optional>
#include <ostream>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <proctor/proctor.hpp>

namespace support {

/// Path of the helper program (PROCTOR_TEST_CHILD in the environment).
const std::string& child();

/// A job that runs the helper program with this script: words separated by blanks. For words with blanks in them, see
/// the other form.
proctor::Job script(std::string_view words);
proctor::Job script(std::vector<std::string> words);

/// Runs one job on a reactor of its own with this containment and waits for its end.
proctor::RunResult run_in(proctor::Containment containment, proctor::Job job);

/// The name of the engine that reactors have here: PROCTOR_SUITE_ENGINE in the environment, or the kernel's best.
std::string engine();
bool kernel_is_at_least(int major, int minor);

/// Whether this is instrumented by AddressSanitizer, which makes it slow and large.
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif
#elif defined(__SANITIZE_ADDRESS__)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif

/// How often to repeat something: as often, or fewer times where PROCTOR_REPEAT_DIVISOR says that the machine is slow.
int rounds(int wanted);

/// Runs one job on a reactor of its own and waits for its end.
proctor::RunResult run_script(std::string_view words);

/// All that a failed check should show about a result.
std::string describe(const proctor::RunResult& result);
std::string describe(const proctor::PairResult& result);

/// Whether that side is told as the first. Of two that are wired directly the other may follow before the end can be
/// seen: a tie. Never is it taken for the first.
bool ended_before(const proctor::PairResult& result, proctor::Side side, proctor::Wiring wiring);

/// Standard output of a run that has to pass.
std::string output_of(proctor::Job job);

/// Prints "SKIPPED: reason" on a line of its own and counts it. A test that calls it must then return.
void skip(const std::string& reason);
unsigned skip_count();

/// A descriptor that is closed at the end of its scope.
class Fd {
public:
    Fd() = default;
    explicit Fd(int number) : number_(number) {}
    Fd(Fd&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    Fd& operator=(Fd&& other) noexcept {
        reset();
        number_ = std::exchange(other.number_, -1);
        return *this;
    }
    ~Fd() { reset(); }

    void reset();
    [[nodiscard]] int get() const { return number_; }

private:
    int number_ = -1;
};

/// A pipe, both ends close-on-exec.
struct Pipe {
    Pipe();
    Fd read_end{};
    Fd write_end{};
};

/// A directory that everybody may enter, removed with what is in it.
class TempDir {
public:
    TempDir();
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;
    ~TempDir();

    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] std::string file(std::string_view name) const { return path_ + "/" + std::string(name); }
    /// Makes a file and answers its path.
    std::string write(std::string_view name, std::string_view content, unsigned mode = 0644) const;
    /// Makes an executable copy of the helper program and answers its path.
    std::string copy_child(std::string_view name) const;

private:
    std::string path_{};
};

/// Shows whether any process of a job is left: all of them hold the write end, and an event says when none does.
class Witness {
public:
    /// Makes `job` pass the write end on, under number 9.
    explicit Witness(proctor::Job& job);
    /// Whether all holders are gone, or go within a minute. Call it when the job has left `starting`.
    bool all_gone();
    /// Whether somebody still holds it now.
    bool anybody_left();

private:
    Pipe pipe_{};
};

Fd open_file(const std::string& path, int flags, unsigned mode = 0600);
std::string read_file(const std::string& path);
std::string read_to_end(int fd);
void write_all(int fd, std::string_view bytes);
/// Waits for one byte; false at end of file or after a minute.
bool await_byte(int fd);
/// Waits for end of file, dropping what comes before it; false after a minute.
bool await_end(int fd);

/// What the helper's command `fill` writes.
std::string pattern(std::size_t size);
/// The given text, so many times.
std::string repeat(std::string_view text, std::size_t times);

/// Descriptors of this process that are open now.
std::set<int> open_descriptors();
/// Names of this process's threads, less the kernel's own workers of io_uring, less the caller.
std::vector<std::string> other_threads();
/// Waits until this process has no thread besides the caller: one that was joined takes a moment to leave /proc.
/// Answers those that are still there after ten seconds.
std::vector<std::string> threads_left();
/// Whether this process has any child, dead or alive; one that is dead is reaped.
bool has_children();
/// The value of a field of /proc/PID/status or /proc/self/status.
std::string status_field(const std::string& process, std::string_view field);

/// Runs `host` in a process of its own, forked from this one, so that it may ruin its signals, descriptors and rights.
/// It answers what is wrong, or nothing. The answer here is the same, or how that process died.
std::string in_host(const std::function<std::string()>& host);

/// For a forked host: as long as this lives it can open so many descriptors and no more.
class DescriptorsLeft {
public:
    explicit DescriptorsLeft(int count);
    DescriptorsLeft(const DescriptorsLeft&) = delete;
    DescriptorsLeft& operator=(const DescriptorsLeft&) = delete;
    ~DescriptorsLeft();

private:
    rlim_t before_ = 0;
};

/// As _exit, but that tools/coverage learns which lines this process has run: for the end of a forked host.
[[noreturn]] void leave(int status);

/// For use in a forked host, where doctest's own checks would be lost.
#define HOST_CHECK(condition)                                                                                 \
    do {                                                                                                      \
        if (!(condition)) return std::string("not true: " #condition " in line ") + std::to_string(__LINE__); \
    } while (false)

#define HOST_CHECK_RESULT(condition, result)                                                            \
    do {                                                                                                \
        if (!(condition)) {                                                                             \
            return std::string("not true: " #condition " in line ") + std::to_string(__LINE__) + ": " + \
                   support::describe(result);                                                           \
        }                                                                                               \
    } while (false)

/// The kinds of containment that this machine has, the strongest first.
const std::vector<proctor::Containment>& containments();
std::string_view name_of(proctor::Containment containment);

/// Creates a reactor or ends the test.
proctor::Reactor make_reactor(const proctor::ReactorOptions& options = {});

}  // namespace support

namespace doctest {

template <typename T>
struct StringMaker<std::optional<T>> {
    static String convert(const std::optional<T>& value) { return value ? toString(*value) : String("nothing"); }
};

}  // namespace doctest
