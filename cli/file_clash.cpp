// SPDX-License-Identifier: MIT
#include "file_clash.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <fmt/format.h>

#include "split_words.hpp"

namespace proctor::cli {

namespace {

namespace fs = std::filesystem;

struct NamedFile {
    std::string_view option{};
    std::string path{};  ///< "-" is a standard stream
    bool written = false;
};

std::vector<NamedFile> named_files(const RunRequest& request) {
    std::vector<NamedFile> files;
    if (request.job.input.source() == Input::Source::file) {
        files.push_back({"--stdin", std::string(request.job.input.value()), false});
    } else if (request.job.input.source() == Input::Source::descriptor) {
        files.push_back({"--stdin", "-", false});
    }
    if (request.replay_path) {
        files.push_back({"--replay-input", *request.replay_path, false});
    }
    if (request.result_path) {
        files.push_back({"--result", *request.result_path, true});
    }
    if (request.capture_path) {
        files.push_back({"--capture", *request.capture_path, true});
    }
    return files;
}

bool look_up(const NamedFile& file, struct stat& status) {
    return file.path == "-" ? ::fstat(file.written ? STDOUT_FILENO : STDIN_FILENO, &status) == 0
                            : ::stat(file.path.c_str(), &status) == 0;
}

bool are_same(const NamedFile& left, const NamedFile& right) {
    struct stat of_left {};
    struct stat of_right {};
    const bool has_left = look_up(left, of_left);
    const bool has_right = look_up(right, of_right);
    if (has_left && has_right) {
        return S_ISREG(of_left.st_mode) && of_left.st_dev == of_right.st_dev && of_left.st_ino == of_right.st_ino;
    }
    if (has_left || has_right) {
        return false;
    }
    // Neither is there yet.
    std::error_code wrong;
    const fs::path whole_left = fs::weakly_canonical(left.path, wrong);
    return !wrong && whole_left == fs::weakly_canonical(right.path, wrong) && !wrong;
}

}  // namespace

std::optional<Error> find_file_clash(const RunRequest& request) {
    const std::vector<NamedFile> files = named_files(request);
    for (std::size_t i = 0; i < files.size(); ++i) {
        for (std::size_t k = i + 1; k < files.size(); ++k) {
            const NamedFile& earlier = files[i];
            const NamedFile& later = files[k];
            if (!later.written) {
                continue;
            }
            if (earlier.written && earlier.path == "-" && later.path == "-") {
                return misuse(fmt::format("{} and {} are both standard output", earlier.option, later.option),
                              "write one of them to a file");
            }
            if (are_same(earlier, later)) {
                return misuse(fmt::format("{} {} is the same file as {} {}", later.option, later.path, earlier.option,
                                          earlier.path),
                              earlier.written ? "write them to two files"
                                              : "write to another file: it would be emptied before it is read");
            }
        }
    }
    return std::nullopt;
}

}  // namespace proctor::cli
