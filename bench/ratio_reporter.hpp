// SPDX-License-Identifier: MIT
#pragma once

#include <benchmark/benchmark.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "machine.hpp"

namespace bench {

/// Prints how contenders compare instead of how long they took. A benchmark is named "measurement/contender"; all
/// repetitions of all contenders are collected, and each is told as its times divided by the median of the baseline
/// contender, for the same measurement and arguments.
class RatioReporter : public benchmark::BenchmarkReporter {
public:
    explicit RatioReporter(std::string_view baseline) : baseline_(baseline) {}

    bool ReportContext(const Context& context) override;
    void ReportRuns(const std::vector<Run>& runs) override;
    void Finalize() override;

    /// Whether a run ended with an error.
    [[nodiscard]] bool failed() const { return failed_; }

private:
    /// One value for each repetition.
    struct Samples {
        std::vector<double> real_time{};
        std::vector<double> host_processor_time{};
        std::vector<double> jobs_per_second{};
    };
    struct Group {
        std::string name{};
        std::map<std::string, Samples> contenders{};
    };
    /// The measurement, and the place of the arguments in the order in which the benchmark asks for them.
    using GroupKey = std::pair<std::string, std::int64_t>;

    void print_group(const Group& group);

    std::string baseline_;
    std::map<GroupKey, Group> groups_{};
    Disturbance disturbance_{};
    bool failed_ = false;
};

struct RatioPlan {
    std::string_view baseline{};    ///< the contender that others are divided by
    int repetitions = 15;           ///< of each measurement, in an order that is shuffled
    std::string_view seconds = "";  ///< that each repetition takes at least
};

/// What main() does: runs all benchmarks of the program, whose arguments win over the plan, and gives the exit status.
int run_with_ratios(int argument_count, char** arguments, const RatioPlan& plan);

}  // namespace bench
