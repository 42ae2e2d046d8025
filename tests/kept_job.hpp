// SPDX-License-Identifier: MIT
//
// A job in a keeper, held by a test as a reactor would hold it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <proctor/job.hpp>

#include "process/child_process.hpp"
#include "process/keeper.hpp"
#include "process/launcher.hpp"
#include "reactor/stdio_setup.hpp"
#include "support.hpp"

namespace support {

constexpr unsigned nobody = 65534;

/// Path of the keeper program (PROCTOR_KEEPER in the environment).
std::string keeper_path();

/// Makes a copy that everybody may run and answers its path.
std::string copy_keeper(const TempDir& dir);

/// Whether a descriptor is readable, or gets so within a minute.
bool readable(int fd, int milliseconds = 60'000);

/// A job that runs a copy of the helper as user nobody.
proctor::Job as_nobody(const TempDir& dir, std::string_view words);

class KeptJob {
public:
    explicit KeptJob(proctor::Job job, const proctor::detail::KeeperProgram& keeper = {keeper_path()});
    KeptJob(const KeptJob&) = delete;
    KeptJob& operator=(const KeptJob&) = delete;
    ~KeptJob();

    /// Receives until one of these has been told; false if the keeper goes before, or after a minute.
    bool await(std::uint32_t news);
    bool await_started() { return await(proctor::detail::keeper_started); }
    bool await_main_end() { return await(proctor::detail::keeper_main_ended); }
    bool await_empty() { return await(proctor::detail::keeper_empty); }
    bool kill() { return control_.kill() == 0 && await_empty(); }

    [[nodiscard]] std::optional<proctor::Error> error();
    /// What the job wrote, after its end.
    std::string output() { return read_to_end(setup_.output.get()); }

    [[nodiscard]] const proctor::detail::KeeperReport& report() const { return report_; }
    [[nodiscard]] std::uint32_t told() const { return told_; }
    [[nodiscard]] int pidfd() const { return pidfd_.get(); }
    [[nodiscard]] std::optional<proctor::detail::Instant> stamp() const { return slot_->stamp(); }
    proctor::detail::Keeper& control() { return control_; }
    proctor::detail::ChildProcess& keeper() { return keeper_; }
    /// A signal to the main process, by its pidfd.
    int signal_main(int number) const;

private:
    proctor::Job job_;
    proctor::detail::NullDevice null_;
    proctor::detail::StdioSetup setup_{};
    proctor::detail::Launcher launcher_{false};
    proctor::detail::LaunchSlot* slot_ = nullptr;
    proctor::detail::ChildProcess keeper_{};
    proctor::detail::Keeper control_{};
    proctor::detail::KeeperReport report_{};
    proctor::detail::UniqueFd pidfd_{};
    std::uint32_t told_ = 0;
};

/// A pipe that a job's script gets as 8, to say that it is where the test wants it.
class Word {
public:
    explicit Word(proctor::Job& job) { job.descriptors.push_back({.from = pipe_.write_end.get(), .to = 8}); }
    [[nodiscard]] bool await() const { return await_byte(pipe_.read_end.get()); }

private:
    Pipe pipe_{};
};

}  // namespace support
