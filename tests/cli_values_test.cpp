// SPDX-License-Identifier: MIT
//
// Values on the command line: what each form means, and that all else is refused with a sentence that says what would
// be right.
#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support.hpp"
#include "values.hpp"

using namespace std::chrono_literals;
using namespace std::string_literals;
using namespace proctor::literals;
using namespace proctor::cli;

TEST_CASE("durations") {
    const std::vector<std::pair<const char*, std::chrono::nanoseconds>> table = {
        {"1", 1s},
        {"0", 0s},
        {"1.5", 1500ms},
        {".5", 500ms},
        {"007", 7s},
        {"1.5s", 1500ms},
        {"10us", 10us},
        {"200ms", 200ms},
        {"0.5ms", 500us},
        {"2m", 2min},
        {"1.5m", 90s},
        {"1h", 1h},
        {"0.25h", 15min},
        {"1:30", 90s},
        {"0:05", 5s},
        {"00:00", 0s},
        {"90:00", 90min},
        {"1:02:03", 3723s},
        {"100:00:00", 100h},
        {"0.000000001", 1ns},
        {"0.0000000019", 1ns},
        {"0.0000000009", 0ns},
        {"1.9999us", 1999ns},
        {"0.00000000000027777777777777777777777777777777777777777777777778h", 1ns},
        {"0.00000000000027777777777777777777777777777777777777777777777777h", 0ns},
        {"3153600000", 876000h},
        {"876000h", 876000h},
        {"876000:00:00", 876000h},
    };
    for (const auto& row : table) {
        const char* const text = row.first;
        INFO(text);
        const auto parsed = parse_duration(text);
        REQUIRE_MESSAGE(parsed, parsed.error().message);
        CHECK(parsed->count() == row.second.count());
    }
}

TEST_CASE("what is not a duration is told, with what would be right") {
    for (const char* text : {"",        " ",      ".",      "1.",    "1.s",   "s",       "1 ",   " 1",    "1 s",
                             "+1",      "1e3",    "0x10",   "inf",   "nan",   "1,5",     "1S",   "1d",    "1ns",
                             "1sec",    "1.5.5",  "1:5",    "1:60",  "1:005", ":30",     "1:",   "1::30", "1:02:03:04",
                             "1:60:00", "1:30.5", "1.5:30", "1:30s", "1x:30", "1x30:20", "1:-5", "1\n",   "٣"}) {
        INFO(text);
        const auto parsed = parse_duration(text);
        REQUIRE_FALSE(parsed);
        CHECK(parsed.error().message == std::string("'").append(text).append("' is not a duration"));
        CHECK(parsed.error().cure.find("200ms") != std::string::npos);
    }
    for (const char* text : {"-1", "-1:30", "-0", "-", "-x"}) {
        INFO(text);
        const auto parsed = parse_duration(text);
        REQUIRE_FALSE(parsed);
        CHECK(parsed.error().message.ends_with("is negative"));
    }
    for (const char* text :
         {"3153600000.000000001", "876001h", "876000:00:01", "9223372036.854775807", "9223372036.854775808",
          "99999999999999999999", "2562047:47:17", "153722867281:00", "99999999999999999999:00"}) {
        INFO(text);
        const auto parsed = parse_duration(text);
        REQUIRE_FALSE(parsed);
        CHECK(parsed.error().message.find("too large") != std::string::npos);
    }
}

TEST_CASE("sizes") {
    const std::vector<std::pair<const char*, proctor::Bytes>> table = {
        {"0", 0},
        {"4096", 4096},
        {"1k", 1000},
        {"1K", 1000},
        {"1kB", 1000},
        {"1KB", 1000},
        {"1M", 1'000'000},
        {"1MB", 1'000'000},
        {"1.5M", 1'500'000},
        {"2G", 2_GB},
        {"2GB", 2_GB},
        {"1T", 1'000'000'000'000},
        {"1TB", 1'000'000'000'000},
        {"1KiB", 1024},
        {"64MiB", 64_MiB},
        {"1GiB", 1_GiB},
        {"1TiB", 1024_GiB},
        {"1.5KiB", 1536},
        {"0.0009765625KiB", 1},
        {"0.0009765624KiB", 0},
        {"1.0009k", 1000},
        {"1.9", 1},
        {".5k", 500},
        {"9223372036854775807", std::numeric_limits<proctor::Bytes>::max()},
        {"9223372036854775807.9", std::numeric_limits<proctor::Bytes>::max()},
        {"8388607TiB", 8388607 * 1024_GiB},
    };
    for (const auto& row : table) {
        const char* const text = row.first;
        INFO(text);
        const auto parsed = parse_size(text);
        REQUIRE_MESSAGE(parsed, parsed.error().message);
        CHECK(*parsed == row.second);
    }
}

