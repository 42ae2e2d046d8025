// SPDX-License-Identifier: MIT
#include "machine.hpp"

#include <sched.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <fstream>
#include <numeric>
#include <sstream>
#include <string_view>

namespace bench {

namespace {

std::string first_line(const char* path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

std::string processor_model() {
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
        // Not every architecture has this line.
        constexpr std::string_view key = "model name";
        if (const std::size_t colon = line.find(": "); line.compare(0, key.size(), key) == 0 && colon != line.npos) {
            return line.substr(colon + 2);
        }
    }
    return "model unknown";
}

int processors_allowed() {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    return ::sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed) : 0;
}

double processor_seconds(const rusage& usage) {
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

std::string describe_machine() {
    utsname kernel{};
    ::uname(&kernel);
    // A virtual machine has none.
    const std::string governor = first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    std::ostringstream text;
    text << kernel.sysname << ' ' << kernel.release << ' ' << kernel.machine << ", " << processors_allowed()
         << " processors (" << processor_model() << "), governor " << (governor.empty() ? "unknown" : governor);
    return text.str();
}

Disturbance::Disturbance() : begin_(read_clocks()) {}

std::optional<int> Disturbance::percent() const {
    const auto end = read_clocks();
    if (!begin_ || !end || end->all <= begin_->all) {
        return std::nullopt;
    }
    const double all = end->all - begin_->all;
    const double others = all - (end->idle - begin_->idle) - (end->own - begin_->own);
    return static_cast<int>(std::lround(std::clamp(others / all, 0.0, 1.0) * 100));
}

std::optional<Disturbance::Clocks> Disturbance::read_clocks() {
    // cpu user nice system idle iowait irq softirq steal, all processors together (proc_stat(5)); guest time, which
    // follows, is part of user time already.
    constexpr std::size_t first_idle = 3;
    constexpr std::size_t last_idle = 4;
    std::ifstream file("/proc/stat");
    std::string word;
    std::array<double, 8> ticks{};
    file >> word;
    for (double& each : ticks) {
        file >> each;
    }
    if (!file) {
        return std::nullopt;
    }
    const auto per_second = static_cast<double>(::sysconf(_SC_CLK_TCK));
    rusage self{};
    rusage children{};
    ::getrusage(RUSAGE_SELF, &self);
    ::getrusage(RUSAGE_CHILDREN, &children);
    Clocks clocks;
    clocks.all = std::accumulate(ticks.begin(), ticks.end(), 0.0) / per_second;
    clocks.idle = (ticks[first_idle] + ticks[last_idle]) / per_second;
    clocks.own = processor_seconds(self) + processor_seconds(children);
    return clocks;
}

}  // namespace bench
