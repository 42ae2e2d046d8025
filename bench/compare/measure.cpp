// SPDX-License-Identifier: MIT
#include "measure.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <vector>

#include "workloads.hpp"

namespace compare {

namespace {

template <typename Named>
const Named& find(const std::vector<Named>& all, const std::string& name) {
    const auto found = std::find_if(all.begin(), all.end(), [&](const Named& each) { return each.name == name; });
    if (found == all.end()) {
        throw std::runtime_error("there is no " + name);
    }
    return *found;
}

// Reasons are short texts of our own and of system calls: nothing but these needs an escape.
std::string quoted(const std::string& text) {
    std::string result = "\"";
    for (const char each : text) {
        if (each == '"' || each == '\\') {
            result += '\\';
        }
        result += each == '\n' ? ' ' : each;
    }
    return result + '"';
}

void print(const Figures& figures) {
    const char* separator = "{";
    for (const auto& figure : figures) {
        if (!std::isfinite(figure.second)) {
            throw std::runtime_error(figure.first + " is not a number");
        }
        std::printf("%s\"%s\":%.9g", separator, figure.first.c_str(), figure.second);
        separator = ",";
    }
    std::printf("}\n");
}

}  // namespace

int measure(const std::string& workload, const std::string& peer, bool quick) {
    try {
        const Workload& work = find(all_workloads(), workload);
        const std::unique_ptr<Peer> contender = find(all_contenders(), peer).make();
        print(work.measure(*contender, quick));
        return 0;
    } catch (const Unavailable& reason) {
        std::printf("{\"unavailable\":%s}\n", quoted(reason.what()).c_str());
        return 0;
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "compare: %s, %s: %s\n", workload.c_str(), peer.c_str(), failure.what());
        return 1;
    }
}

void raise_descriptor_limit() {
    // 10,000 children take three each and more. Only root may have more than the hard limit.
    constexpr rlim_t wanted = 131'072;
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    const rlimit raised{std::max(limit.rlim_cur, wanted), std::max(limit.rlim_max, wanted)};
    if (::setrlimit(RLIMIT_NOFILE, &raised) < 0) {
        limit.rlim_cur = limit.rlim_max;
        ::setrlimit(RLIMIT_NOFILE, &limit);
    }
}

}  // namespace compare
