// SPDX-License-Identifier: MIT
#include "descendants.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>

#include <cerrno>
#include <csignal>

#include "listing.hpp"
#include "system.hpp"

namespace proctor::keeper {

namespace {

// Of a larger tree the rest is found when these are dead. Untouched pages of these arrays take no memory.
constexpr unsigned most_processes = 65536;
constexpr unsigned most_pids = 1U << 22;  // PID_MAX_LIMIT of 64-bit kernels

constinit int found[most_processes]{};
constinit unsigned found_count = 0;

class Path {
public:
    Path& add(const char* text) {
        while (*text != '\0') {
            put(*text++);
        }
        return *this;
    }
    Path& add(int number) {
        char digits[12];
        unsigned count = 0;
        do {
            digits[count++] = static_cast<char>('0' + number % 10);
            number /= 10;
        } while (number > 0);
        while (count > 0) {
            put(digits[--count]);
        }
        return *this;
    }
    [[nodiscard]] const char* text() const { return text_; }

private:
    void put(char character) {
        if (size_ + 1 < sizeof text_) {
            text_[size_++] = character;
        }
    }

    char text_[64]{};
    unsigned size_ = 0;
};

// 0 if the text does not begin with a number.
int number_at(const char* text) {
    int number = 0;
    for (; is_digit(*text); ++text) {
        number = number * 10 + (*text - '0');
    }
    return number;
}

// `visit(name)` for each entry of a directory whose name is a number.
template <typename Visit>
void for_each_number(int directory, Visit visit) {
    for_each_entry(directory, [&](const DirectoryEntry& entry) {
        if (is_digit(entry.name[0])) {  // NOLINT(clang-analyzer-core.CallAndMessage): the kernel has written it
            visit(entry.name);
        }
    });
}

void add(int pid, bool kill) {
    if (kill) {
        system::signal(pid, SIGKILL);
    }
    if (found_count < most_processes) {
        found[found_count++] = pid;
    }
}

// False if this kernel has no such files.
bool add_children(int pid, bool kill) {
    const long tasks =
        system::open_at(AT_FDCWD, Path().add("/proc/").add(pid).add("/task").text(), O_RDONLY | O_DIRECTORY);
    if (tasks < 0) {
        return true;  // it has gone
    }
    bool has_file = false;
    bool has_task = false;
    for_each_number(static_cast<int>(tasks), [&](const char* task) {
        const long fd = system::open_at(static_cast<int>(tasks), Path().add(task).add("/children").text(), O_RDONLY);
        has_task = true;
        if (fd >= 0) {
            has_file = true;
            for_each_listed(static_cast<int>(fd), [&](int child) { add(child, kill); });
            system::close(static_cast<int>(fd));
        }
    });
    system::close(static_cast<int>(tasks));
    return has_file || !has_task;
}

// --- Without children files: who is whose child is asked of every process of the system.

struct Census {
    int pids[most_processes];
    int parents[most_processes];
    unsigned char descends[most_pids / 8];  // a bit for each number
};

constinit Census* census = nullptr;

// Mapped when it is first needed: on most kernels never.
bool prepare_census() {
    if (census == nullptr) {
        const long at =
            system::call(__NR_mmap, 0, sizeof(Census), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        census = at < 0 ? nullptr : reinterpret_cast<Census*>(at);
    }
    return census != nullptr;
}

bool is_marked(int pid) {
    const auto number = static_cast<unsigned>(pid);
    return number < most_pids && (census->descends[number / 8] >> (number % 8) & 1U) != 0;
}

void mark(int pid, bool value) {
    const auto number = static_cast<unsigned>(pid);
    if (number < most_pids) {
        unsigned char& byte = census->descends[number / 8];
        const unsigned bit = 1U << (number % 8);
        byte = static_cast<unsigned char>(value ? byte | bit : byte & ~bit);
    }
}

// 0 if it has gone. "PID (NAME) STATE PPID …", and the name may hold anything, brackets too, so its end is the last
// one.
int parent_of(int proc, const char* pid) {
    const long fd = system::open_at(proc, Path().add(pid).add("/stat").text(), O_RDONLY);
    if (fd < 0) {
        return 0;
    }
    char text[512];
    const long size = system::read(static_cast<int>(fd), text, sizeof text - 1);
    system::close(static_cast<int>(fd));
    if (size <= 0) {
        return 0;
    }
    text[size] = '\0';
    long at = size - 1;
    while (at > 0 && text[at] != ')') {
        --at;
    }
    return size - at > 4 ? number_at(text + at + 4) : 0;
}

unsigned read_all_processes() {
    const long proc = system::open_at(AT_FDCWD, "/proc", O_RDONLY | O_DIRECTORY);
    if (proc < 0) {
        return 0;
    }
    unsigned count = 0;
    for_each_number(static_cast<int>(proc), [&](const char* name) {
        const int parent = count < most_processes ? parent_of(static_cast<int>(proc), name) : 0;
        if (parent != 0) {
            census->pids[count] = number_at(name);
            census->parents[count++] = parent;
        }
    });
    system::close(static_cast<int>(proc));
    return count;
}

// Answers how many of them are children of `self`.
unsigned find_by_parents(int self, bool kill) {
    if (!prepare_census()) {
        return 0;
    }
    const unsigned count = read_all_processes();
    unsigned children = 0;
    mark(self, true);
    for (unsigned before = most_processes; before != found_count;) {
        before = found_count;
        for (unsigned i = 0; i < count; ++i) {
            if (is_marked(census->parents[i]) && !is_marked(census->pids[i])) {
                mark(census->pids[i], true);
                children += census->parents[i] == self ? 1 : 0;
                add(census->pids[i], kill);
            }
        }
    }
    for (unsigned i = 0; i < found_count; ++i) {
        mark(found[i], false);
    }
    return children;
}

}  // namespace

unsigned Descendants::signal_all(int number) {
    const bool kill = number == SIGKILL;
    const int self = system::process_id();
    unsigned children = 0;
    found_count = 0;
    if (!without_children_files_) {
        without_children_files_ = !add_children(self, kill);
        children = found_count;
        for (unsigned next = 0; next < found_count; ++next) {
            add_children(found[next], kill);
        }
    }
    if (without_children_files_) {
        children = find_by_parents(self, kill);
    }
    for (unsigned i = 0; !kill && i < found_count; ++i) {
        system::signal(found[i], number);
    }
    return children;
}

}  // namespace proctor::keeper
