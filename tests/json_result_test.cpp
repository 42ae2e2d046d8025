// SPDX-License-Identifier: MIT
//
// The JSON form of results: what scripts parse, so key by key and to the letter; and whatever bytes are in it, it has
// to be JSON.
#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include <simdjson.h>

#include <proctor/json.hpp>
#include <proctor/result.hpp>

#include "json/json_writer.hpp"
#include "support.hpp"

using namespace std::chrono_literals;
using namespace std::string_literals;
using proctor::detail::append_json_seconds;
using proctor::detail::append_json_string;
using proctor::detail::first_character;
using proctor::detail::JsonWriter;
using proctor::detail::plain_length;

namespace {

constexpr const char* replacement = "\xef\xbf\xbd";

std::string json_string(std::string_view text) {
    std::string out;
    append_json_string(out, text);
    return out;
}

std::string seconds(std::chrono::nanoseconds time, int precision = 9) {
    std::string out;
    append_json_seconds(out, time, precision);
    return out;
}

std::vector<std::string> keys(const simdjson::dom::object& object) {
    std::vector<std::string> names;
    for (const auto& field : object) {
        names.emplace_back(field.key);
    }
    return names;
}

}  // namespace

TEST_CASE("text that needs no change is kept, and what JSON reserves is escaped") {
    const std::vector<std::pair<std::string, std::string>> table = {
        {"", R"("")"},
        {"plain text, longer than a word", R"("plain text, longer than a word")"},
        {"say \"hi\"", R"("say \"hi\"")"},
        {"back\\slash", R"("back\\slash")"},
        {"a/b", R"("a/b")"},
        {"\b\f\n\r\t", R"("\b\f\n\r\t")"},
        {"\0"s, R"("\u0000")"},
        {"\x01\x1f", R"("\u0001\u001f")"},
        {"\x7f", "\"\x7f\""},
        {"1234567\n", R"("1234567\n")"},
        {"12345678\n90", R"("12345678\n90")"},
        {"grün € 𝄞", "\"grün € 𝄞\""},
        {"\u2028\u2029", "\"\u2028\u2029\""},
    };
    for (const auto& [text, expected] : table) {
        CHECK(json_string(text) == expected);
    }
}

TEST_CASE("bytes that are not UTF-8 become U+FFFD, one for each maximal part") {
    const std::string one = replacement;
    const std::vector<std::pair<std::string, std::string>> table = {
        {"\x80", one},
        {"a\xff"
         "b",
         "a" + one + "b"},
        {"\xc0\x80", one + one},  // overlong NUL
        {"\xc1\xbf", one + one},
        {"\xe0\x9f\xbf", one + one + one},            // overlong
        {"\xed\xa0\x80", one + one + one},            // surrogate
        {"\xf0\x8f\xbf\xbf", one + one + one + one},  // overlong
        {"\xf4\x90\x80\x80", one + one + one + one},  // beyond U+10FFFF
        {"\xf5\x80", one + one},
        {"\xe2\x82", one},  // cut off
        {"\xe2\x82"
         "A",
         one + "A"},
        {"\xf0\x9d\x84", one},
        {"\xf0\x9d\x84\xe2\x82\xac", one + "€"},
        {"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf"
         "A",
         one + one + one + one + "A"},  // Unicode 15, table 3-11
        {"\xc2\n", one + "\\n"},
    };
    for (const auto& [text, expected] : table) {
        CHECK(json_string(text) == '"' + expected + '"');
    }
}

