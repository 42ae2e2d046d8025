// SPDX-License-Identifier: MIT
//
// Shows that the room of tests/vm/run is what the cgroup tests take it for: the kernel kills by memory.max and refuses
// by pids.max, both written by hand, without any of the library. Anywhere else it has nothing to show.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

namespace {

constexpr std::size_t MIB = std::size_t{1} << 20;

unsigned failures = 0;

void check(bool good, const std::string& what) {
    std::printf("%s: %s\n", good ? "ok" : "FAILED", what.c_str());
    if (!good) ++failures;
}

std::string read_file(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

bool write_file(const std::string& path, const std::string& text) {
    std::ofstream file(path);
    file << text << std::flush;
    return file.good();
}

/// The number behind a key in one of the files made of such lines; -1 without the key.
long number_in(const std::string& path, const std::string& key) {
    std::istringstream lines(read_file(path));
    std::string name;
    for (long value = 0; lines >> name >> value;) {
        if (name == key) return value;
    }
    return -1;
}

/// A cgroup that is removed at the end of its scope.
class Group {
public:
    explicit Group(std::string path) : path_(std::move(path)) { std::filesystem::create_directory(path_); }
    Group(const Group&) = delete;
    Group& operator=(const Group&) = delete;
    ~Group() { rmdir(path_.c_str()); }

    [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }

private:
    std::string path_;
};

/// Runs `body` in a process inside the group; the status is that of waitpid.
template <typename Body>
int run_inside(const Group& group, Body body) {
    std::fflush(stdout);
    const pid_t pid = fork();
    if (pid < 0) return -1;
    if (pid == 0) {
        if (!write_file(group.file("cgroup.procs"), "0")) _exit(99);
        _exit(body());
    }
    int status = 0;
    return waitpid(pid, &status, 0) == pid ? status : -1;
}

int eat(std::size_t size) {
    void* const memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return 98;
    std::memset(memory, 1, size);
    return 0;
}

/// The errno of the first fork that is refused, or 0 if none of the first ten is.
int fork_until_refused() {
    int refused = 0;
    for (int i = 0; i < 10 && refused == 0; ++i) {
        const pid_t pid = fork();
        if (pid < 0) refused = errno;
        if (pid == 0) {
            pause();
            _exit(0);
        }
    }
    // Those that were forked are in this one's process group, which it leads. A group with one of them is not removed.
    std::signal(SIGTERM, SIG_IGN);
    kill(0, SIGTERM);
    while (wait(nullptr) > 0) {
    }
    return refused;
}

void check_memory(const std::string& parent) {
    const Group group(parent + "/room_test");
    const auto status_of_eater = [&] { return run_inside(group, [] { return eat(64 * MIB); }); };

    check(status_of_eater() == 0, "64 MiB are eaten in peace where memory.max is not set");
    check(number_in(group.file("memory.events"), "oom_kill") == 0, "memory.events has oom_kill 0 then");

    check(write_file(group.file("memory.max"), std::to_string(32 * MIB)), "memory.max can be written");
    const int status = status_of_eater();
    check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "the same eater is killed where memory.max is 32 MiB");
    check(number_in(group.file("memory.events"), "oom_kill") == 1, "memory.events has oom_kill 1 then");
}

void check_tasks(const std::string& parent) {
    const Group group(parent + "/room_test");
    check(write_file(group.file("pids.max"), "3"), "pids.max can be written");
    const int status = run_inside(group, [] {
        setpgid(0, 0);
        return fork_until_refused();
    });
    check(WIFEXITED(status) && WEXITSTATUS(status) == EAGAIN, "the fourth task is refused where pids.max is 3");
    check(number_in(group.file("pids.events"), "max") == 1, "pids.events has max 1 then");
}

}  // namespace

int main() {
    const char* const given = std::getenv("PROCTOR_ROOM_CGROUP");
    if (given == nullptr) {
        std::puts(
            "SKIPPED: only tests/vm/run gives a cgroup with the memory and pids controllers (PROCTOR_ROOM_CGROUP)");
        return 77;
    }
    const std::string parent = given;

    check(read_file("/proc/self/cgroup") == "0::/proctor/runner\n", "the suite is in a leaf of its own");
    check(read_file(parent + "/cgroup.procs").empty(), "the group for the tests is empty");
    const std::string controllers = read_file(parent + "/cgroup.controllers");
    for (const char* const name : {"cpuset", "cpu", "io", "memory", "pids"}) {
        std::istringstream words(controllers);
        bool found = false;
        for (std::string word; words >> word;) found = found || word == name;
        check(found, std::string("the group for the tests has the controller ") + name);
    }
    check(write_file(parent + "/cgroup.subtree_control", "+memory +pids"), "the tests may pass controllers on");
    check_memory(parent);
    check_tasks(parent);
    return failures == 0 ? 0 : 1;
}
