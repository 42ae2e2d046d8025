// SPDX-License-Identifier: MIT
//
// A judge that thinks of a number, and solutions that guess it: each is wired to the judge, and what they say to each
// other is recorded.
//
//     guess DIRECTORY      where judge.py and the solutions are
#include <chrono>
#include <iomanip>
#include <iostream>
#include <string>

#include <proctor/proctor.hpp>

using namespace std::chrono_literals;

namespace {

// Whoever ended first has caused the end; the other one only met it.
std::string verdict_of(const proctor::PairResult& result) {
    const proctor::RunResult& judge = result.first;
    const proctor::RunResult& solution = result.second;
    for (const proctor::RunResult* each : {&judge, &solution}) {
        // Of a program whose partner was not started the error says no more than that.
        if (each->error && each->error->stage != proctor::Stage::cancelled) return "failure: " + each->error->message;
    }
    if (solution.reason) return std::string(verbose_reason(*solution.reason));
    if (result.ended_first == proctor::Side::second && !solution.passed()) return "run-time error";
    return judge.passed() ? "right" : "wrong: " + judge.capture.text(proctor::STDERR);
}

void print(const std::string& name, const proctor::PairResult& result) {
    std::string verdict = verdict_of(result);
    if (!verdict.empty() && verdict.back() == '\n') verdict.pop_back();
    std::cout << name << ": " << verdict << '\n';
    auto playback = result.dialogue.playback();
    for (const proctor::CaptureLine& line : playback.lines()) {
        const double seconds = std::chrono::duration<double>(line.time).count();
        std::cout << std::fixed << std::setprecision(3) << std::setw(9) << seconds
                  << (line.stream == proctor::STDOUT ? "  judge     " : "  solution  ") << line.text
                  << (line.text.ends_with('\n') ? "" : "\n");
    }
}

}  // namespace

int main(int count, char** words) {
    if (count != 2) {
        std::cerr << "write: guess DIRECTORY\n";
        return 2;
    }
    const std::string directory = std::string(words[1]) + "/";
    auto reactor = proctor::Reactor::create({.max_running = 2});
    if (!reactor) {
        std::cerr << reactor.error() << '\n';
        return 1;
    }
    for (const char* name : {"right", "wrong", "hanging", "silent"}) {
        const proctor::Environment environment{.unset = {"PYTHONUNBUFFERED"}};
        proctor::Job judge{
            .argv = {"python3", directory + "judge.py", "617"}, .environment = environment, .limits = {.time = 60s}};
        proctor::Job solution{.argv = {"python3", directory + name + ".py"},
                              .environment = environment,
                              .limits = {.time = 30s, .cpu_time = 2s, .block = 2s}};
        reactor->submit_pair(std::move(judge), std::move(solution),
                             [name](const proctor::PairResult& result) { print(name, result); });
    }
    if (const auto done = reactor->run(); !done) {
        std::cerr << done.error() << '\n';
        return 1;
    }
}
