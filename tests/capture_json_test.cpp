// SPDX-License-Identifier: MIT
//
// Records to JSON Lines and back: what the lines look like, what else is read, and what is said of damage.
#include <doctest/doctest.h>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <proctor/capture_json.hpp>

#include "capture_lines.hpp"
#include "support.hpp"

using namespace std::chrono_literals;
using namespace std::string_literals;
using namespace capture_lines;
using proctor::JSONCaptureEncoder;
using proctor::JSONCaptureOptions;
using proctor::JSONCapturePlayback;

namespace {

/// The message about a text that is damaged.
std::string complaint(std::string_view lines, std::size_t records_before = 0) {
    JSONCapturePlayback playback = JSONCapturePlayback::text(lines);
    INFO(lines);
    CHECK(records_of(playback).size() == records_before);
    return playback.error() ? playback.error()->message : "no error";
}

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

}  // namespace

// --- The encoder

TEST_CASE("each kind of record has its line") {
    CHECK(line_of({12ms, STDIN, "2 3\n"}) == "{\"@\":0.012,\"0\":\"2 3\\n\"}\n");
    CHECK(line_of({13ms, STDOUT, "5\n"}) == "{\"@\":0.013,\"1\":\"5\\n\"}\n");
    CHECK(line_of({500ms, STDERR, "", true}) == "{\"@\":0.5,\"2\":false}\n");
    CHECK(line_of({100ms, STDOUT, "\xff"}) == "{\"@\":0.1,\"1\":{\"base64\":\"/w==\"}}\n");
    CHECK(line_of({100ms, STDOUT, "x", false, true}) == "{\"@\":0.1,\"1\":\"x\",\"ambiguous\":true}\n");
    CHECK(line_of({100ms, STDOUT, "", true, true}) == "{\"@\":0.1,\"1\":false,\"ambiguous\":true}\n");
    CHECK(line_of({100ms, STDOUT, ""}) == "{\"@\":0.1,\"1\":\"\"}\n");
    CHECK(lines_of({}).empty());
}

TEST_CASE("text is kept, and escaped where JSON wants it") {
    CHECK(line_of({1ms, STDOUT, "a\"b\\c/\b\f\n\r\t\x01\x1f\x7f"}) ==
          "{\"@\":0.001,\"1\":\"a\\\"b\\\\c/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\"}\n");
    CHECK(line_of({1ms, STDOUT, "a\0b"s}) == "{\"@\":0.001,\"1\":\"a\\u0000b\"}\n");
    CHECK(line_of({1ms, STDOUT, "é€😀\u2028"}) == "{\"@\":0.001,\"1\":\"é€😀\u2028\"}\n");
    CHECK(line_of({1ms, STDOUT, "é€😀\uffffx\n"}, {.ensure_ascii = true}) ==
          "{\"@\":0.001,\"1\":\"\\u00e9\\u20ac\\ud83d\\ude00\\uffffx\\n\"}\n");
    // Whatever stands before and behind a byte that needs an escape.
    for (std::size_t before = 0; before < 40; ++before) {
        for (const std::size_t behind : std::initializer_list<std::size_t>{0, 1, 7, 8, 33}) {
            const std::string a(before, '~');
            const std::string z(behind, ' ');
            CHECK(line_of({1ms, STDOUT, a + "\"" + z}) == "{\"@\":0.001,\"1\":\"" + a + "\\\"" + z + "\"}\n");
            CHECK(line_of({1ms, STDOUT, a + "é" + z}, {.ensure_ascii = true}) ==
                  "{\"@\":0.001,\"1\":\"" + a + "\\u00e9" + z + "\"}\n");
        }
    }
}

