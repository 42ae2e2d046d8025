// SPDX-License-Identifier: MIT
#include "split_words.hpp"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <numeric>
#include <utility>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

namespace proctor::cli {

namespace {

// Insertions, deletions and replacements that make one of the other.
std::size_t edit_distance(std::string_view left, std::string_view right) {
    std::vector<std::size_t> row(right.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < left.size(); ++i) {
        std::size_t diagonal = std::exchange(row[0], i + 1);
        for (std::size_t j = 0; j < right.size(); ++j) {
            const std::size_t replaced = diagonal + (left[i] == right[j] ? 0 : 1);
            diagonal = row[j + 1];
            row[j + 1] = std::min({replaced, diagonal + 1, row[j] + 1});
        }
    }
    return row.back();
}

Error unknown_option(const CLI::App& app, const std::string& name) {
    std::string nearest;
    std::size_t nearest_distance = 4;  // farther off, a suggestion is noise
    for (const CLI::Option* option : app.get_options()) {
        const std::size_t distance = edit_distance(name, option->get_name());
        if (distance < nearest_distance && distance < option->get_name().size() / 2) {
            nearest = option->get_name();
            nearest_distance = distance;
        }
    }
    return misuse(fmt::format("{}: there is no such option", name),
                  nearest.empty()
                      ? help_cure(app) + (app.get_name() == "run" ? "; a COMMAND of that name needs -- before it" : "")
                      : fmt::format("did you mean {}? {}", nearest, help_cure(app)));
}

Error no_value(const std::string& name) {
    return misuse(fmt::format("{}: its value is missing", name),
                  fmt::format("write {0} VALUE, or {0}=VALUE if the value begins with --", name));
}

}  // namespace

std::string help_cure(const CLI::App& app) {
    return fmt::format("`proctor {} --help` lists the options", app.get_name());
}

Error misuse(std::string message, std::string cure) {
    return {Stage::setup, EINVAL, std::move(message), std::move(cure)};
}

Result<SplitWords> split_words(const CLI::App& app, const std::vector<std::string>& words) {
    SplitWords split;
    auto word = words.begin();
    for (; word != words.end() && word->starts_with('-') && *word != "-"; ++word) {
        if (*word == "--") {
            ++word;
            break;
        }
        const std::size_t equals = word->find('=');
        const std::string name = word->substr(0, equals);
        const CLI::Option* option = app.get_option_no_throw(name);
        if (option == nullptr) {
            return unknown_option(app, name);
        }
        const bool takes_value = option->get_expected_max() > 0;
        if (!takes_value && equals != std::string::npos) {
            return misuse(fmt::format("{}: it takes no value", name), fmt::format("write {} alone", name));
        }
        if (!takes_value || equals != std::string::npos) {
            if (takes_value && equals + 1 == word->size()) {
                return no_value(name);
            }
            split.options.push_back(*word);
            continue;
        }
        if (++word == words.end() || word->empty() || word->starts_with("--")) {
            return no_value(name);
        }
        split.options.push_back(fmt::format("{}={}", name, *word));
    }
    split.command.assign(word, words.end());
    return split;
}

}  // namespace proctor::cli
