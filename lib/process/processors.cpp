// SPDX-License-Identifier: MIT
#include "process/processors.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <iterator>

namespace proctor::detail {

std::vector<unsigned> allowed_processors() {
    // One cpu_set_t is too small where the kernel may know more than 1024: EINVAL.
    std::array<cpu_set_t, processor_numbers_end / CPU_SETSIZE> sets{};
    std::vector<unsigned> found;
    if (::sched_getaffinity(0, sizeof sets, sets.data()) != 0) {
        return found;
    }
    for (unsigned each = 0; each < processor_numbers_end; ++each) {
        if (CPU_ISSET(each % CPU_SETSIZE, &sets[each / CPU_SETSIZE])) {
            found.push_back(each);
        }
    }
    return found;
}

unsigned count_processors() noexcept {
    const long count = ::sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? static_cast<unsigned>(count) : processor_numbers_end;
}

std::optional<unsigned> current_processor() noexcept {
    const int number = ::sched_getcpu();
    return number >= 0 ? std::optional(static_cast<unsigned>(number)) : std::nullopt;
}

std::vector<unsigned> choose_processors(Placement placement, const std::vector<unsigned>& of_host,
                                        std::optional<unsigned> reactors) {
    std::vector<unsigned> chosen;
    switch (placement.kind()) {
        case Placement::Kind::any: break;
        case Placement::Kind::with_reactor:
            if (reactors) {
                chosen.push_back(*reactors);
            }
            break;
        case Placement::Kind::apart:
            std::copy_if(of_host.begin(), of_host.end(), std::back_inserter(chosen),
                         [&](unsigned each) { return each != reactors; });
            break;
        case Placement::Kind::slot:
            if (!of_host.empty()) {
                chosen.push_back(of_host[placement.number() % of_host.size()]);
            }
            break;
    }
    return chosen;
}

}  // namespace proctor::detail
