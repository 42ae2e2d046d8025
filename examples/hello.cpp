// SPDX-License-Identifier: MIT
//
// Runs one program with an input and a time limit. Prints:
//
//     pass: 5
#include <chrono>
#include <iostream>

#include <proctor/proctor.hpp>

using namespace std::chrono_literals;

int main() {
    const proctor::RunResult result = proctor::run({.argv = {"python3", "-c", "print(sum(map(int, input().split())))"},
                                                    .input = proctor::Input::text("2 3\n"),
                                                    .limits = {.time = 10s}});
    if (result.error) {
        std::cerr << *result.error << '\n';  // what is missing, and how to get it
        return 1;
    }
    std::cout << result.outcome << ": " << result.capture.text(proctor::STDOUT);
}
