// SPDX-License-Identifier: MIT
//
// A pseudo-terminal, for programs that write to one.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "support.hpp"

namespace support {

/// Both ends of a terminal that changes nothing of what passes.
struct Terminal {
    Terminal() {
        const int number = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
        REQUIRE(number >= 0);
        outside = Fd(number);
        REQUIRE(grantpt(number) == 0);
        REQUIRE(unlockpt(number) == 0);
        inside = open_file(ptsname(number), O_RDWR | O_NOCTTY | O_CLOEXEC);
        termios state{};
        REQUIRE(tcgetattr(inside.get(), &state) == 0);
        cfmakeraw(&state);
        REQUIRE(tcsetattr(inside.get(), TCSANOW, &state) == 0);
    }

    /// What has been written to it: call it when the writer has ended.
    [[nodiscard]] std::string text() const {
        std::string text(4096, '\0');
        pollfd entry{outside.get(), POLLIN, 0};
        if (poll(&entry, 1, 0) <= 0) return {};
        const ssize_t count = read(outside.get(), text.data(), text.size());
        text.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
        return text;
    }

    Fd outside{};
    Fd inside{};
};

}  // namespace support
