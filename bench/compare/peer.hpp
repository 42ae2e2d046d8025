// SPDX-License-Identifier: MIT
//
// What everybody who is compared has to do, and what is found out about them.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace compare {

/// What one measurement found: figures by name.
using Figures = std::map<std::string, double>;

/// This peer cannot do this; the text says why.
struct Unavailable : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Runs of a program without arguments; its stdout and stderr are captured, and the latter is empty.
struct SpawnWork {
    std::string program{};
    std::size_t jobs = 0;
    std::size_t at_once = 0;
    std::string expected_output{};
};

/// What becomes of the bytes of a flood.
enum class Keep { nothing, memory, disk };

struct FloodWork {
    std::vector<std::string> argv{};
    std::uint64_t bytes = 0;
    Keep keep = Keep::nothing;
};

/// Lines are "0\n", "1\n", …; even ones go to stdout, odd ones to stderr.
struct LinesWork {
    std::vector<std::string> argv{};
    std::size_t lines = 0;
};

/// The program writes what it reads.
struct EchoWork {
    std::vector<std::string> argv{};
    std::uint64_t bytes = 0;
};

/// The program answers each line with the same line. Placement is done before: by the affinity of this process, and by
/// argv for the child.
struct RoundTripWork {
    std::vector<std::string> argv{};
    std::size_t count = 0;
};

/// A program that does not end by itself is killed at the limit, `runs` times in turn, beside so many sleepers.
struct OvershootWork {
    std::vector<std::string> argv{};
    std::chrono::milliseconds limit{};
    std::size_t runs = 0;
    std::vector<std::string> sleeper_argv{};
    std::size_t sleepers = 0;
};

/// The children sleep until they are killed.
struct IdleWork {
    std::vector<std::string> argv{};
    std::size_t children = 0;
    std::chrono::milliseconds time{};
};

/// argv waits for end of file at descriptor 3, which is to be the reading end of a pipe that the peer makes.
struct BurstWork {
    std::vector<std::string> argv{};
    std::size_t children = 0;
};

/// One way to run programs.
///
/// Each function checks that what came is right (throws std::runtime_error if not), and gives the figures that it alone
/// can know. own_cpu_s and rss_kib are added by the caller, around spawn, flood and echo, except where a peer that runs
/// in another process has told them itself. What is not overridden throws Unavailable.
class Peer {
public:
    Peer() = default;
    Peer(const Peer&) = delete;
    Peer& operator=(const Peer&) = delete;
    virtual ~Peer() = default;

    virtual Figures spawn(const SpawnWork& work);            ///< jobs_per_s
    virtual Figures flood(const FloodWork& work);            ///< gib_per_s
    virtual Figures lines(const LinesWork& work);            ///< lines_per_s, in_order
    virtual Figures echo(const EchoWork& work);              ///< gib_per_s
    virtual Figures round_trips(const RoundTripWork& work);  ///< median_us, p99_us
    /// median_ms, p99_ms: from the start of the program to the supervisor's signal, beyond the limit.
    virtual Figures overshoot(const OvershootWork& work);
    virtual Figures idle(const IdleWork& work);    ///< own_cpu_s, during work.time alone
    virtual Figures burst(const BurstWork& work);  ///< median_ms: one measurement, the time itself
};

/// Of the process's own CPU time so far, in seconds.
double own_cpu_seconds();

/// Of values in any order: 0 is the least, 1 the greatest, 0.5 the median.
double quantile(std::vector<double> values, double at);

}  // namespace compare