TEST_CASE("every boundary of UTF-8 is seen as the character that it is") {
    for (const char* text : {"\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
                             "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
        const std::string_view character = text;
        CHECK(first_character(character).valid);
        CHECK(first_character(character).length == character.size());
    }
    CHECK(first_character("").length == 0);
}

TEST_CASE("one byte that is not plain is found wherever it stands") {
    for (int value = 0; value < 256; ++value) {
        const bool plain = value >= 0x20 && value < 0x80 && value != '"' && value != '\\';
        for (std::size_t at = 0; at < 20; ++at) {
            std::string text(20, 'x');
            text[at] = static_cast<char>(value);
            INFO("byte ", value, " at ", at);
            CHECK(plain_length(text) == (plain ? text.size() : at));
        }
    }
}

TEST_CASE("no pair of bytes makes invalid JSON, and valid UTF-8 comes back as it was") {
    simdjson::dom::parser parser;
    for (unsigned first = 0; first < 256; ++first) {
        for (unsigned second = 0; second < 256; ++second) {
            const std::string text = {static_cast<char>(first), static_cast<char>(second), 'z'};
            simdjson::dom::element parsed;
            REQUIRE(parser.parse(json_string(text)).get(parsed) == simdjson::SUCCESS);
            const std::string_view back = parsed.get_string();
            if (back.find(replacement) == std::string_view::npos) {
                REQUIRE(back == text);
            }
        }
    }
}

TEST_CASE("time is printed in seconds, truncated, without an exponent") {
    struct Row {
        std::chrono::nanoseconds time;
        int precision;
        const char* expected;
    };
    const std::vector<Row> table = {
        {0ns, 9, "0.0"},
        {1ns, 9, "0.000000001"},
        {1ns, 3, "0.0"},
        {999'999'999ns, 3, "0.999"},
        {999'999'999ns, 0, "0.0"},
        {1s, 9, "1.0"},
        {1s, 0, "1.0"},
        {1500ms, 9, "1.5"},
        {201ms, 9, "0.201"},
        {200'100us, 9, "0.2001"},
        {12'345'678'901ns, 6, "12.345678"},
        {10s, 9, "10.0"},
        {100h, 9, "360000.0"},
        {-1500ms, 9, "-1.5"},
        {-1ns, 3, "0.0"},
        {std::chrono::nanoseconds::max(), 9, "9223372036.854775807"},
        {std::chrono::nanoseconds::min(), 9, "-9223372036.854775808"},
    };
    for (const Row& row : table) {
        CHECK(seconds(row.time, row.precision) == row.expected);
    }
}

TEST_CASE("the writer sets commas between values and nowhere else") {
    JsonWriter json;
    json.begin_object();
    json.key("a").begin_object();
    json.end_object();
    json.key("b").number(std::numeric_limits<std::int64_t>::min());
    json.key("c").begin_object();
    json.key("d").boolean(true);
    json.key("e").text("x");
    json.end_object();
    json.key("f").text(std::nullopt);
    json.key("g").seconds(2ms, 3);
    json.end_object();
    CHECK(json.take() == R"({"a":{},"b":-9223372036854775808,"c":{"d":true,"e":"x"},"f":null,"g":0.002})");
}

TEST_CASE("a result in which nothing is known has all keys") {
    proctor::RunResult result;
    result.error = proctor::Error{proctor::Stage::exec, 2, "no program", "install it"};
    CHECK(
        proctor::to_json(result) ==
        R"({"proctor":1,"outcome":"error","reason":null,"verbose_reason":null,"returncode":null,"exit_code":null,)"
        R"("signal":null,"usage":null,"sources":{"engine":"none","containment":"none","cpu":null,)"
        R"("cpu_complete":false,"mem":null,"proc":null,"kill":null,"sample_interval":null},)"
        R"("streams":{"stdin":{"bytes":0,"lines":0,"truncated":false,"unread":null},)"
        R"("stdout":{"bytes":0,"lines":0,"truncated":false,"total_bytes":0,"total_lines":0,"cut_by":null},)"
        R"("stderr":{"bytes":0,"lines":0,"truncated":false,"total_bytes":0,"total_lines":0,"cut_by":null}},)"
        R"("limit_events":{"crossed_at":null,"signalled_at":null,"ended_at":null},)"
        R"("limit_in_grace":null,"error":{"stage":"exec","errno":2,"message":"no program","cure":"install it"},"blocked_in":null,"output_limit":null})");
}

TEST_CASE("a result in which all is known is printed as promised") {
    proctor::RunResult result;
    result.outcome = proctor::Outcome::fail;
    result.reason = proctor::Reason::time_limit;
    result.returncode = -9;
    result.signal = 9;
    result.usage = proctor::Usage{.wctime = 201ms,
                                  .utime = 190ms,
                                  .stime = 4ms,
                                  .mem = 1'880'064,
                                  .proc = 1,
                                  .mem_anon = 1'048'576,
                                  .voluntary_switches = 1,
                                  .involuntary_switches = 2,
                                  .minor_faults = 3,
                                  .major_faults = 4,
                                  .read_bytes = 512,
                                  .written_bytes = 1024};
    result.blocked_in = "reading stdin";
    result.output_limit = {proctor::STDERR, proctor::CaptureLimit::bytes, 3};
    result.sources = {.engine = "io_uring",
                      .containment = "cgroup",
                      .cpu = "cpu.stat",
                      .cpu_complete = true,
                      .mem = "sampled",
                      .proc = "cgroup.procs",
                      .kill = "cgroup.kill",
                      .sample_interval = 10ms};
    result.limit_events = {.crossed_at = 200ms, .signalled_at = 200'100us, .ended_at = 200'800us};
    result.unread = 2;
    result.capture = proctor::Capture(proctor::CaptureOptions{.limits = {.max_stderr_bytes = 3}, .keep = false});
    proctor::CaptureRecorder recorder = result.capture.record();
    recorder.add(proctor::STDIN, "2 3\n", 1ms);
    recorder.add(proctor::STDOUT, "5\n6", 2ms);
    recorder.add(proctor::STDERR, "a\nb\nc\n", 3ms);
    CHECK(proctor::to_json(result) ==
          R"({"proctor":1,"outcome":"fail","reason":"time_limit","verbose_reason":"Time limit exceeded",)"
          R"("returncode":-9,"exit_code":null,"signal":9,)"
          R"("usage":{"wctime":0.201,"utime":0.19,"stime":0.004,"mem":1880064,"proc":1,"mem_anon":1048576,)"
          R"("voluntary_switches":1,"involuntary_switches":2,"minor_faults":3,"major_faults":4,"read_bytes":512,)"
          R"("written_bytes":1024},)"
          R"("sources":{"engine":"io_uring","containment":"cgroup","cpu":"cpu.stat","cpu_complete":true,)"
          R"("mem":"sampled","proc":"cgroup.procs","kill":"cgroup.kill","sample_interval":0.01},)"
          R"("streams":{"stdin":{"bytes":4,"lines":1,"truncated":false,"unread":2},)"
          R"("stdout":{"bytes":3,"lines":2,"truncated":false,"total_bytes":3,"total_lines":2,"cut_by":null},)"
          R"("stderr":{"bytes":3,"lines":2,"truncated":true,"total_bytes":6,"total_lines":3,"cut_by":"bytes"}},)"
          R"("limit_events":{"crossed_at":0.2,"signalled_at":0.2001,"ended_at":0.2008},"limit_in_grace":null,)"
          R"("error":null,"blocked_in":"reading stdin",)"
          R"("output_limit":{"stream":"stderr","limit":"bytes","offset":3}})");
}

TEST_CASE("usage of which a part is unknown has null for that part") {
    proctor::RunResult result;
    result.usage = proctor::Usage{.wctime = 1s};
    CHECK(proctor::to_json(result).find(
              R"("usage":{"wctime":1.0,"utime":0.0,"stime":0.0,"mem":null,"proc":null,"mem_anon":null,)"
              R"("voluntary_switches":null,"involuntary_switches":null,"minor_faults":null,)"
              R"("major_faults":null,"read_bytes":null,"written_bytes":null})") != std::string::npos);
}

TEST_CASE("an error without errno or cure has null for them") {
    proctor::RunResult result;
    result.error = proctor::Error{proctor::Stage::cancelled, 0, "cancelled", ""};
    CHECK(proctor::to_json(result).ends_with(
        R"("limit_in_grace":null,"error":{"stage":"cancelled","errno":null,"message":"cancelled","cure":null},"blocked_in":null,"output_limit":null})"));
}

TEST_CASE("an error message with any bytes in it still gives one line of valid JSON") {
    proctor::RunResult result;
    result.error = proctor::Error{proctor::Stage::exec, 2, "no \"f\xff\xfeoo\"\n\0\x1b[1m"s, "caf\xc3"};
    const std::string line = proctor::to_json(result);
    CHECK(line.find('\n') == std::string::npos);
    simdjson::dom::parser parser;
    simdjson::dom::element parsed;
    REQUIRE(parser.parse(line).get(parsed) == simdjson::SUCCESS);
    CHECK(std::string_view(parsed["error"]["message"]) == "no \"f"s + replacement + replacement + "oo\"\n\0\x1b[1m"s);
    CHECK(std::string_view(parsed["error"]["cure"]) == "caf"s + replacement);
}

TEST_CASE("the JSON of a real run counts what passed on each stream") {
    proctor::Job job = support::script("copy-to-both");
    job.input = proctor::Input::text("one\ntwo\nthree");
    job.capture.limits.max_stdout_lines = 1;
    const proctor::RunResult result = proctor::run(std::move(job));
    INFO(support::describe(result));
    simdjson::dom::parser parser;
    simdjson::dom::element parsed;
    REQUIRE(parser.parse(proctor::to_json(result)).get(parsed) == simdjson::SUCCESS);

    CHECK(keys(parsed.get_object()) == std::vector<std::string>{"proctor", "outcome", "reason", "verbose_reason",
                                                                "returncode", "exit_code", "signal", "usage", "sources",
                                                                "streams", "limit_events", "limit_in_grace", "error",
                                                                "blocked_in", "output_limit"});
    CHECK(std::string_view(parsed["outcome"]) == "pass");
    CHECK(std::int64_t(parsed["returncode"]) == 0);
    CHECK(std::int64_t(parsed["exit_code"]) == 0);
    CHECK(parsed["signal"].is_null());
    CHECK(keys(parsed["usage"].get_object()) ==
          std::vector<std::string>{"wctime", "utime", "stime", "mem", "proc", "mem_anon", "voluntary_switches",
                                   "involuntary_switches", "minor_faults", "major_faults", "read_bytes",
                                   "written_bytes"});
    CHECK(double(parsed["usage"]["wctime"]) > 0);

    const auto in = parsed["streams"]["stdin"];
    CHECK(std::int64_t(in["bytes"]) == 13);
    CHECK(std::int64_t(in["lines"]) == 3);
    CHECK_FALSE(bool(in["truncated"]));
    CHECK(std::int64_t(in["unread"]) == 0);
    const auto out = parsed["streams"]["stdout"];
    CHECK(std::int64_t(out["bytes"]) == 4);
    CHECK(std::int64_t(out["lines"]) == 1);
    CHECK(bool(out["truncated"]));
    CHECK(std::int64_t(out["total_bytes"]) == 13);
    CHECK(std::int64_t(out["total_lines"]) == 3);
    const auto error_output = parsed["streams"]["stderr"];
    CHECK(std::int64_t(error_output["bytes"]) == 13);
    CHECK(std::int64_t(error_output["lines"]) == 3);
    CHECK_FALSE(bool(error_output["truncated"]));
}
