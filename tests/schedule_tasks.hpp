// SPDX-License-Identifier: MIT
//
// The kinds of jobs that are run under random schedules. Each knows how it has to end.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>

#include "support.hpp"

namespace schedule {

using Random = std::mt19937_64;

/// What is wrong, or nothing.
template <typename Result>
using Check = std::function<std::string(const Result&)>;

/// Who reads what is forwarded, when it is told to, and may go away.
class Reader {
public:
    Reader();
    [[nodiscard]] int other_end() const { return theirs_.get(); }
    /// What is there now.
    void read();
    void leave() { ours_.reset(); }
    /// The job was cancelled: if that was after its program's end, its verdict stands and the rest is not passed on.
    void expect_less() { expects_all_ = false; }
    [[nodiscard]] bool expects_all() const { return expects_all_; }
    [[nodiscard]] bool left() const { return ours_.get() < 0; }
    [[nodiscard]] const std::string& got() const { return got_; }

private:
    support::Fd ours_{};
    support::Fd theirs_{};
    std::string got_{};
    bool expects_all_ = true;
};

/// Who writes live input, piece by piece.
class Writer {
public:
    Writer(std::string text, Random& random) : text_(std::move(text)), random_(random) {}
    /// Until it is told to wait, or has nothing left and closes the input.
    void go_on(const proctor::JobHandle& job);

private:
    std::string text_;
    Random& random_;
    std::size_t at_ = 0;
    bool closed_ = false;
};

struct Task {
    const char* kind = "";
    proctor::Job job{};
    Check<proctor::RunResult> check{};
    bool cancelled = false;  ///< is to be, some time on the way: it does not end by itself
    std::shared_ptr<Reader> reader{};
    bool reader_leaves = false;  ///< some time on the way
    std::shared_ptr<Writer> writer{};

    /// Of a pair.
    std::optional<proctor::Job> partner{};
    proctor::Wiring wiring = proctor::Wiring::recorded;
    Check<proctor::PairResult> check_pair{};
};

/// Files that the tasks need, and a directory where none may be left.
struct Places {
    support::TempDir spool{};
    support::TempDir files{};
    std::string input = files.write("input", support::pattern(input_size));
    static constexpr std::size_t input_size = 70'000;
};

/// A simple one.
Task printing(Random& random);
/// Any.
Task random_task(Random& random, const Places& places);
/// One that has to do with requests of that kind (ShakenEngine::place_of).
Task task_with(const std::string& place, Random& random, const Places& places);

}  // namespace schedule
