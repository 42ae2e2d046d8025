// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <proctor/error.hpp>

namespace CLI {
class App;
}

namespace proctor::cli {

inline constexpr std::string_view help_cure = "`proctor run --help` lists the options";

/// What is wrong with the words, and what would be right.
[[nodiscard]] Error misuse(std::string message, std::string cure);

struct SplitWords {
    std::vector<std::string> options{};  ///< each with its value, as --name=VALUE
    std::vector<std::string> command{};
};

/// Cuts at COMMAND: the first word that is neither an option nor an option's value, or whatever follows `--`.
[[nodiscard]] Result<SplitWords> split_words(const CLI::App& app, const std::vector<std::string>& words);

}  // namespace proctor::cli
