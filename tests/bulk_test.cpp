// SPDX-License-Identifier: MIT
//
// What makes much output cheap: newlines are counted by blocks, and pipes grow.
#include <doctest/doctest.h>
#include <fcntl.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "capture/count_newlines.hpp"
#include "reactor/pipe_growth.hpp"
#include "support.hpp"

using proctor::detail::count_newlines;
using proctor::detail::GrowingPipe;
using proctor::detail::PipeGrowth;

namespace {

int size_of(const support::Pipe& pipe) { return fcntl(pipe.read_end.get(), F_GETPIPE_SZ); }

void fill_through(GrowingPipe& growing, const support::Pipe& pipe, unsigned full_reads) {
    for (unsigned i = 0; i < full_reads; ++i) growing.note_full(pipe.read_end.get());
}

}  // namespace

TEST_CASE("newlines are counted wherever they are, whatever the length and the place in memory") {
    std::mt19937 random(7);
    for (int round = 0; round < 2000; ++round) {
        const std::size_t length = random() % (round % 10 == 0 ? 70'000 : 300);
        const std::size_t share = 1 + random() % 40;
        std::string text(length, 'x');
        for (char& byte : text) byte = random() % share == 0 ? '\n' : static_cast<char>(random());
        const std::string_view part = std::string_view(text).substr(std::min<std::size_t>(random() % 70, length));
        CHECK(count_newlines(part) == std::count(part.begin(), part.end(), '\n'));
    }
    CHECK(count_newlines(std::string(100'000, '\n')) == 100'000);
    CHECK(count_newlines({}) == 0);
}

TEST_CASE("a pipe grows when some buffers of it were full, and not before") {
    PipeGrowth growth;
    const support::Pipe pipe;
    const int usual = size_of(pipe);
    GrowingPipe growing;
    growing.begin(&growth);
    fill_through(growing, pipe, GrowingPipe::full_reads - 1);
    CHECK(size_of(pipe) == usual);
    fill_through(growing, pipe, 1);
    CHECK(size_of(pipe) == PipeGrowth::size);
    growing.end();
}

TEST_CASE("only so many pipes are large at a time, and one that is closed makes room for another") {
    PipeGrowth growth;
    std::vector<std::unique_ptr<support::Pipe>> pipes;
    std::vector<GrowingPipe> growing(PipeGrowth::most + 2);
    for (GrowingPipe& each : growing) {
        pipes.push_back(std::make_unique<support::Pipe>());
        each.begin(&growth);
    }
    const int usual = size_of(*pipes[0]);
    for (unsigned i = 0; i <= PipeGrowth::most; ++i) fill_through(growing[i], *pipes[i], GrowingPipe::full_reads);
    CHECK(size_of(*pipes[PipeGrowth::most - 1]) == PipeGrowth::size);
    CHECK(size_of(*pipes[PipeGrowth::most]) == usual);
    growing[0].end();
    fill_through(growing[PipeGrowth::most + 1], *pipes[PipeGrowth::most + 1], GrowingPipe::full_reads);
    CHECK(size_of(*pipes[PipeGrowth::most + 1]) == PipeGrowth::size);
    growing[PipeGrowth::most].end();  // which never grew, and so gives nothing back
    GrowingPipe late;
    late.begin(&growth);
    fill_through(late, *pipes[PipeGrowth::most], GrowingPipe::full_reads);
    CHECK(size_of(*pipes[PipeGrowth::most]) == usual);
}

TEST_CASE("where there is no growth, or it is refused, the pipe stays as it is") {
    const support::Pipe pipe;
    const int usual = size_of(pipe);
    GrowingPipe without;
    without.begin(nullptr);
    fill_through(without, pipe, 2 * GrowingPipe::full_reads);
    CHECK(size_of(pipe) == usual);
    without.end();
    PipeGrowth growth;
    CHECK_FALSE(growth.grow(-1));
}

TEST_CASE("a flood comes through whole, kept and dropped, from several jobs at once") {
    proctor::Reactor reactor = support::make_reactor();
    constexpr proctor::Bytes size = 20'000'000;
    int right = 0;
    for (int i = 0; i < 4; ++i) {
        proctor::Job job = support::script("fill 1 20000000");
        const bool keep = i % 2 == 0;
        if (!keep) job.capture.limits.max_stdout_bytes = 0;
        reactor.submit(std::move(job), [&, keep](proctor::RunResult&& result) {
            const auto totals = result.capture.totals(proctor::STDOUT);
            const bool whole = !keep || result.capture.text(proctor::STDOUT) == support::pattern(size);
            right += result.passed() && totals.total_bytes == size && whole ? 1 : 0;
        });
    }
    REQUIRE(reactor.run());
    CHECK(right == 4);
}