TEST_CASE("what is not a size is told, with what would be right") {
    for (const char* text :
         {"",    " ",    ".",   "1.", "k",   "1 k", "1m", "1g",   "1t",    "1b",    "1B",  "1Kib", "1kiB",
          "1Ki", "1KIB", "1mB", "1P", "1kk", "1e6", "+1", "0x1F", "1,000", "1_000", "12 ", "1s"}) {
        INFO(text);
        const auto parsed = parse_size(text);
        REQUIRE_FALSE(parsed);
        CHECK(parsed.error().message == std::string("'").append(text).append("' is not a size"));
        CHECK(parsed.error().cure.find("64MiB") != std::string::npos);
    }
    for (const char* text : {"9223372036854775808", "8388608TiB", "9223372036854775.808k", "99999999999999999999T"}) {
        INFO(text);
        const auto parsed = parse_size(text);
        REQUIRE_FALSE(parsed);
        CHECK(parsed.error().message.find("too large") != std::string::npos);
    }
    CHECK(parse_size("-1k").error().message == "'-1k' is negative");
}

TEST_CASE("counts") {
    CHECK(*parse_count("0") == 0);
    CHECK(*parse_count("10") == 10);
    CHECK(*parse_count("9223372036854775807") == std::numeric_limits<std::int64_t>::max());
    CHECK(parse_count("9223372036854775808").error().message.find("too large") != std::string::npos);
    CHECK(parse_count("-3").error().message == "'-3' is negative");
    for (const char* text : {"", "1.5", "1k", " 1", "x", "+1"}) {
        INFO(text);
        REQUIRE_FALSE(parse_count(text));
        CHECK(parse_count(text).error().cure == "write a whole number, 0 or more");
    }
}

TEST_CASE("users") {
    CHECK(parse_user("1000")->uid == 1000);
    CHECK_FALSE(parse_user("1000")->gid);
    CHECK(parse_user("0:0")->gid == 0U);
    CHECK(parse_user("4294967294:7")->uid == 4294967294U);
    for (const char* text : {"", "nobody", "1000:", ":1000", "-1", "4294967295", "1000:4294967295",
                             "99999999999999999999", "1000:users", "1:2:3", "1.5", " 1"}) {
        INFO(text);
        REQUIRE_FALSE(parse_user(text));
        CHECK(parse_user(text).error().cure.find("id -u") != std::string::npos);
    }
}

TEST_CASE("variables") {
    using Variable = std::pair<std::string, std::string>;
    CHECK(*parse_variable("A=1") == Variable("A", "1"));
    CHECK(*parse_variable("A=") == Variable("A", ""));
    CHECK(*parse_variable("A=b=c") == Variable("A", "b=c"));
    for (const char* text : {"", "A", "=1", "="}) {
        INFO(text);
        REQUIRE_FALSE(parse_variable(text));
        CHECK(parse_variable(text).error().cure.find("NAME=VALUE") != std::string::npos);
    }
}

TEST_CASE("placements") {
    using proctor::Placement;
    CHECK(*parse_placement("any") == Placement::any());
    CHECK(*parse_placement("with-reactor") == Placement::with_reactor());
    CHECK(*parse_placement("apart") == Placement::apart());
    CHECK(*parse_placement("slot:0") == Placement::slot(0));
    CHECK(*parse_placement("slot:12") == Placement::slot(12));
    CHECK(*parse_placement("slot:4294967295") == Placement::slot(4294967295U));
    for (const char* text : {"", "Any", "with_reactor", "slot", "slot:", "slot:-1", "slot:x", "slot:1.5", "slot: 1",
                             "slot:1 ", "slot:4294967296", "slot:99999999999999999999", "1"}) {
        INFO(text);
        const auto parsed = parse_placement(text);
        REQUIRE_FALSE(parsed);
        CHECK(parsed.error().message == std::string("'").append(text).append("' is not a placement"));
        CHECK(parsed.error().cure.find("slot:N") != std::string::npos);
    }
}

TEST_CASE("orders, engines and mechanisms") {
    CHECK(*parse_order("pipe") == proctor::Order::pipe);
    CHECK(*parse_order("exact") == proctor::Order::exact);
    CHECK(*parse_engine("automatic") == proctor::EngineChoice::automatic);
    CHECK(*parse_engine("io_uring") == proctor::EngineChoice::io_uring);
    CHECK(*parse_engine("poll") == proctor::EngineChoice::poll);

    const auto all = parse_require("cgroup,cpu,memory,tasks,kill");
    REQUIRE(all);
    CHECK((all->cgroup && all->cpu && all->memory && all->tasks && all->kill));
    const auto one = parse_require("kill");
    REQUIRE(one);
    CHECK((one->kill && !one->cgroup && !one->cpu && !one->memory && !one->tasks));

    for (const std::string_view text :
         {"", "Pipe", "exact ", "epoll", "cgroup,", ",cgroup", "cgroup;cpu", "cpu,cpus"}) {
        CAPTURE(text);
        for (const proctor::Error& error :
             {parse_order(text).error(), parse_engine(text).error(), parse_require(text).error()}) {
            CHECK(error.message.find("is not a") != std::string::npos);
            CHECK_FALSE(error.cure.empty());
        }
    }
}
