// SPDX-License-Identifier: MIT
//
// What all playbacks have in common: forward, back to the start, and to a time.
#include <chrono>
#include <string>
#include <vector>

#include <proctor/playback.hpp>

#include "support.hpp"

using namespace std::chrono_literals;
using proctor::CaptureRecord;
using std::chrono::nanoseconds;

namespace {

class Listed final : public proctor::CapturePlaybackBase {
public:
    explicit Listed(std::vector<CaptureRecord> records) : records_(std::move(records)) {}

    std::size_t breaks_at = SIZE_MAX;

private:
    std::optional<CaptureRecord> read() override {
        if (place_ == breaks_at) {
            fail({proctor::Stage::io, 5, "broken", ""});
            return std::nullopt;
        }
        return place_ < records_.size() ? std::optional(records_[place_++]) : std::nullopt;
    }
    void start_over() override { place_ = 0; }

    std::vector<CaptureRecord> records_;
    std::size_t place_ = 0;
};

Listed letters() {
    return Listed({{.time = 1ms, .data = "a"},
                   {.time = 2ms, .data = "b"},
                   {.time = 2ms, .data = "c"},
                   {.time = 5ms, .data = "d"}});
}

std::string rest_of(proctor::CapturePlaybackBase& playback) {
    std::string text;
    for (const CaptureRecord& record : playback) text += record.data;
    return text;
}

}  // namespace

TEST_CASE("records come in order, once, and again after a rewind") {
    Listed playback = letters();
    CHECK(rest_of(playback) == "abcd");
    CHECK(rest_of(playback).empty());
    playback.rewind();
    CHECK(playback.next()->data == "a");
    CHECK(rest_of(playback) == "bcd");
}

TEST_CASE("a time is skipped to from everywhere, and its first record is the next") {
    struct Case {
        nanoseconds time;
        const char* rest;
    };
    const std::vector<Case> cases = {{0ms, "abcd"}, {1ms, "abcd"}, {1500us, "bcd"}, {2ms, "bcd"},
                                     {3ms, "d"},    {5ms, "d"},    {6ms, ""},       {-1ms, "abcd"}};
    for (int read_before = 0; read_before <= 5; ++read_before) {
        for (const Case& first : cases) {
            for (const Case& second : cases) {
                Listed playback = letters();
                for (int i = 0; i < read_before; ++i) (void)playback.next();
                playback.skip_to(first.time);
                playback.skip_to(second.time);
                CAPTURE(read_before);
                CAPTURE(first.time.count());
                CAPTURE(second.time.count());
                CHECK(rest_of(playback) == second.rest);
            }
        }
    }
}

TEST_CASE("after an error nothing comes until a rewind") {
    Listed playback = letters();
    playback.breaks_at = 2;
    CHECK(rest_of(playback) == "ab");
    REQUIRE(playback.error());
    CHECK(playback.error()->message == "broken");
    CHECK_FALSE(playback.next());
    playback.skip_to(5ms);
    CHECK_FALSE(playback.next());
    playback.breaks_at = SIZE_MAX;
    playback.rewind();
    CHECK_FALSE(playback.error());
    CHECK(rest_of(playback) == "abcd");
}
