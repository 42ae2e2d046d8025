// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

// A directory of problems:
//
//     queens/problem.txt               name = Queens
//                                      time_limit_ms = 2000
//                                      stdin = held_open     (nobody types anything; if not said: tests/01.in)
//     queens/tests/01.out              what a right program prints
//     queens/submissions/slow.TLE.py   a program, and the verdict that it was written to get

struct Test {
    std::string name;
    std::filesystem::path input;
    std::string answer;
};

struct Problem {
    std::string name;
    std::chrono::milliseconds time_limit{1000};
    bool held_open = false;
    std::vector<Test> tests{};
};

inline std::vector<std::filesystem::path> sorted_entries(const std::filesystem::path& directory) {
    std::vector<std::filesystem::path> entries;
    for (const auto& entry : std::filesystem::directory_iterator(directory)) entries.push_back(entry.path());
    std::sort(entries.begin(), entries.end());
    return entries;
}

inline Problem read_problem(const std::filesystem::path& directory) {
    Problem problem{.name = directory.filename().string()};
    std::ifstream settings(directory / "problem.txt");
    for (std::string key, equals, value; settings >> key >> equals && std::getline(settings >> std::ws, value);) {
        if (key == "name") {
            problem.name = value;
        } else if (key == "time_limit_ms") {
            problem.time_limit = std::chrono::milliseconds(std::stoi(value));
        } else if (key == "stdin" && value == "held_open") {
            problem.held_open = true;
        } else {
            throw std::runtime_error(directory.string() + "/problem.txt: do not understand " + key);
        }
    }
    for (const auto& path : sorted_entries(directory / "tests")) {
        if (path.extension() != ".out") continue;
        std::filesystem::path input = path;
        input.replace_extension(".in");
        std::ostringstream answer;
        answer << std::ifstream(path).rdbuf();
        problem.tests.push_back({path.stem().string(), input, answer.str()});
    }
    if (problem.tests.empty()) throw std::runtime_error(directory.string() + " has no tests");
    return problem;
}

// Spaces and line ends do not count.
inline bool same_words(const std::string& left, const std::string& right) {
    using Words = std::istream_iterator<std::string>;
    std::istringstream left_text(left);
    std::istringstream right_text(right);
    return std::equal(Words(left_text), Words(), Words(right_text), Words());
}
