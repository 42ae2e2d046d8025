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

/// How to learn the options of a command, whose App has its name.
[[nodiscard]] std::string help_cure(const CLI::App& app);

/// What is wrong with the words, and what would be right.
[[nodiscard]] Error misuse(std::string message, std::string cure);

struct SplitWords {
    std::vector<std::string> options{};  ///< each with its value, as --name=VALUE
    std::vector<std::string> command{};
};

/// Cuts at COMMAND (CAPTURE): the first word that is neither an option nor an option's value, or whatever follows `--`.
[[nodiscard]] Result<SplitWords> split_words(const CLI::App& app, const std::vector<std::string>& words);

}  // namespace proctor::cli
