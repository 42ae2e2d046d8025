// SPDX-License-Identifier: MIT
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <memory>

#include "keeper_paths.hpp"
#include "process/keeper.hpp"

namespace proctor::detail {

namespace {

constexpr const char* reinstall = "install proctor wholly, or name the file proctor-keeper in the options";

// 0 or an errno value.
int why_not_executable(const std::string& path) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) {
        return errno;
    }
    if (!S_ISREG(status.st_mode)) {
        return EACCES;
    }
    return ::faccessat(AT_FDCWD, path.c_str(), X_OK, AT_EACCESS) == 0 ? 0 : errno;
}

std::string resolved(const char* path) {
    const std::unique_ptr<char, decltype(&std::free)> absolute(::realpath(path, nullptr), &std::free);
    return absolute ? absolute.get() : "";
}

// The file that holds this code: the shared library, or the program that it is linked into. For the latter the loader
// knows only what argv[0] said.
std::string image_path() {
    Dl_info info{};
    const bool known = ::dladdr(reinterpret_cast<const void*>(&find_keeper), &info) != 0 && info.dli_fname != nullptr;
    return resolved(known && info.dli_fname[0] == '/' ? info.dli_fname : "/proc/self/exe");
}

bool lies_below(const std::string& path, const std::string& directory) {
    return path.compare(0, directory.size() + 1, directory + '/') == 0;
}

}  // namespace

Expected<std::string> find_keeper(const std::string& given) {
    if (!given.empty()) {
        if (const int error_number = why_not_executable(given); error_number != 0) {
            return failure(Stage::spawn, error_number, "the keeper program " + given + " cannot be run",
                           "name the file proctor-keeper that belongs to this version of the library");
        }
        return given;
    }
    const std::string image = image_path();
    // A build tree is asked only by what has been built in it: nobody else may plant a program under its name.
    if (lies_below(image, resolved(PROCTOR_BUILD_ROOT)) && why_not_executable(PROCTOR_KEEPER_BUILT) == 0) {
        return std::string(PROCTOR_KEEPER_BUILT);
    }
    if (why_not_executable(PROCTOR_KEEPER_INSTALLED) == 0) {
        return std::string(PROCTOR_KEEPER_INSTALLED);
    }
    const std::string directory = image.substr(0, image.rfind('/'));
    for (const char* const below : {"/../libexec/proctor", "/../../libexec/proctor", ""}) {
        std::string path = directory + below + "/proctor-keeper";
        if (!image.empty() && why_not_executable(path) == 0) {
            return path;
        }
    }
    return failure(Stage::spawn, ENOENT,
                   "the keeper program is neither " PROCTOR_KEEPER_INSTALLED " nor to be found from " + image,
                   reinstall);
}

}  // namespace proctor::detail
