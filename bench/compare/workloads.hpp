// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "peer.hpp"

namespace compare {

/// Something that every peer is asked to do.
struct Workload {
    std::string name{};
    /// Puts this process into the state that is asked for, has the peer do the work, and adds what is measured from
    /// outside. `quick`: as little work as shows that it works.
    std::function<Figures(Peer& peer, bool quick)> measure{};
    bool of_lines = false;  ///< one that order matters to: proctor_exact takes part
};

const std::vector<Workload>& all_workloads();

/// Someone who is compared.
struct Contender {
    std::string name{};
    /// Throws Unavailable where its library is missing.
    std::function<std::unique_ptr<Peer>()> make{};
    bool for_lines_alone = false;
};

const std::vector<Contender>& all_contenders();

}  // namespace compare
