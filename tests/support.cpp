// SPDX-License-Identifier: MIT
#include "support.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <stdexcept>
#include <thread>

#ifdef PROCTOR_COUNTS_LINES
extern "C" void __gcov_dump();  // NOLINT(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp)
#endif

namespace support {

namespace {

constexpr int patience_ms = 60'000;

unsigned skips = 0;

// Where the tests have been moved, as into the virtual machine, it is not where the build left it.
std::string keeper_of(const proctor::ReactorOptions& options) {
    const char* const built = std::getenv("PROCTOR_KEEPER");
    return options.keeper.empty() && built != nullptr ? built : options.keeper;
}

[[noreturn]] void give_up(const std::string& what) { throw std::runtime_error(what + ": " + std::strerror(errno)); }

std::string excerpt(const std::string& text) {
    constexpr std::size_t shown_max = 400;
    if (text.size() <= shown_max) return text;
    return text.substr(0, shown_max) + "… (" + std::to_string(text.size()) + " bytes)";
}

bool await_readable(int fd) {
    pollfd entry{fd, POLLIN, 0};
    int ready = 0;
    do {
        ready = poll(&entry, 1, patience_ms);
    } while (ready < 0 && errno == EINTR);
    return ready > 0;
}

std::vector<std::string> directory_entries(const char* path) {
    std::vector<std::string> names;
    DIR* directory = opendir(path);
    if (directory == nullptr) give_up(path);
    const std::string own = std::to_string(dirfd(directory));
    while (const dirent* entry = readdir(directory)) {
        if (entry->d_name[0] != '.' && entry->d_name != own) names.emplace_back(entry->d_name);
    }
    closedir(directory);
    return names;
}

}  // namespace

const std::string& child() {
    static const std::string path = [] {
        const char* value = std::getenv("PROCTOR_TEST_CHILD");
        if (value == nullptr || access(value, X_OK) != 0) {
            std::fputs("PROCTOR_TEST_CHILD must name the helper program\n", stderr);
            std::abort();
        }
        return std::string(value);
    }();
    return path;
}

proctor::Job script(std::string_view words) {
    std::istringstream in{std::string(words)};
    std::vector<std::string> split;
    for (std::string word; in >> word;) split.push_back(word);
    return script(std::move(split));
}

proctor::Job script(std::vector<std::string> words) {
    proctor::Job job;
    job.argv = std::move(words);
    job.argv.insert(job.argv.begin(), child());
    return job;
}

proctor::RunResult run_in(proctor::Containment containment, proctor::Job job) {
    proctor::Reactor reactor = make_reactor({.containment = containment});
    proctor::RunResult result;
    reactor.submit(std::move(job), [&](proctor::RunResult&& ended) { result = std::move(ended); });
    REQUIRE(reactor.run());
    return result;
}

std::string engine() {
    const char* const told = std::getenv("PROCTOR_SUITE_ENGINE");
    if (told != nullptr) return told;
    return kernel_is_at_least(6, 1) ? "io_uring" : "poll";
}

bool kernel_is_at_least(int major, int minor) {
    utsname name{};
    int its_major = 0;
    int its_minor = 0;
    uname(&name);
    return std::sscanf(name.release, "%d.%d", &its_major, &its_minor) == 2 &&
           std::pair(its_major, its_minor) >= std::pair(major, minor);
}

int rounds(int wanted) {
    if (const char* const told = std::getenv("PROCTOR_ROUNDS"); told != nullptr) return std::max(std::atoi(told), 1);
    const char* const divisor = std::getenv("PROCTOR_REPEAT_DIVISOR");
    return std::max(divisor != nullptr ? wanted / std::max(std::atoi(divisor), 1) : wanted, 2);
}

const std::vector<proctor::Containment>& containments() {
    static const std::vector<proctor::Containment> found = [] {
        std::vector<proctor::Containment> kinds;
        for (const auto kind :
             {proctor::Containment::cgroup, proctor::Containment::keeper, proctor::Containment::tree}) {
            if (const auto reactor = proctor::Reactor::create({.containment = kind, .keeper = keeper_of({})})) {
                kinds.push_back(kind);
            } else {
                skip(std::string(name_of(kind)) + ": " + reactor.error().message);
            }
        }
        return kinds;
    }();
    return found;
}

std::string_view name_of(proctor::Containment containment) {
    switch (containment) {
        case proctor::Containment::automatic: return "automatic";
        case proctor::Containment::cgroup: return "cgroup";
        case proctor::Containment::keeper: return "keeper";
        case proctor::Containment::tree: return "tree";
    }
    return "";
}

proctor::RunResult run_script(std::string_view words) { return proctor::run(script(words)); }

std::string describe(const proctor::RunResult& result) {
    std::ostringstream out;
    out << result.outcome;
    if (result.reason) out << ", reason " << *result.reason;
    if (result.returncode) out << ", returncode " << *result.returncode;
    if (result.error) out << ", error " << *result.error;
    out << "\nstdout: " << excerpt(result.capture.text(proctor::STDOUT))
        << "\nstderr: " << excerpt(result.capture.text(proctor::STDERR));
    return out.str();
}

std::string describe(const proctor::PairResult& result) {
    return "first: " + describe(result.first) + "\nsecond: " + describe(result.second) +
           "\nended first: " + std::string(to_string(result.ended_first));
}

bool ended_before(const proctor::PairResult& result, proctor::Side side, proctor::Wiring wiring) {
    const bool tie = wiring == proctor::Wiring::direct && result.ended_first == proctor::Side::tie;
    return result.ended_first == side || tie;
}

std::string output_of(proctor::Job job) {
    const proctor::RunResult result = proctor::run(std::move(job));
    INFO(describe(result));
    CHECK(result.passed());
    return result.capture.text(proctor::STDOUT);
}

void skip(const std::string& reason) {
    ++skips;
    std::printf("SKIPPED: %s\n", reason.c_str());
    std::fflush(stdout);
}

unsigned skip_count() { return skips; }

void Fd::reset() {
    if (number_ >= 0) close(number_);
    number_ = -1;
}

Pipe::Pipe() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) give_up("pipe2");
    read_end = Fd(ends[0]);
    write_end = Fd(ends[1]);
}

