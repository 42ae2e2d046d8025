// SPDX-License-Identifier: MIT
//
// What single parts cost, each beside the least that the same could cost ("floor"): copying the bytes, or the bare
// system calls.
//
//     parts_bench [--benchmark_repetitions=N] [--benchmark_filter=REGEX] …
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <simdjson.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <proctor/proctor.hpp>

#include "accounting/memory_sample.hpp"
#include "accounting/proc_directory.hpp"
#include "accounting/process_stat.hpp"
#include "ratio_reporter.hpp"
#include "ring/make_engine.hpp"

namespace {

using proctor::detail::Bound;
using proctor::detail::make_engine;
using proctor::detail::ProcDirectory;
using proctor::detail::Read;

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

void count_bytes(benchmark::State& state, std::size_t bytes) {
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes));
}

// --- Reading a capture of 1 MiB that is JSON Lines

const std::string& capture_lines() {
    static const std::string lines = [] {
        std::string out;
        proctor::JSONCaptureEncoder encoder;
        const std::string text = printable();
        for (std::size_t i = 0; i < reads; ++i) {
            encoder.encode({.time = std::chrono::milliseconds(i), .data = text}, out);
        }
        encoder.finish(out);
        return out;
    }();
    return lines;
}

void decode(benchmark::State& state, void (*once)(const std::string&)) {
    const std::string& lines = capture_lines();
    for (auto _ : state) {  // NOLINT(clang-analyzer-deadcode.DeadStores)
        once(lines);
        benchmark::ClobberMemory();
    }
    count_bytes(state, lines.size());
}

void copy_lines(const std::string& lines) {
    static std::string copy;
    copy.assign(lines);
    benchmark::DoNotOptimize(copy.data());
}

void parse_lines(const std::string& lines) {
    static simdjson::dom::parser parser;
    simdjson::dom::document_stream documents;
    if (parser.parse_many(lines, read_size * 2).get(documents) != simdjson::SUCCESS) std::abort();
    for (auto document : documents) benchmark::DoNotOptimize(document.error());
}

void play_lines(const std::string& lines) {
    auto playback = proctor::JSONCapturePlayback::text(lines);
    while (const auto record = playback.next()) benchmark::DoNotOptimize(record->data.data());
    if (playback.error()) std::abort();
}

BENCHMARK_CAPTURE(decode, floor, copy_lines);
BENCHMARK_CAPTURE(decode, simdjson, parse_lines);
BENCHMARK_CAPTURE(decode, proctor, play_lines);

// --- Recording 1 MiB, in pieces of a size

void record_floor(benchmark::State& state) {
    const std::string text = printable();
    const auto piece = static_cast<std::size_t>(state.range(0));
    std::string kept;
    for (auto _ : state) {  // NOLINT(clang-analyzer-deadcode.DeadStores)
        std::string().swap(kept);
        for (std::size_t at = 0; at < reads * read_size; at += piece) {
            kept.append(text, at % read_size, piece);
        }
        benchmark::DoNotOptimize(kept.data());
    }
    count_bytes(state, reads * read_size);
}

void record_proctor(benchmark::State& state, bool keep) {
    const std::string text = printable();
    const auto piece = static_cast<std::size_t>(state.range(0));
    for (auto _ : state) {  // NOLINT(clang-analyzer-deadcode.DeadStores)
        proctor::CaptureOptions options;
        options.max_size = 64 << 20;
        if (!keep) options.limits.max_stdout_bytes = 0;
        proctor::Capture capture(options);
        auto recorder = capture.record();
        for (std::size_t at = 0; at < reads * read_size; at += piece) {
            recorder.add(proctor::STDOUT, std::string_view(text).substr(at % read_size, piece),
                         std::chrono::nanoseconds(at));
        }
        benchmark::DoNotOptimize(capture.size(proctor::STDOUT));
    }
    count_bytes(state, reads * read_size);
}

void record_kept(benchmark::State& state) { record_proctor(state, true); }
void record_dropped(benchmark::State& state) { record_proctor(state, false); }

void in_pieces(benchmark::internal::Benchmark* each) { each->ArgName("bytes a record")->Arg(64)->Arg(65536); }