TEST_CASE("times are truncated to the precision, without zeros at their end") {
    struct Case {
        nanoseconds time;
        int precision;
        std::string expected;
    };
    const std::vector<Case> cases = {
        {0ns, 3, "0.0"},
        {999'999ns, 3, "0.0"},
        {1'999'999ns, 3, "0.001"},
        {1'999'999'999ns, 0, "1.0"},
        {1'999'999'999ns, 9, "1.999999999"},
        {1ns, 9, "0.000000001"},
        {120ms, 9, "0.12"},
        {1000s, 9, "1000.0"},
        {-1ns, 3, "0.0"},
        {-1500ms, 3, "-1.5"},
        {nanoseconds::max(), 9, "9223372036.854775807"},
        {nanoseconds::min(), 9, "-9223372036.854775808"},
    };
    for (const Case& each : cases) {
        CHECK(line_of({each.time, STDOUT, "x"}, {.precision = each.precision}) ==
              "{\"@\":" + each.expected + ",\"1\":\"x\"}\n");
    }
}

TEST_CASE("a precision beyond nanoseconds is refused") {
    for (const int precision : {-1, 10}) {
        const auto encoder = JSONCaptureEncoder::create({.precision = precision});
        REQUIRE_FALSE(encoder);
        CHECK(encoder.error().error_number == EINVAL);
        CHECK(contains(encoder.error().message, std::to_string(precision)));
        CHECK(contains(encoder.error().cure, "0 to 9"));
    }
}

TEST_CASE("a character that is cut in two moves to its stream's next record") {
    CHECK(lines_of({{1ms, STDOUT, "a\xe2\x82"}, {2ms, STDERR, "b"}, {3ms, STDOUT, "\xac\n"}}) ==
          "{\"@\":0.001,\"1\":\"a\"}\n{\"@\":0.002,\"2\":\"b\"}\n{\"@\":0.003,\"1\":\"€\\n\"}\n");
    // A record of nothing else makes no line; what is known of its order goes with it.
    CHECK(lines_of({{1ms, STDOUT, "\xf0", false, true},
                    {2ms, STDOUT, "\x9f"},
                    {3ms, STDOUT, "\x98"},
                    {4ms, STDOUT, "\x80"}}) == "{\"@\":0.004,\"1\":\"😀\",\"ambiguous\":true}\n");
    // Each stream has its own.
    CHECK(lines_of({{1ms, STDIN, "\xc3"}, {1ms, STDOUT, "\xc3"}, {2ms, STDIN, "\xa9"}, {2ms, STDOUT, "\xa8"}}) ==
          "{\"@\":0.002,\"0\":\"é\"}\n{\"@\":0.002,\"1\":\"è\"}\n");
    // It moves out of a record with other invalid bytes too, or the next one would be invalid for it.
    CHECK(lines_of({{1ms, STDOUT, "\xff\xc3"}, {2ms, STDOUT, "\xa9"}}) ==
          "{\"@\":0.001,\"1\":{\"base64\":\"/w==\"}}\n{\"@\":0.002,\"1\":\"é\"}\n");
    // It was none after all.
    CHECK(lines_of({{1ms, STDOUT, "a\xc3"}, {2ms, STDOUT, "b"}}) ==
          "{\"@\":0.001,\"1\":\"a\"}\n{\"@\":0.002,\"1\":{\"base64\":\"w2I=\"}}\n");
}

TEST_CASE("what never became a character is a record of its own, at the cut or at the end") {
    CHECK(lines_of({{1ms, STDOUT, "a\xe2\x82"}, {2ms, STDOUT, "", true}, {3ms, STDERR, "b"}}) ==
          "{\"@\":0.001,\"1\":\"a\"}\n{\"@\":0.002,\"1\":{\"base64\":\"4oI=\"}}\n{\"@\":0.002,\"1\":false}\n"
          "{\"@\":0.003,\"2\":\"b\"}\n");
    CHECK(lines_of({{1ms, STDOUT, "\xe2\x82", false, true}, {2ms, STDERR, "b"}}) ==
          "{\"@\":0.002,\"2\":\"b\"}\n{\"@\":0.002,\"1\":{\"base64\":\"4oI=\"},\"ambiguous\":true}\n");

    JSONCaptureEncoder encoder;
    std::string lines;
    encoder.encode({.time = 1ms, .data = "\xc3"}, lines);
    CHECK(lines.empty());
    encoder.finish(lines);
    CHECK(lines == "{\"@\":0.001,\"1\":{\"base64\":\"ww==\"}}\n");
    lines.clear();
    encoder.finish(lines);
    encoder.encode({.time = 1ms, .data = "\xa9"}, lines);
    CHECK(lines == "{\"@\":0.001,\"1\":{\"base64\":\"qQ==\"}}\n");
}

TEST_CASE("what is not UTF-8 is base64 as a whole") {
    CHECK(line_of({1ms, STDOUT, "ok\xff"}) == "{\"@\":0.001,\"1\":{\"base64\":\"b2v/\"}}\n");
    CHECK(line_of({1ms, STDOUT, "\xff\xfe\xfd\xfc"}) == "{\"@\":0.001,\"1\":{\"base64\":\"//79/A==\"}}\n");
    for (const std::string bytes : {
             "\x80x",              // nothing that it continues
             "\xc0\x80x",          // overlong
             "\xe0\x9f\xbfx",      // overlong
             "\xed\xa0\x80x",      // a surrogate
             "\xf4\x90\x80\x80x",  // beyond the last code point
             "\xed\xa0",           // the same, cut: it could never become whole
             "\xc1",
             "\xf5",
         }) {
        CHECK(contains(line_of({1ms, STDOUT, bytes}), "base64"));
        REQUIRE(records_of(line_of({1ms, STDOUT, bytes})).size() == 1);
        CHECK(records_of(line_of({1ms, STDOUT, bytes}))[0].data == bytes);
    }
}

// --- The reader

TEST_CASE("what the encoder writes is read as it was") {
    const std::vector<Kept> records = {{12ms, STDIN, "2 3\n"},
                                       {13ms, STDOUT, "5\n\0\"\\€"s, false, true},
                                       {13ms, STDOUT, "\xff\x00x"s},
                                       {14ms, STDERR, ""},
                                       {500ms, STDERR, "", true, true}};
    CHECK(records_of(lines_of(records)) == records);
    CHECK(records_of(lines_of(records, {.ensure_ascii = true})) == records);
}

TEST_CASE("a record may have several streams, and goes by the file's order") {
    CHECK(records_of("{\"@\": 0.120, \"0\": \"2 3\\n\", \"2\": \"?\", \"1\": \"5\\n\"}\n") ==
          std::vector<Kept>{{120ms, STDIN, "2 3\n"}, {120ms, STDERR, "?"}, {120ms, STDOUT, "5\n"}});
    CHECK(records_of(
              R"({"1":{"base64":"/w=="},"0":null,"2":{"base64":"","more":1},"1":{"base64":"/v0="},"@":"0.120"})") ==
          std::vector<Kept>{{120ms, STDOUT, "\xff"}, {120ms, STDERR, ""}, {120ms, STDOUT, "\xfe\xfd"}});
    CHECK(records_of(R"({"@":1,"1":"a","2":false,"ambiguous":true})") ==
          std::vector<Kept>{{1s, STDOUT, "a", false, true}, {1s, STDERR, "", true, true}});
}

TEST_CASE("a time is any number, also as text, exactly") {
    const std::vector<std::pair<std::string, nanoseconds>> cases = {
        {"0", 0ns},
        {"-0.0", 0ns},
        {"3", 3s},
        {"0.120", 120ms},
        {"\"0.120\"", 120ms},
        {"\"+.5\"", 500ms},
        {"\"7.\"", 7s},
        {"\"1E-3\"", 1ms},
        {"\"1.5E+2\"", 150s},
        {"1.5e2", 150s},
        {"12e-10", 1ns},
        {"9e-10", 0ns},
        {"-1.5", -1500ms},
        {"0e999", 0ns},
        {"\"0E999999999999999999999999\"", 0ns},
        {"1e-999", 0ns},
        {"0.0000000019999999999999999999999999999999", 1ns},
        {"1234567890.123456789", 1234567890123456789ns},
        {"9223372036.854775807", nanoseconds::max()},
        {"-9223372036.854775808", nanoseconds::min()},
        {"\"0009223372036.8547758079\"", nanoseconds::max()},
    };
    for (const auto& [text, time] : cases) {
        for (const std::string& line :
             {"{\"@\":" + text + ",\"1\":\"x\"}", " { \"1\" : \"x\", \"@\" :  " + text + " } ",
              "{\"a\":[{\"@\":7}],\"@\":5,\"\\u0040\":" + text + ",\"1\":\"x\"}"}) {
            INFO(line);
            const std::vector<Kept> records = records_of(line);
            REQUIRE(records.size() == 1);
            CHECK(records[0].time == time);
        }
    }
    for (const std::string text :
         {"\"\"", "\"soon\"", "\"1e\"", "\".\"", "\"1 2\"", "\"--1\"", "\"NaN\"", "true", "null", "[1]",
          "9223372036.854775808", "-9223372036.854775809", "1e99", "\"1e999999999999999999999\""}) {
        CHECK(contains(complaint("{\"@\":" + text + ",\"1\":\"x\"}"), "line 1, column 6: the time is "));
    }
}

TEST_CASE("other keys, blank lines and the ends of lines do not matter") {
    CHECK(records_of(
              "\xef\xbb\xbf{\"@\":1,\"1\":\"a\",\"note\":{\"1\":\"no\",\"x\":[\"}\",\"\\\"\"]},\"3\":7}\r\n\n \t\r\n"
              "{\"2\":\"b\",\"@\":2}") == std::vector<Kept>{{1s, STDOUT, "a"}, {2s, STDERR, "b"}});
    CHECK(records_of("").empty());
    CHECK(records_of("\n\n").empty());
    CHECK(records_of("{\"@\":1}\n").empty());
}

TEST_CASE("damage is told by line and column") {
    const std::string good = "{\"@\":0.1,\"1\":\"a\"}\n";
    const std::vector<std::pair<std::string, std::string>> cases = {
        {"{\"@\":1,\"1\":\"a", "column 14: the line ends within a record"},
        {"{\"@\":1,\"1\":\"a\"", "column 15: the line ends within a record"},
        {"{\"@\":1 \"1\":\"a\"}", "column 8: a comma or } is missing"},
        {"{\"@\":1,\"1\":\"a\"}x", "column 16: something follows the record"},
        {"{\"@\":1,\"1\":\"a\\q\"}", "column 15: there is no such escape"},
        {"{\"@\":1,\"1\":\"a\\u12g4\"}", "column 18: an escape has four"},
        {"{\"@\":1,\"1\":\"a\xff\"}", "column 14: this is not UTF-8"},
        {"{\"@\":1,\"1\":\"\\ud800x\"}", "column 19: half of a pair"},
        {"{\"@\":1,\"1\":\"\\udc00\"}", "column 19: half of a pair"},
        {"{\"@\":1,\"1\":\"a\tb\"}", "column 14: a control character"},
        {"{\"@\":1,\"1\":\"a\0b\"}"s, "column 14: a control character"},
        {"{\"@\":01,\"1\":\"a\"}", "column 7: a comma or } is missing"},
        {"{\"@\":1,}", "column 8: a key in quotation marks"},
        {"{\"@\":1,\"x\":tru}", "column 15: this is not JSON"},
        {"[1]", "column 1: this is no record"},
        {" 7", "column 2: this is no record"},
        {"{}", "column 2: the record has no time"},
        {"{\"1\":\"a\"} ", "column 9: the record has no time"},
        {"{\"@\":1,\"1\":true}", "column 12: neither a string nor false"},
        {"{\"@\":1,\"1\":5}", "column 12: neither a string nor false"},
        {"{\"@\":1, \"1\": {\"b\":1}}", "column 14: an object without \"base64\""},
        {"{\"@\":1,\"2\":\"b\",\"1\":{\"base64\":\"a===\"}}", "column 20: this is not base64"},
        {"{\"@\":1,\"1\":{\"base64\":\"ab=\"}}", "column 12: this is not base64"},
        {"{\"@\":1,\"1\":{\"base64\":\"/x==\"}}", "column 12: this is not base64"},
        {"{\"@\":1,\"1\":{\"base64\":\"=A==\"}}", "column 12: this is not base64"},
        {"{\"@\":1,\"1\":{\"base64\":\"____\"}}", "column 12: this is not base64"},
        {"{\"@\":1,\"1\":\"a\",\"ambiguous\":1}", "column 28: neither true nor false"},
        {"{\"@\":1,\"x\":1e999}", "column 1: a number is too large"},
    };
    for (const auto& each : cases) {
        const std::string line = each.first;
        const std::string expected = each.second;
        CHECK_MESSAGE(complaint(line).starts_with("line 1, " + expected), complaint(line));
        CHECK_MESSAGE(complaint(good + "\n" + good + line + "\n" + good, 2).starts_with("line 4, " + expected),
                      complaint(line));
    }
    CHECK(contains(complaint("{\"@\":1,\"x\":" + std::string(5000, '[') + std::string(5000, ']') + "}"),
                   "line 1, column 1035: this is nested too deeply"));
}

TEST_CASE("after the damage nothing more comes until a rewind, which comes to it again") {
    JSONCapturePlayback playback = JSONCapturePlayback::text("{\"@\":1,\"1\":\"a\"}\n{\n{\"@\":1,\"1\":\"a\"}\n");
    for (int round = 0; round < 3; ++round) {
        CHECK(records_of(playback).size() == 1);
        REQUIRE(playback.error());
        CHECK(playback.error()->stage == proctor::Stage::io);
        CHECK_FALSE(playback.error()->cure.empty());
        CHECK_FALSE(playback.next());
        playback.rewind();
        CHECK_FALSE(playback.error());
    }
}

TEST_CASE("whatever byte of a file is damaged or missing, what is before its line is played") {
    const std::vector<Kept> records = {{1ms, STDIN, "2 3\n"},   {2ms, STDOUT, "é\0\"\\"s, false, true},
                                       {3ms, STDOUT, "\xff\n"}, {4ms, STDERR, "x"},
                                       {5ms, STDERR, "", true}, {6ms, STDOUT, "last €"}};
    const std::string lines = lines_of(records, {.ensure_ascii = false});
    for (std::size_t place = 0; place < lines.size(); ++place) {
        const auto line = static_cast<std::size_t>(
            std::count(lines.begin(), lines.begin() + static_cast<std::ptrdiff_t>(place), '\n'));
        CAPTURE(place);

        JSONCapturePlayback cut = JSONCapturePlayback::text(lines.substr(0, place));
        const std::vector<Kept> before_cut = records_of(cut);
        const bool between = place == 0 || lines[place - 1] == '\n';
        const bool whole = lines[place] == '\n';
        CHECK(before_cut == std::vector<Kept>(records.begin(),
                                              records.begin() + static_cast<std::ptrdiff_t>(line + (whole ? 1 : 0))));
        CHECK(cut.error().has_value() == (!between && !whole));
        if (cut.error()) {
            CHECK(contains(cut.error()->message, "line " + std::to_string(line + 1) + ", column "));
        }

        for (int value = 0; value < 256; ++value) {
            std::string damaged = lines;
            damaged[place] = static_cast<char>(value);
            JSONCapturePlayback playback = JSONCapturePlayback::text(damaged);
            const std::vector<Kept> played = records_of(playback);
            bool right =
                played.size() >= line &&
                std::equal(played.begin(), played.begin() + static_cast<std::ptrdiff_t>(line), records.begin());
            if (playback.error()) {
                right = right && contains(playback.error()->message, "line ") &&
                        contains(playback.error()->message, ", column ");
            } else {
                // A key may have become another one, or a newline a blank between two records of one line.
                right = right && played.size() + 1 >= records.size();
            }
            if (!right) {
                CAPTURE(value);
                CAPTURE(damaged);
                CHECK(right);
            }
        }
    }
}

TEST_CASE("a file is read in pieces, with lines of any length") {
    const support::TempDir directory;
    std::vector<Kept> records;
    // Lines end at, before and behind where pieces do.
    for (const std::size_t length : {10UL, 262'000UL, 262'100UL, 262'144UL, 1UL, 5'000'000UL, 3UL, 524'288UL, 100UL}) {
        records.emplace_back(1ms, STDOUT, support::pattern(length));
    }
    for (int i = 0; i < 20'000; ++i) {
        records.emplace_back(nanoseconds(i), STDERR, "line " + std::to_string(i) + "\n");
    }
    const std::string lines = lines_of(records, {.precision = 9});
    const std::string path = directory.write("capture", lines);
    JSONCapturePlayback playback = JSONCapturePlayback::file(path);
    CHECK((records_of(playback) == records_of(lines)));
    CHECK_FALSE(playback.error());
    playback.rewind();
    CHECK((records_of(playback) == records_of(lines)));
    playback.rewind();
    REQUIRE(playback.next());
    playback.skip_to(10us);
    CHECK(playback.next()->time == 1ms);

    const std::string damaged = directory.write("damaged", lines + "{\"@\":2");
    JSONCapturePlayback other = JSONCapturePlayback::file(damaged);
    CHECK((records_of(other) == records_of(lines)));
    REQUIRE(other.error());
    const auto line = std::count(lines.begin(), lines.end(), '\n') + 1;
    CHECK(other.error()->message.starts_with(damaged + ": line " + std::to_string(line) + ", column 7"));
}

TEST_CASE("a descriptor is read from where it stands, and stays the caller's") {
    const support::TempDir directory;
    const std::string first = line_of({1ms, STDOUT, "a"});
    const support::Fd file =
        support::open_file(directory.write("capture", first + line_of({2ms, STDOUT, "b"})), O_RDONLY);
    REQUIRE(lseek(file.get(), static_cast<off_t>(first.size()), SEEK_SET) >= 0);
    {
        JSONCapturePlayback playback = JSONCapturePlayback::descriptor(file.get(), "it");
        CHECK(records_of(playback) == std::vector<Kept>{{2ms, STDOUT, "b"}});
        playback.rewind();
        CHECK(records_of(playback) == std::vector<Kept>{{2ms, STDOUT, "b"}});
    }
    CHECK(fcntl(file.get(), F_GETFD) >= 0);
}

TEST_CASE("a pipe is played once, while it is written") {
    support::Pipe pipe;
    JSONCapturePlayback playback = JSONCapturePlayback::descriptor(pipe.read_end.get(), "the pipe");
    playback.rewind();
    support::write_all(pipe.write_end.get(), line_of({1ms, STDOUT, "a"}) + "{\"@\":0.0");
    CHECK(Kept(*playback.next()) == Kept(1ms, STDOUT, "a"));
    support::write_all(pipe.write_end.get(), "02,\"1\":\"b\"}");
    pipe.write_end.reset();
    CHECK(records_of(playback) == std::vector<Kept>{{2ms, STDOUT, "b"}});
    CHECK_FALSE(playback.error());
    playback.rewind();
    CHECK_FALSE(playback.next());
    REQUIRE(playback.error());
    CHECK(contains(playback.error()->message, "the pipe cannot be read a second time"));
}

TEST_CASE("a file that cannot be read is an error with its cause") {
    const support::TempDir directory;
    JSONCapturePlayback missing = JSONCapturePlayback::file(directory.file("missing"));
    REQUIRE(missing.error());
    CHECK(missing.error()->error_number == ENOENT);
    CHECK_FALSE(missing.next());
    missing.rewind();
    CHECK(missing.error());
    JSONCapturePlayback folder = JSONCapturePlayback::file(directory.path());
    CHECK_FALSE(folder.next());
    REQUIRE(folder.error());
    CHECK(folder.error()->error_number == EISDIR);
    CHECK(contains(folder.error()->message, directory.path()));
}

TEST_CASE("where times decrease, a time is skipped to from everywhere to the same record") {
    auto playback =
        proctor::JSONCapturePlayback::text("{\"@\":5,\"1\":\"a\"}\n{\"@\":1,\"1\":\"b\"}\n{\"@\":7,\"1\":\"c\"}\n");
    for (int passed = 0; passed < 4; ++passed) {
        playback.rewind();
        for (int i = 0; i < passed; ++i) (void)playback.next();
        playback.skip_to(std::chrono::seconds(3));
        const auto record = playback.next();
        REQUIRE(record);
        CHECK(record->data == "a");
    }
}

TEST_CASE("times that decrease are told as they stand") {
    JSONCapturePlayback playback = JSONCapturePlayback::text(
        "{\"@\":3,\"1\":\"c\"}\n{\"@\":1,\"1\":\"a\"}\n{\"@\":2,\"1\":\"b\"}\n{\"@\":4,\"1\":\"d\"}\n");
    CHECK(records_of(playback).size() == 4);
    playback.rewind();
    CHECK(playback.next()->data == "c");
    playback.skip_to(4s);
    CHECK(playback.next()->data == "d");
    playback.skip_to(2s);
    CHECK(playback.next()->data == "c");
}
