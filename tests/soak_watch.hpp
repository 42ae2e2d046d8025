// SPDX-License-Identifier: MIT
//
// What a host holds, and whether it holds ever more.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace soak {

struct Holding {
    std::size_t rss_kib = 0;
    std::size_t heap_kib = 0;           ///< in use, of what malloc has
    std::size_t descriptors = 0;        ///< but for those of the groups below the place
    std::size_t group_descriptors = 0;  ///< those
    std::size_t children = 0;
    std::size_t zombies = 0;
    std::size_t groups = 0;  ///< below the place that the reactors were given
    std::size_t files = 0;   ///< in the directory for temporary files
};

/// A directory of the cgroup v2 hierarchy for this program's reactors alone, removed at the end. Where none can be made
/// its path is empty.
class Ground {
public:
    Ground();
    Ground(const Ground&) = delete;
    Ground& operator=(const Ground&) = delete;
    ~Ground();

    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] std::size_t groups() const;

private:
    std::string path_{};
};

/// A directory, removed at the end.
class Folder {
public:
    Folder();
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    ~Folder();

    [[nodiscard]] const std::string& path() const { return path_; }

private:
    std::string path_{};
};

Holding look(const Ground& ground, const std::string& files);

/// "9,000 KiB (heap 800), 40 descriptors, 1 children (0 dead), 12 groups with 48 descriptors, 0 files".
std::string to_string(const Holding& holding);

/// What has grown from the mean of the first third to that of the last, the first two minutes apart, in words with
/// numbers; empty if nothing has, or if there are too few to tell (of one every ten seconds, less than eight minutes).
std::string growth(const std::vector<Holding>& seen);

}  // namespace soak
