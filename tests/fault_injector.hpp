// SPDX-License-Identifier: MIT
//
// System calls that fail because we say so: a host whose calls its parent watches with ptrace(2), and of which one
// fails, with an errno value that the kernel could have given. Children of the host are not watched.
#pragma once

#include <functional>
#include <optional>
#include <string>

namespace faults {

/// The call that was made to fail.
struct Fault {
    long call = -1;
    int place = 0;  ///< how many calls of that number came before it, since begin()
    int error_number = 0;
    /// Whether it was done before it was said to have failed, as with close(2), which never leaves a descriptor open.
    bool was_done = false;
};

/// "openat (the 3rd), Too many open files"
std::string describe(const Fault& fault);

struct Shared;

/// In the host: says which call is to fail.
class Injector {
public:
    explicit Injector(Shared& shared) : shared_(shared) {}

    /// From here on calls are counted, those that can fail in some way that is worth trying, and call number `target`
    /// fails, in one of those ways.
    void begin(int target, unsigned way);
    /// From here on none fails. Answers the one that did.
    std::optional<Fault> end();
    /// With further ways to go: how many different ones the last failed call has.
    [[nodiscard]] unsigned ways() const;

private:
    Shared& shared_;
};

/// Whether a process may be watched here, and its calls be changed.
bool can_inject();

/// As support::in_host. The host must not have threads.
std::string in_watched_host(const std::function<std::string(Injector&)>& host);

}  // namespace faults