TempDir::TempDir() {
    std::string path = (std::filesystem::temp_directory_path() / "proctor-test-XXXXXX").string();
    if (mkdtemp(path.data()) == nullptr) give_up("mkdtemp");
    std::filesystem::permissions(path, std::filesystem::perms(0755));
    path_ = std::filesystem::canonical(path).string();
}

TempDir::~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

std::string TempDir::write(std::string_view name, std::string_view content, unsigned mode) const {
    std::string path = file(name);
    const Fd fd = open_file(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fchmod(fd.get(), mode) != 0) give_up("fchmod");
    write_all(fd.get(), content);
    return path;
}

std::string TempDir::copy_child(std::string_view name) const { return write(name, read_file(child()), 0755); }

Witness::Witness(proctor::Job& job) { job.descriptors.push_back({.from = pipe_.write_end.get(), .to = 9}); }

bool Witness::all_gone() {
    pipe_.write_end.reset();
    return await_end(pipe_.read_end.get());
}

bool Witness::anybody_left() {
    pipe_.write_end.reset();
    pollfd entry{pipe_.read_end.get(), POLLIN, 0};
    return poll(&entry, 1, 0) == 0;
}

Fd open_file(const std::string& path, int flags, unsigned mode) {
    Fd fd(open(path.c_str(), flags, mode));
    if (fd.get() < 0) give_up(path);
    return fd;
}

std::string read_file(const std::string& path) {
    const Fd fd = open_file(path, O_RDONLY | O_CLOEXEC);
    return read_to_end(fd.get());
}

std::string read_to_end(int fd) {
    std::string all;
    std::string buffer(1 << 16, '\0');
    for (;;) {
        const ssize_t count = read(fd, buffer.data(), buffer.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) give_up("read");
        if (count == 0) return all;
        all.append(buffer, 0, static_cast<std::size_t>(count));
    }
}

void write_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t count = write(fd, bytes.data(), bytes.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) give_up("write");
        bytes.remove_prefix(static_cast<std::size_t>(count));
    }
}

bool await_byte(int fd) {
    char byte = 0;
    return await_readable(fd) && read(fd, &byte, 1) == 1;
}

bool await_end(int fd) {
    char buffer[4096];
    while (await_readable(fd)) {
        const ssize_t count = read(fd, buffer, sizeof buffer);
        if (count == 0) return true;
        if (count < 0 && errno != EINTR) give_up("read");
    }
    return false;
}

std::string pattern(std::size_t size) {
    std::string bytes(size, '\0');
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i ^ (i >> 8) ^ (i >> 16) ^ (i >> 24));
    return bytes;
}

std::string repeat(std::string_view text, std::size_t times) {
    std::string all;
    all.reserve(text.size() * times);
    for (std::size_t i = 0; i < times; ++i) all += text;
    return all;
}

