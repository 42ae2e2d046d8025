// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <string>

namespace bench {

/// What every contender has to do: run this program, without arguments and with nothing on its stdin, and see that it
/// exits with status 0 after exactly this output and nothing on its stderr.
struct Workload {
    std::string program{};
    std::string expected_output{};
    std::size_t at_once = 1;
};

/// One way to run programs. It lives as long as a measurement, so what it makes once is not counted.
class Contender {
public:
    Contender() = default;
    Contender(const Contender&) = delete;
    Contender& operator=(const Contender&) = delete;
    virtual ~Contender() = default;

    /// Runs so many jobs of its workload, `at_once` of them at a time until none is left to start. Throws a
    /// std::exception that says what went wrong with the first job that did not go as it should.
    virtual void run(std::size_t jobs) = 0;
};

using MakeContender = std::unique_ptr<Contender> (*)(const Workload& workload);

}  // namespace bench
