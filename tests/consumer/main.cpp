// SPDX-License-Identifier: MIT
#include <iostream>

#include <proctor/proctor.hpp>

int main() {
    const proctor::RunResult result = proctor::run({.argv = {"cat"}, .input = proctor::Input::text("from outside\n")});
    if (result.error) std::cerr << *result.error << '\n';
    std::cout << result.capture.text(proctor::STDOUT);
    return result.passed() && result.capture.text(proctor::STDOUT) == "from outside\n" ? 0 : 1;
}
