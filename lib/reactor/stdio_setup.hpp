// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <vector>

#include <proctor/job.hpp>

#include "base/failure.hpp"
#include "base/unique_fd.hpp"
#include "process/launch_record.hpp"

namespace proctor::detail {

/// /dev/null, opened once for all jobs of a reactor.
struct NullDevice {
    UniqueFd for_reading{};
    UniqueFd for_writing{};

    [[nodiscard]] static Expected<NullDevice> open();
};

struct Pipe {
    UniqueFd reader{};
    UniqueFd writer{};
};

/// Close-on-exec, blocking, and apart from the host's standard streams.
[[nodiscard]] Expected<Pipe> make_pipe();

/// The descriptors of one job: what its child gets, and our ends.
struct StdioSetup {
    std::vector<DescriptorMove> moves{};
    std::vector<UniqueFd> childs{};  ///< the child's ends, to be closed once it is cloned
    /// Whether the child gets none but those and /dev/null: nobody else waits for their end.
    bool only_ours = true;

    UniqueFd input{};       ///< the writing end of stdin, if it is a pipe
    UniqueFd input_file{};  ///< the file that feeds it, if it is one
    UniqueFd output{};      ///< the reading end of stdout, if it is captured or forwarded
    UniqueFd error_output{};

    /// Whether output and error_output are sockets of stamped messages, and how large one can be.
    bool exact_order = false;
    std::size_t largest_message = 0;
};

/// Errors: stage spawn where descriptors run out, stage io for a file that cannot be opened.
[[nodiscard]] Expected<StdioSetup> set_up_stdio(const Job& job, const NullDevice& null, bool nonblock);

}  // namespace proctor::detail
