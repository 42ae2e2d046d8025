// SPDX-License-Identifier: MIT
//
// Whatever the texts of /proc hold, reading them ends and gives numbers that can be.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "accounting/memory_sample.hpp"
#include "accounting/process_stat.hpp"
#include "accounting/wait_words.hpp"
#include "require.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace proctor::detail;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    if (const auto stat = parse_process_stat(text, 100)) {
        require(stat->utime.count() >= 0 && stat->stime.count() >= 0);
        require(stat->waited_utime.count() >= 0 && stat->waited_stime.count() >= 0);
    }
    for (const auto& sample : {parse_memory_status(text), parse_memory_rollup(text)}) {
        if (sample) {
            require(sample->anonymous >= 0 && sample->file >= 0 && sample->shared >= 0 && sample->swapped >= 0);
        }
    }
    if (const auto call = parse_system_call(text)) {
        require(!words_for_call(*call, "stdin").empty());
    }
    require(!words_for_function(text).empty());
    return 0;
}
