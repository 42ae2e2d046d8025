// SPDX-License-Identifier: MIT
#include "peer.hpp"

#include <algorithm>
#include <cmath>
#include <ctime>

namespace compare {

namespace {

[[noreturn]] void cannot() { throw Unavailable("this peer does not do that"); }

}  // namespace

Figures Peer::spawn(const SpawnWork& /*work*/) { cannot(); }
Figures Peer::flood(const FloodWork& /*work*/) { cannot(); }
Figures Peer::lines(const LinesWork& /*work*/) { cannot(); }
Figures Peer::echo(const EchoWork& /*work*/) { cannot(); }
Figures Peer::round_trips(const RoundTripWork& /*work*/) { cannot(); }
Figures Peer::overshoot(const OvershootWork& /*work*/) { cannot(); }
Figures Peer::idle(const IdleWork& /*work*/) { cannot(); }
Figures Peer::burst(const BurstWork& /*work*/) { cannot(); }

double own_cpu_seconds() {
    // Exact, where getrusage may give ticks.
    timespec time{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

double quantile(std::vector<double> values, double at) {
    if (values.empty()) {
        return std::nan("");
    }
    std::sort(values.begin(), values.end());
    return values[static_cast<std::size_t>(std::lround(at * static_cast<double>(values.size() - 1)))];
}

}  // namespace compare
