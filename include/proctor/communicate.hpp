// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <optional>

#include <proctor/capture.hpp>
#include <proctor/export.hpp>
#include <proctor/job.hpp>
#include <proctor/playback.hpp>
#include <proctor/reactor.hpp>
#include <proctor/result.hpp>

namespace proctor {

/// Runs one job and gives its records to whoever asks for them, as they happen: what Handlers::on_record does, in the
/// form of a loop, on a reactor of its own.
///
///     proctor::Communication dialogue({.argv = {"./solution"}, .input = proctor::Input::text("2 3\n")});
///     for (const proctor::CaptureRecord& record : dialogue) …
///     const proctor::RunResult& result = dialogue.result();
///
/// A program that prompts is answered when its record is there: `dialogue.handle().write_input(…)`, with Input::live().
/// Go by records then; lines() waits for the end of each line, and holds lines back that begin after an unfinished one.
///
/// The job is driven only by calls of next() and result(): between them it finds its pipes full, and its limits are
/// kept late. A record's data is valid until the next one is asked for. What passed cannot be played again from here:
/// rewind(), or skip_to() a time that has passed, gives an error (ESPIPE); play result().capture. error() is about that
/// alone; why a job failed, result() tells. Destroying it kills the job.
class PROCTOR_API Communication final : public CapturePlaybackBase {
public:
    explicit Communication(Job job, const ReactorOptions& options = {});
    ~Communication() override;

    /// The job, to write to it (Input::live()), signal or cancel it.
    [[nodiscard]] const JobHandle& handle() const noexcept;
    /// How it ended, after running it to its end; records that were not asked for are passed over.
    [[nodiscard]] const RunResult& result();

private:
    struct State;

    std::optional<CaptureRecord> read() override;
    void start_over() override;

    std::unique_ptr<State> state_;
};

}  // namespace proctor
