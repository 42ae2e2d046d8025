// SPDX-License-Identifier: MIT
#pragma once

#include <cassert>
#include <iosfwd>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include <proctor/export.hpp>

namespace proctor {

/// What proctor was doing when it failed.
enum class Stage : unsigned char {
    setup,        ///< checking the job, or making the reactor
    cgroup,       ///< a control group
    spawn,        ///< making pipes and the process
    start,        ///< the new process never came as far as execve
    chdir,        ///< entering the job's working directory
    credentials,  ///< becoming the job's user, or another step between clone and exec that needs a right
    rlimit,       ///< setting a resource limit
    exec,         ///< execve returned
    io,           ///< reading or writing a stream, or connecting it to the child
    spool,        ///< the temporary file that holds a large capture
    wait,         ///< learning the exit status
    cancelled,    ///< the caller asked for the end
};

/// The word that the JSON form uses, such as "exec".
PROCTOR_API std::string_view to_string(Stage stage) noexcept;
PROCTOR_API std::ostream& operator<<(std::ostream& out, Stage stage);

/// Something that proctor could not do. It never describes what the child did: that is Outcome and Reason.
struct Error {
    Stage stage = Stage::setup;
    int error_number = 0;   ///< an errno value, 0 where no system call is to blame
    std::string message{};  ///< what happened, in one sentence
    std::string cure{};     ///< what to do about it; empty where nobody knows
    bool program_found =
        true;  ///< stage exec: false if no file of that name exists (a missing interpreter is another matter)
};

PROCTOR_API bool operator==(const Error& left, const Error& right);
/// "exec: there is no program nosuch (errno 2, No such file or directory) — install it, or correct its name or PATH"
PROCTOR_API std::ostream& operator<<(std::ostream& out, const Error& error);

/// Either a T or the Error that says why there is none. Look before you reach in: `*result` and `result->` on an error
/// are bugs of the caller and assert.
template <typename T>
class Result {
public:
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT(google-explicit-constructor)
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(google-explicit-constructor)

    [[nodiscard]] bool has_value() const noexcept { return state_.index() == 0; }
    explicit operator bool() const noexcept { return has_value(); }

    T& operator*() & noexcept { return get(); }
    const T& operator*() const& noexcept { return get(); }
    T&& operator*() && noexcept { return std::move(get()); }
    T* operator->() noexcept { return &get(); }
    const T* operator->() const noexcept { return &get(); }

    [[nodiscard]] const Error& error() const noexcept {
        assert(!has_value());
        return *std::get_if<1>(&state_);
    }

private:
    T& get() noexcept {
        assert(has_value());
        return *std::get_if<0>(&state_);
    }
    const T& get() const noexcept {
        assert(has_value());
        return *std::get_if<0>(&state_);
    }

    std::variant<T, Error> state_;
};

/// Success, or the Error that says why not.
template <>
class Result<void> {
public:
    Result() = default;
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(google-explicit-constructor)

    [[nodiscard]] bool has_value() const noexcept { return state_.index() == 0; }
    explicit operator bool() const noexcept { return has_value(); }

    [[nodiscard]] const Error& error() const noexcept {
        assert(!has_value());
        return *std::get_if<1>(&state_);
    }

private:
    std::variant<std::monostate, Error> state_{};
};

}  // namespace proctor
