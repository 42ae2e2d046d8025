// SPDX-License-Identifier: MIT
#include "soak_watch.hpp"

#include <malloc.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <stdexcept>

#include "cgroup/cgroup_tree.hpp"

namespace soak {

namespace fs = std::filesystem;

namespace {

std::size_t count_entries(const std::string& directory) {
    std::error_code error;
    std::size_t count = 0;
    for (fs::directory_iterator at(directory, error), end; at != end; at.increment(error)) ++count;
    return count;
}

// Each group that waits for a job keeps files of it open, so their number goes up and down with that of the groups.
void count_descriptors(Holding& holding, const std::string& place) {
    const std::string below = place + "/";
    std::error_code error;
    for (fs::directory_iterator at("/proc/self/fd", error), end; at != end; at.increment(error)) {
        const std::string file = fs::read_symlink(at->path(), error).string();
        ++(!place.empty() && file.compare(0, below.size(), below) == 0 ? holding.group_descriptors
                                                                       : holding.descriptors);
    }
    // Less the one by which they are counted.
    --holding.descriptors;
}

// "Z" of one that nobody has waited for.
char state_of(const std::string& pid) {
    std::ifstream file("/proc/" + pid + "/stat");
    std::string text;
    std::getline(file, text);
    const std::size_t end_of_name = text.rfind(')');
    return end_of_name != std::string::npos && end_of_name + 2 < text.size() ? text[end_of_name + 2] : '?';
}

void count_children(Holding& holding) {
    for (const auto& task : fs::directory_iterator("/proc/self/task")) {
        std::ifstream children(task.path() / "children");
        for (std::string pid; children >> pid;) {
            ++holding.children;
            if (state_of(pid) == 'Z') ++holding.zombies;
        }
    }
}

std::size_t resident_kib() {
    std::ifstream file("/proc/self/statm");
    std::size_t all = 0;
    std::size_t resident = 0;
    file >> all >> resident;
    return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE)) / 1024;
}

std::size_t heap_kib() {
    const struct mallinfo2 info = mallinfo2();
    return (info.uordblks + info.hblkhd) / 1024;
}

double mean(const std::vector<Holding>& seen, std::size_t begin, std::size_t end, std::size_t Holding::*what) {
    double sum = 0;
    for (std::size_t i = begin; i < end; ++i) sum += static_cast<double>(seen[i].*what);
    return sum / static_cast<double>(end - begin);
}

}  // namespace

Ground::Ground() {
    const auto place = proctor::detail::find_place(std::nullopt);
    if (!place) return;
    const std::string path = place->path + "/soak-" + std::to_string(getpid());
    if (mkdir(path.c_str(), 0755) == 0) path_ = path;
}

Ground::~Ground() {
    if (!path_.empty()) rmdir(path_.c_str());
}

std::size_t Ground::groups() const {
    if (path_.empty()) return 0;
    std::error_code error;
    std::size_t count = 0;
    for (fs::recursive_directory_iterator at(path_, error), end; at != end; at.increment(error)) {
        if (at->is_directory(error)) ++count;
    }
    return count;
}

Folder::Folder() {
    path_ = (fs::temp_directory_path() / "proctor-soak-XXXXXX").string();
    if (mkdtemp(path_.data()) == nullptr)
        throw std::runtime_error("no directory can be made in the one for temporary files");
}

Folder::~Folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
}

Holding look(const Ground& ground, const std::string& files) {
    Holding holding{
        .rss_kib = resident_kib(), .heap_kib = heap_kib(), .groups = ground.groups(), .files = count_entries(files)};
    count_descriptors(holding, ground.path());
    count_children(holding);
    return holding;
}

std::string to_string(const Holding& holding) {
    char text[200];
    std::snprintf(text, sizeof text,
                  "%zu KiB (heap %zu), %zu descriptors, %zu children (%zu dead), %zu groups with %zu descriptors, "
                  "%zu files",
                  holding.rss_kib, holding.heap_kib, holding.descriptors, holding.children, holding.zombies,
                  holding.groups, holding.group_descriptors, holding.files);
    return text;
}

std::string growth(const std::vector<Holding>& all) {
    // In the first two minutes buffers and caches come to the size that they keep.
    constexpr std::size_t settling = 12;
    constexpr std::size_t enough = 36;
    if (all.size() < settling + enough) return {};
    const std::vector<Holding> seen(all.begin() + settling, all.end());
    static const struct {
        const char* name;
        std::size_t Holding::*what;
        double share;  // that it may grow by
        double count;  // and this
    } kinds[] = {
        {"KiB of memory", &Holding::rss_kib, 0.1, 2'048}, {"KiB of heap", &Holding::heap_kib, 0.05, 512},
        {"descriptors", &Holding::descriptors, 0, 0.5},   {"children", &Holding::children, 0, 0.5},
        {"dead children", &Holding::zombies, 0, 0.1},     {"groups", &Holding::groups, 0.1, 4},
        {"temporary files", &Holding::files, 0, 0.1},
    };
    std::string text;
    for (const auto& kind : kinds) {
        const double first = mean(seen, 0, seen.size() / 3, kind.what);
        const double last = mean(seen, seen.size() - seen.size() / 3, seen.size(), kind.what);
        if (last <= first * (1 + kind.share) + kind.count) continue;
        char line[120];
        std::snprintf(line, sizeof line, "%s%s grew from %.1f to %.1f", text.empty() ? "" : "; ", kind.name, first,
                      last);
        text += line;
    }
    return text;
}

}  // namespace soak
