// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>

namespace bench {

/// What a measurement depends on: kernel, processors, their governor. One line.
std::string describe_machine();

/// How much of the processors' time went to programs other than this one and its children, since it was made: what
/// disturbs a measurement.
class Disturbance {
public:
    Disturbance();
    /// In hundredths of all processors; none where /proc/stat cannot be read.
    [[nodiscard]] std::optional<int> percent() const;

private:
    struct Clocks {
        double all = 0;  // of all processors, in seconds, as the next ones
        double idle = 0;
        double own = 0;  // of this process and of its children that are reaped
    };
    [[nodiscard]] static std::optional<Clocks> read_clocks();

    std::optional<Clocks> begin_;
};

}  // namespace bench
