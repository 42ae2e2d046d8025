// SPDX-License-Identifier: MIT
//
// Lines that are numbered across both output streams, as the helper's `alternate-runs` writes them, so that what is
// true of their order is known; and what makes a reader slow.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "support.hpp"

namespace numbered {

inline proctor::Job exact(std::string_view words) {
    proctor::Job job = support::script(words);
    job.order = proctor::Order::exact;
    return job;
}

// Instrumented code takes minutes for what the plain one does in seconds.
inline int line_count() { return support::sanitized ? 2'000 : std::max(20'000, support::rounds(200'000)); }

inline std::string runs(int lines, int seed, int longest) {
    return "alternate-runs " + std::to_string(lines) + " " + std::to_string(seed) + " " + std::to_string(longest);
}

inline std::vector<std::int64_t> numbers(std::string_view text) {
    std::vector<std::int64_t> found;
    const char* const end = text.data() + text.size();
    for (const char* at = text.data(); at < end; ++at) {
        std::int64_t value = -1;
        at = std::from_chars(at, end, value).ptr;
        found.push_back(at < end && *at == '\n' ? value : -1);
    }
    return found;
}

struct Findings {
    std::int64_t next = 0;       // lines told so far
    std::int64_t misplaced = 0;  // that are not the next number
    std::int64_t ambiguous = 0;
};

// One record after another, as an observer gets them or a capture has them.
inline void look(Findings& findings, const proctor::CaptureRecord& record) {
    findings.ambiguous += record.ambiguous;
    for (const std::int64_t number : numbers(record.data)) {
        findings.misplaced += number != findings.next++;
    }
}

// What pipe mode promises: of two records in the wrong order both are marked.
struct PipeFindings {
    int records = 0;
    int ambiguous = 0;
    int wrong = 0;     // records that a line of the other stream, of a later record, should precede
    int unmarked = 0;  // of these, or of those that they are wrong with
    std::array<std::int64_t, 3> last{-1, -1, -1};
    std::array<std::int64_t, 3> last_proven{-1, -1, -1};
};

inline void look(PipeFindings& findings, const proctor::CaptureRecord& record) {
    const std::vector<std::int64_t> found = numbers(record.data);
    REQUIRE_FALSE(found.empty());
    const proctor::Stream other = record.stream == proctor::STDOUT ? proctor::STDERR : proctor::STDOUT;
    const std::int64_t first = *std::min_element(found.begin(), found.end());
    const std::int64_t last = *std::max_element(found.begin(), found.end());
    REQUIRE(first >= 0);
    ++findings.records;
    findings.ambiguous += record.ambiguous;
    findings.wrong += findings.last[other] > first;
    findings.unmarked += (record.ambiguous ? findings.last_proven : findings.last)[other] > first;
    findings.last[record.stream] = std::max(findings.last[record.stream], last);
    if (!record.ambiguous) findings.last_proven[record.stream] = findings.last[record.stream];
}

// Stops both streams for a while after each so many records: until another job has ended.
class Hindrance {
public:
    Hindrance(proctor::Reactor& reactor, proctor::JobHandle& handle, int every)
        : reactor_(reactor), handle_(handle), every_(every) {}

    void after_record() {
        if (++records_ % every_ != 0) return;
        const bool one = records_ / every_ % 2 == 0;
        handle_.pause_output(one ? proctor::STDOUT : proctor::STDERR);
        if (records_ / every_ % 3 == 0) handle_.pause_output(one ? proctor::STDERR : proctor::STDOUT);
        reactor_.submit(support::script("exit 0"), [this](const proctor::RunResult&) {
            handle_.resume_output(proctor::STDOUT);
            handle_.resume_output(proctor::STDERR);
        });
    }

private:
    proctor::Reactor& reactor_;
    proctor::JobHandle& handle_;
    int every_;
    int records_ = 0;
};

inline void submit_floods(proctor::Reactor& reactor) {
    for (int i = 0; i < 3; ++i) {
        proctor::Job flood = support::script("fill 1 4000000 then fill 2 4000000");
        flood.capture.keep = false;
        reactor.submit(flood);
    }
}

inline std::string records_of(const proctor::Capture& capture) {
    std::string text;
    auto playback = capture.playback();
    for (const proctor::CaptureRecord& record : playback) {
        text += std::to_string(record.stream) + ":" + std::string(record.data) + (record.truncated ? "-" : "") +
                (record.ambiguous ? "?" : "") + " ";
    }
    return text;
}

}  // namespace numbered