std::set<int> open_descriptors() {
    std::set<int> numbers;
    for (const std::string& name : directory_entries("/proc/self/fd")) numbers.insert(std::stoi(name));
    return numbers;
}

std::vector<std::string> other_threads() {
    const std::string own = std::to_string(syscall(SYS_gettid));
    std::vector<std::string> names;
    for (const std::string& task : directory_entries("/proc/self/task")) {
        if (task == own) continue;
        std::string name;
        try {
            name = read_file("/proc/self/task/" + task + "/comm");
        } catch (const std::runtime_error&) {
            continue;  // it has gone in the meantime
        }
        if (!name.empty() && name.back() == '\n') name.pop_back();
        if (name.rfind("iou-", 0) != 0) names.push_back(name + " (" + task + ")");
    }
    return names;
}

std::vector<std::string> threads_left() {
    using namespace std::chrono_literals;
    const auto until = std::chrono::steady_clock::now() + 10s;
    std::vector<std::string> names = other_threads();
    while (!names.empty() && std::chrono::steady_clock::now() < until) {
        std::this_thread::yield();
        names = other_threads();
    }
    return names;
}

bool has_children() {
    const pid_t found = waitpid(-1, nullptr, WNOHANG | __WALL);
    if (found < 0) return errno != ECHILD;
    if (found > 0) return true;
    // A reactor that lives has a guard.
    for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
        std::istringstream children(read_file(thread.path().string() + "/children"));
        for (std::string pid; children >> pid;) {
            if (read_file("/proc/" + pid + "/cmdline").find(std::string("\0guard\0", 7)) == std::string::npos)
                return true;
        }
    }
    return false;
}

std::string status_field(const std::string& process, std::string_view field) {
    const std::string text = read_file("/proc/" + process + "/status");
    const std::string key = "\n" + std::string(field) + ":";
    const std::size_t at = text.find(key);
    if (at == std::string::npos) return {};
    const std::size_t begin = text.find_first_not_of(" \t", at + key.size());
    return text.substr(begin, text.find('\n', begin) - begin);
}

// With a limit that leaves exactly those free that are wanted: below it all others are taken.
DescriptorsLeft::DescriptorsLeft(int count) {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) give_up("getrlimit");
    before_ = limit.rlim_cur;
    std::vector<Fd> free;
    while (free.size() < static_cast<std::size_t>(count) || free.empty())
        free.emplace_back(fcntl(0, F_DUPFD_CLOEXEC, 0));
    limit.rlim_cur = static_cast<rlim_t>(free.back().get()) + (count > 0 ? 1 : 0);
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) give_up("setrlimit");
}

DescriptorsLeft::~DescriptorsLeft() {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = before_;
    setrlimit(RLIMIT_NOFILE, &limit);
}

void leave(int status) {
#ifdef PROCTOR_COUNTS_LINES
    // They are added to files. A host that may not write those as a whole must not begin to.
    for (const auto resource : {RLIMIT_NOFILE, RLIMIT_FSIZE}) {
        rlimit limit{};
        getrlimit(resource, &limit);
        limit.rlim_cur = limit.rlim_max;
        setrlimit(resource, &limit);
        if (resource == RLIMIT_FSIZE && limit.rlim_max == RLIM_INFINITY) __gcov_dump();
    }
#endif
    _exit(status);
}

std::string in_host(const std::function<std::string()>& host) {
    Pipe report;
    std::fflush(nullptr);
    const pid_t pid = fork();
    if (pid < 0) give_up("fork");
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        // Away from the low numbers, which some hosts close.
        const int report_fd = fcntl(report.write_end.get(), F_DUPFD_CLOEXEC, 500);
        report.write_end.reset();
        report.read_end.reset();
        std::string answer;
        try {
            answer = host();
        } catch (const std::exception& failure) {
            answer = failure.what();
        } catch (...) {
            answer = "a failed doctest requirement";
        }
        write_all(report_fd, answer);
        leave(0);
    }
    report.write_end.reset();
    std::string answer = read_to_end(report.read_end.get());
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFSIGNALED(status)) answer += "the host was killed by signal " + std::to_string(WTERMSIG(status));
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0) {
        answer += "the host ended with status " + std::to_string(WEXITSTATUS(status));
    }
    return answer;
}

proctor::Reactor make_reactor(const proctor::ReactorOptions& options) {
    proctor::ReactorOptions all = options;
    all.keeper = keeper_of(all);
    auto reactor = proctor::Reactor::create(all);
    if (!reactor) {
        std::ostringstream text;
        text << reactor.error();
        throw std::runtime_error(text.str());
    }
    return std::move(*reactor);
}

}  // namespace support
