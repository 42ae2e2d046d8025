// SPDX-License-Identifier: MIT
//
// Communication: a job's records, asked for one by one.
#include <doctest/doctest.h>

#include "support.hpp"

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <string>

#include <proctor/proctor.hpp>

using namespace std::chrono_literals;
using proctor::CaptureLine;
using proctor::CaptureRecord;
using proctor::Communication;
using proctor::Input;
using proctor::Job;
using proctor::JobState;
using proctor::Outcome;
using proctor::STDERR;
using proctor::STDIN;
using proctor::STDOUT;
using support::script;

namespace {

// What was said, and a number where another stream begins to speak: how often a stream is read is a matter of chance.
class Protocol {
public:
    void add(const CaptureRecord& record) {
        if (record.stream != speaker_) text_ += std::to_string(record.stream) + ":";
        speaker_ = record.stream;
        text_ += record.truncated ? "(cut)" : std::string(record.data);
    }
    [[nodiscard]] const std::string& text() const { return text_; }

private:
    std::optional<proctor::Stream> speaker_{};
    std::string text_{};
};

}  // namespace

TEST_CASE("what a program says is had before it is answered") {
    Job job = script("print name? then answer-line then print more? then answer-line");
    job.input = Input::live();
    Communication dialogue(job);
    Protocol seen;
    int questions = 0;
    while (const auto record = dialogue.next()) {
        seen.add(*record);
        // The helper says "got " before it reads.
        if (seen.text().ends_with("got ")) {
            CHECK(dialogue.handle().state() == JobState::running);
            REQUIRE(dialogue.handle().write_input(++questions == 1 ? "Ada\n" : "no\n"));
        }
    }
    CHECK_FALSE(dialogue.error());
    CHECK(seen.text() == "1:name?got 0:Ada\n1:Ada\nmore?got 0:no\n1:no\n");
    CHECK(dialogue.result().passed());
    CHECK(dialogue.result().capture.text(STDOUT) == "name?got Ada\nmore?got no\n");
}

TEST_CASE("a job without input is read in a loop, record by record or line by line") {
    std::string records;
    Communication one(script("print a then print-to 2 b then exit 3"));
    for (const CaptureRecord& record : one) records += std::string(record.data);
    CHECK(records.size() == 2);
    CHECK(one.result().exit_code == 3);

    Communication other(script("alternate 3"));
    std::string lines;
    for (const CaptureLine& line : other.lines(STDERR)) lines += std::string(line.text);
    CHECK(lines == "e0\ne1\ne2\n");
    CHECK(other.result().passed());
}

TEST_CASE("while nobody asks, the child waits and the host holds little") {
    CHECK(support::in_host([]() -> std::string {
              Job job = script("fill 1 1000000000");
              job.capture.keep = false;
              Communication flood(job);
              std::size_t seen = 0;
              while (seen < 1'000'000) {
                  const auto record = flood.next();
                  HOST_CHECK(record.has_value());
                  HOST_CHECK(std::string(record->data) == support::pattern(seen + record->data.size()).substr(seen));
                  seen += record->data.size();
              }
              HOST_CHECK(flood.handle().state() == JobState::running);
              HOST_CHECK(std::atol(support::status_field("self", "VmHWM").c_str()) < 64L * 1024);
              return {};
          }) == "");
}

TEST_CASE("a cut is told, and what comes after it is passed over") {
    Job job = script("fill 1 100000");
    job.capture.limits.max_stdout_bytes = 3;
    Communication cut(job);
    Protocol seen;
    while (const auto record = cut.next()) seen.add(*record);
    CHECK(seen.text() == "1:" + support::pattern(3) + "(cut)");
    CHECK(cut.result().capture.totals(STDOUT).total_bytes == 100'000);
}

TEST_CASE("the result can be had without asking for any record") {
    Communication dialogue(script("fill 1 300000"));
    CHECK(dialogue.result().passed());
    CHECK(dialogue.result().capture.size(STDOUT) == 300'000);
    CHECK_FALSE(dialogue.next());
}

TEST_CASE("what cannot be run has no records, and a result that says why") {
    Communication missing(Job{.argv = {"/nonexistent/program"}});
    CHECK_FALSE(missing.next());
    CHECK(missing.result().outcome == Outcome::error);
    CHECK(missing.result().error->stage == proctor::Stage::exec);

    Communication refused(script("exit 0"), {.max_running = 0});
    CHECK_FALSE(refused.next());
    CHECK(refused.result().error->stage == proctor::Stage::setup);
    CHECK(refused.handle().state() == JobState::ended);
}

TEST_CASE("limits and cancelling end it") {
    Job job = script("print up then pause");
    job.limits.time = 200ms;
    Communication limited(job);
    CHECK(limited.next()->data == "up");
    CHECK_FALSE(limited.next());
    CHECK(limited.result().reason == proctor::Reason::time_limit);

    Communication cancelled(script("print up then pause"));
    CHECK(cancelled.next()->data == "up");
    cancelled.handle().cancel();
    CHECK_FALSE(cancelled.next());
    CHECK(cancelled.result().error->stage == proctor::Stage::cancelled);
}

TEST_CASE("what has passed is not played again") {
    Communication dialogue(script("print a then print-to 2 b"));
    dialogue.skip_to(0ns);
    CHECK(dialogue.next());
    dialogue.rewind();
    REQUIRE(dialogue.error());
    CHECK(dialogue.error()->error_number == ESPIPE);
    CHECK(dialogue.result().passed());
}

TEST_CASE("to destroy it is to kill the job") {
    support::Pipe witness;
    {
        Job job = script("print up then pause");
        job.descriptors.push_back({.from = witness.write_end.get(), .to = 9});
        Communication dialogue(job);
        CHECK(dialogue.next()->data == "up");
        witness.write_end.reset();
    }
    CHECK(support::read_to_end(witness.read_end.get()).empty());
}