BENCHMARK(record_floor)->Name("record/floor")->Apply(in_pieces);
BENCHMARK(record_kept)->Name("record/kept")->Apply(in_pieces);
BENCHMARK(record_dropped)->Name("record/dropped")->Apply(in_pieces);

// --- One event: 8 bytes through a pipe

struct PipeEnds {
    PipeEnds() {
        std::array<int, 2> ends{};
        if (::pipe2(ends.data(), O_CLOEXEC) != 0) std::abort();
        reader.reset(ends[0]);
        writer.reset(ends[1]);
    }
    proctor::detail::UniqueFd reader{};
    proctor::detail::UniqueFd writer{};
};

void write_word(const PipeEnds& pipe) {
    if (::write(pipe.writer.get(), "8 bytes\n", 8) != 8) std::abort();
}

void event_floor(benchmark::State& state) {
    const PipeEnds pipe;
    std::array<char, 64> buffer{};
    for (auto _ : state) {  // NOLINT(clang-analyzer-deadcode.DeadStores)
        write_word(pipe);
        if (::read(pipe.reader.get(), buffer.data(), buffer.size()) != 8) std::abort();
    }
}

class Reader {
public:
    explicit Reader(int fd) { read_.fd = fd; }
    [[nodiscard]] Read& read() { return read_; }
    [[nodiscard]] int received() const { return received_; }

private:
    void on_read(int result) noexcept { received_ += result; }

    Bound<Read, Reader, &Reader::on_read> read_{*this};
    int received_ = 0;
};

void event(benchmark::State& state, proctor::EngineChoice choice) {
    auto engine = make_engine(choice, 64, proctor::detail::probe_kernel());
    if (!engine || !(*engine)->bind()) {
        state.SkipWithError("there is no such engine here");
        return;
    }
    const PipeEnds pipe;
    Reader reader(pipe.reader.get());
    int expected = 0;
    for (auto _ : state) {  // NOLINT(clang-analyzer-deadcode.DeadStores)
        (*engine)->start(reader.read());
        write_word(pipe);
        expected += 8;
        while (reader.received() < expected) {
            if (!(*engine)->pass(proctor::detail::Nanoseconds(-1))) std::abort();
        }
    }
}

BENCHMARK(event_floor)->Name("event/floor");
BENCHMARK_CAPTURE(event, epoll, proctor::EngineChoice::poll)->Name("event/epoll");

// Left out where the ring is refused.
[[maybe_unused]] const auto* const event_ring =
    make_engine(proctor::EngineChoice::io_uring, 8, proctor::detail::probe_kernel())
        ? benchmark::RegisterBenchmark("event/ring", event, proctor::EngineChoice::io_uring)
        : nullptr;

// --- Looking at a process

void look_floor(benchmark::State& state) {
    const int file = ::open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    std::array<char, 1024> buffer{};
    for (auto _ : state) {  // NOLINT(clang-analyzer-deadcode.DeadStores)
        benchmark::DoNotOptimize(::pread(file, buffer.data(), buffer.size(), 0));
    }
    ::close(file);
}

template <typename Look>
void look(benchmark::State& state, Look once) {
    const auto proc = ProcDirectory::open();
    if (!proc) {
        state.SkipWithError("there is no /proc here");
        return;
    }
    const pid_t self = ::getpid();
    for (auto _ : state) benchmark::DoNotOptimize(once(*proc, self));  // NOLINT(clang-analyzer-deadcode.DeadStores)
}

void look_stat(benchmark::State& state) {
    look(state, [](const ProcDirectory& proc, pid_t pid) { return proctor::detail::read_process_stat(proc, pid); });
}

void look_memory(benchmark::State& state) {
    look(state, [](const ProcDirectory& proc, pid_t pid) { return proctor::detail::read_memory(proc, pid); });
}

BENCHMARK(look_floor)->Name("process/floor");
BENCHMARK(look_stat)->Name("process/stat");
BENCHMARK(look_memory)->Name("process/memory");

}  // namespace

int main(int argument_count, char** arguments) {
    return bench::run_with_ratios(argument_count, arguments,
                                  {.baseline = "floor", .repetitions = 15, .seconds = "0.05"});
}
