// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "base/failure.hpp"
#include "base/unique_fd.hpp"
#include "process/keeper_protocol.hpp"

namespace proctor::detail {

/// The path of the keeper program: `given` if it is not empty; else, for a program that runs from a build tree, the one
/// built there; else the one installed with the library, where the installation says or, if that has been moved, where
/// it is seen from the library. Errors: stage spawn, where there is none that can be run.
[[nodiscard]] Expected<std::string> find_keeper(const std::string& given);

/// What is run as a keeper.
struct KeeperProgram {
    std::string path{};                   ///< as find_keeper() gives it
    bool without_children_files = false;  ///< for tests: as on a kernel without CONFIG_PROC_CHILDREN
};

/// A report and what came with it.
struct KeeperMessage {
    KeeperReport report{};
    UniqueFd pidfd{};  ///< of the job's main process, with the news `keeper_started`; none where descriptors ran out
};

/// The host's end of a keeper's socket. To close it is to cut the lifeline: the keeper kills its tree. A keeper may
/// have been stopped (SIGSTOP, by a job of the same user) and then heeds no order: whoever needs it sends SIGCONT
/// first.
class Keeper {
public:
    Keeper() = default;
    explicit Keeper(UniqueFd socket) noexcept : socket_(std::move(socket)) {}

    enum class Received {
        nothing,  ///< for the moment
        report,
        closed,  ///< the keeper is gone; orderly after keeper_failed, keeper_empty or keeper_refused, else it was
                 ///< killed
    };

    /// Readable when there is something to receive. Never blocks.
    [[nodiscard]] int socket() const noexcept { return socket_.get(); }
    explicit operator bool() const noexcept { return static_cast<bool>(socket_); }

    [[nodiscard]] Received receive(KeeperMessage& message) noexcept;

    /// Orders SIGKILL for every descendant, until none is left. If that cannot be said, the lifeline is cut, which is
    /// the same order without words. Gives 0 or -errno (EPIPE: the keeper is gone).
    int kill() const noexcept;
    /// Orders a signal to every process that descends from the keeper when it comes to it. Gives 0 or
    /// -errno (EPIPE: the keeper is gone).
    int signal(int number) const noexcept { return send({KeeperOrder::signal, number}); }

    void close() noexcept { socket_.reset(); }

private:
    [[nodiscard]] int send(const KeeperCommand& command) const noexcept;

    UniqueFd socket_{};
};

}  // namespace proctor::detail
