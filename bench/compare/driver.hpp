// SPDX-License-Identifier: MIT
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "peer.hpp"

namespace compare {

/// What is to be measured; empty lists stand for all.
struct Plan {
    std::vector<std::string> workloads{};
    std::vector<std::string> peers{};
    int rounds = 5;
    bool quick = false;
};

/// All that was measured of one peer at one workload.
struct Cell {
    std::map<std::string, std::vector<double>> figures{};  ///< of each round one value
    std::string unavailable{};                             ///< why, if it is
    std::string failure{};                                 ///< of the last measurement that failed
};

/// By workload and peer, in the order in which they are to be shown.
struct Results {
    struct Row {
        std::string peer{};
        Cell cell{};
    };
    struct Table {
        std::string workload{};
        std::vector<Row> rows{};
    };
    std::vector<Table> tables{};

    [[nodiscard]] bool failed() const;
};

/// Measures everything in as many rounds, each measurement in a process of its own (this program, --measure), with the
/// peers of a workload in an order that is shuffled anew in each round. Progress goes to stderr.
Results run_plan(const Plan& plan);

}  // namespace compare
