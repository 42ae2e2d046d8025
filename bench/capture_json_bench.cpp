// SPDX-License-Identifier: MIT
//
// Records to JSON Lines: what does encoding cost beside copying the same bytes? Both append the records of one capture
// to a string, in the same process and in turns that are shuffled.
//
// A job is one capture of 1 MiB, so "jobs/s" are MiB/s.
//
//     capture_json_bench [--benchmark_repetitions=N] [--benchmark_filter=REGEX] …
#include <benchmark/benchmark.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <proctor/capture_json.hpp>

#include "ratio_reporter.hpp"

namespace {

constexpr std::size_t read_size = std::size_t{64} * 1024;
constexpr std::size_t reads = 16;

// Lines as programs print them, of 0 to 79 characters.
std::string printable() {
    std::string text;
    for (std::size_t line = 0; text.size() < read_size; ++line) {
        text.append(line * 37 % 80, static_cast<char>('a' + line % 26));
        text += '\n';
    }
    text.resize(read_size);
    return text;
}

std::string accented() {
    std::string text;
    while (text.size() < read_size) text += "Déjà vu : l'été à Zürich coûte 20 € par nœud.\n";
    return text;
}

std::string binary() {
    std::string text;
    for (std::uint32_t state = 1; text.size() < read_size; state = state * 1664525 + 1013904223) {
        text += static_cast<char>(state >> 24);
    }
    return text;
}

const std::string& text_of(std::int64_t kind) {
    static const std::vector<std::string> texts = {printable(), accented(), binary()};
    return texts[static_cast<std::size_t>(kind)];
}

void encode(benchmark::State& state, bool as_json) {
    const std::string& text = text_of(state.range(0));
    std::string out;
    out.reserve(2 * reads * text.size());
    for (auto _ : state) {  // NOLINT(clang-analyzer-deadcode.DeadStores)
        out.clear();
        proctor::JSONCaptureEncoder encoder;
        for (std::size_t i = 0; i < reads; ++i) {
            if (as_json) {
                encoder.encode({.time = std::chrono::milliseconds(i), .data = text}, out);
            } else {
                out.append(text);
            }
        }
        benchmark::DoNotOptimize(out.data());
        benchmark::ClobberMemory();
    }
    state.counters["bytes/s"] =
        benchmark::Counter(static_cast<double>(state.iterations()) * static_cast<double>(reads * text.size()),
                           benchmark::Counter::kIsRate);
}

void in_all_cases(benchmark::internal::Benchmark* each) {
    each->ArgName("printable=0, accented=1, binary=2")->Arg(0)->Arg(1)->Arg(2)->UseRealTime();
}

BENCHMARK_CAPTURE(encode, memcpy, false)->Apply(in_all_cases);
BENCHMARK_CAPTURE(encode, json, true)->Apply(in_all_cases);

}  // namespace

int main(int argument_count, char** arguments) {
    return bench::run_with_ratios(argument_count, arguments,
                                  {.baseline = "memcpy", .repetitions = 15, .seconds = "0.05"});
}
