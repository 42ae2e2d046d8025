// SPDX-License-Identifier: MIT
//
// Spawn, capture, reap: what does proctor cost beside the loop that one writes by hand? Both run the same tiny program
// in the same process, in turns that are shuffled, so that what else the machine does meets both alike.
//
//     spawn_bench [--benchmark_repetitions=N] [--benchmark_filter=REGEX] [--benchmark_out=FILE.json] …
//
// Exit status 1 if a contender did not do what it should.
#include <benchmark/benchmark.h>

#include <cstddef>
#include <exception>
#include <filesystem>
#include <string>
#include <vector>

#include "contender.hpp"
#include "hand_poll.hpp"
#include "ratio_reporter.hpp"
#include "reactor_jobs.hpp"

namespace {

// A batch begins and ends with fewer than `at_once` jobs running, so it is long.
constexpr benchmark::IterationCount jobs_per_batch = 256;

std::string tiny_child() { return std::filesystem::canonical("/proc/self/exe").parent_path() / "tiny_child"; }

void spawn_capture_reap(benchmark::State& state, bench::MakeContender make) {
    try {
        const auto at_once = static_cast<std::size_t>(state.range(0));
        const auto contender = make({.program = tiny_child(), .expected_output = "ok\n", .at_once = at_once});
        contender->run(at_once);  // what is made on the first use is not counted
        while (state.KeepRunningBatch(jobs_per_batch)) {
            contender->run(static_cast<std::size_t>(jobs_per_batch));
        }
        state.counters["jobs/s"] =
            benchmark::Counter(static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
    } catch (const std::exception& failure) {
        state.SkipWithError(failure.what());
    }
}

void in_all_cases(benchmark::internal::Benchmark* each) {
    each->ArgName("at_once")->Arg(1)->Arg(16)->UseRealTime()->Unit(benchmark::kMicrosecond);
}

BENCHMARK_CAPTURE(spawn_capture_reap, hand_poll, bench::make_hand_poll)->Apply(in_all_cases);
BENCHMARK_CAPTURE(spawn_capture_reap, proctor, bench::make_reactor_jobs)->Apply(in_all_cases);

}  // namespace

int main(int argument_count, char** arguments) {
    return bench::run_with_ratios(argument_count, arguments,
                                  {.baseline = "hand_poll", .repetitions = 25, .seconds = "0.2"});
}
