// SPDX-License-Identifier: MIT
//
// By pipes, records whose order is not known are marked, and no others.
#include "numbered_lines.hpp"

#include <string>
#include <vector>

using namespace numbered;
using proctor::CaptureRecord;
using proctor::Job;
using proctor::JobHandle;
using proctor::Reactor;
using proctor::RunResult;
using proctor::STDERR;
using proctor::STDOUT;
using support::Pipe;
using support::script;

TEST_CASE("by pipes, every record in a wrong order is marked") {
    for (const int longest : {1, 8, 50}) {
        PipeFindings found;
        const RunResult result = proctor::run(script(runs(line_count(), longest, longest)));
        INFO(support::describe(result));
        REQUIRE(result.passed());
        auto playback = result.capture.playback();
        for (const proctor::CaptureRecord& record : playback) look(found, record);
        MESSAGE(longest << ": " << found.records << " records, " << found.ambiguous << " ambiguous, " << found.wrong
                        << " wrong");
        CHECK(found.unmarked == 0);
    }
}

TEST_CASE("by pipes, with a reader that stops now and then, observers see the same marks") {
    Reactor reactor = support::make_reactor();
    PipeFindings seen;
    std::string marks;
    std::string stored;
    JobHandle handle;
    Hindrance hindrance(reactor, handle, 20);
    submit_floods(reactor);
    handle = reactor.submit(script(runs(line_count(), 4, 50)),
                            {.on_record =
                                 [&](const CaptureRecord& record) {
                                     look(seen, record);
                                     marks += record.ambiguous ? '?' : '.';
                                     hindrance.after_record();
                                 },
                             .on_end =
                                 [&](RunResult&& result) {
                                     INFO(support::describe(result));
                                     CHECK(result.passed());
                                     auto playback = result.capture.playback();
                                     for (const proctor::CaptureRecord& record : playback) {
                                         stored += record.ambiguous ? '?' : '.';
                                     }
                                 }});
    REQUIRE(reactor.run());
    CHECK(seen.unmarked == 0);
    CHECK(seen.ambiguous > 0);  // what waits in a paused pipe has no order to the other's
    CHECK((marks == stored));
}

TEST_CASE("by pipes, what is written in answer to a record is proven to be later") {
    const int turns = support::rounds(2000);
    std::vector<std::string> all = {"print-to", "1", "a", "then", "await-byte", "7"};
    for (int i = 1; i < turns; ++i) {
        for (const char* word : {"then", "print-to", i % 3 == 0 ? "1" : "2", "a", "then", "await-byte", "7"}) {
            all.emplace_back(word);
        }
    }
    Pipe pipe;
    Job job = script(all);
    job.descriptors = {{.from = pipe.read_end.get(), .to = 7}};
    Reactor reactor = support::make_reactor();
    int records = 0;
    int ambiguous = 0;
    reactor.submit(job, {.on_record =
                             [&](const CaptureRecord& record) {
                                 ++records;
                                 ambiguous += record.ambiguous;
                                 support::write_all(pipe.write_end.get(), "x");
                             },
                         .on_end =
                             [&](RunResult&& result) {
                                 INFO(support::describe(result));
                                 CHECK(result.passed());
                             }});
    REQUIRE(reactor.run());
    CHECK(records == turns);
    CHECK(ambiguous == 0);
}

TEST_CASE("by pipes, what both hold when they are first read is marked on both sides") {
    Reactor reactor = support::make_reactor();
    Pipe go;
    Pipe done;
    Job job = script("print go then await-byte 7 then print-to 2 a then print-to 1 b then print-to 8 x then pause");
    job.descriptors = {{.from = go.read_end.get(), .to = 7}, {.from = done.write_end.get(), .to = 8}};
    std::string seen;
    JobHandle handle;
    handle = reactor.submit(job, {.on_record = [&](const CaptureRecord& record) {
                                if (record.data == "go") {
                                    handle.pause_output(STDOUT);
                                    handle.pause_output(STDERR);
                                    support::write_all(go.write_end.get(), "x");
                                    return;
                                }
                                seen += std::string(record.data) + (record.ambiguous ? "?" : "");
                                if (seen.find('a') != seen.npos && seen.find('b') != seen.npos) handle.cancel();
                            }});
    const auto resume = reactor.watch(done.read_end.get(), [&] {
        (void)support::await_byte(done.read_end.get());
        handle.resume_output(STDERR);
        handle.resume_output(STDOUT);
    });
    REQUIRE(resume);
    REQUIRE(reactor.run());
    // A read of stderr was under way when it was paused; if that took `a` alone, all was in order.
    CHECK((seen == "a?b?" || seen == "b?a?" || seen == "ab"));
}

TEST_CASE("by pipes, one output beside the other's end is not ambiguous") {
    for (int i = 0; i < support::rounds(200); ++i) {
        const RunResult result = proctor::run(script("print a"));
        REQUIRE(records_of(result.capture) == "1:a ");
    }
}
