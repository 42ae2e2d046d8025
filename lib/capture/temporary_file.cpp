// SPDX-License-Identifier: MIT
#include "capture/temporary_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <utility>

namespace proctor::detail {

namespace {

std::string cure_for_opening(int error_number, const std::string& directory) {
    switch (error_number) {
        case EMFILE:
        case ENFILE: return "run fewer jobs at once, or raise the limit of open files (ulimit -n)";
        default:
            return "make " + directory +
                   " a directory that may be written, or name another: CaptureOptions::spool_directory, or TMPDIR in "
                   "the host's environment";
    }
}

}  // namespace

std::string temporary_directory(const std::string& wanted) {
    if (!wanted.empty()) {
        return wanted;
    }
    const char* const set = std::getenv("TMPDIR");
    return set != nullptr && *set != '\0' ? set : "/tmp";
}

UniqueFd make_and_unlink(const std::string& directory) {
    std::string path = directory + "/proctor-XXXXXX";
    UniqueFd file(::mkostemp(path.data(), O_CLOEXEC));
    if (file) {
        ::unlink(path.c_str());
    }
    return file;
}

Expected<UniqueFd> open_temporary_file(const std::string& directory) {
    UniqueFd file(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    // EISDIR: a kernel, or a file system in user space, that takes the flag for O_DIRECTORY alone.
    if (!file && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
        file = make_and_unlink(directory);
    }
    if (file) {
        file = moved_above_stdio(std::move(file));
    }
    if (!file) {
        const int error_number = errno;
        return failure(Stage::spool, error_number,
                       "a capture grew beyond max_size, and no temporary file can be made in " + directory,
                       cure_for_opening(error_number, directory));
    }
    return file;
}

}  // namespace proctor::detail
