// SPDX-License-Identifier: MIT
//
// How often memory is taken: for a job so often as is told in lib/DESIGN.md, and for an event never.
#include <doctest/doctest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <string>

#include "support.hpp"

namespace {

std::atomic<long> allocations{0};

void* take(std::size_t size) {
    ++allocations;
    void* const memory = std::malloc(size);
    if (memory == nullptr) std::abort();
    return memory;
}

}  // namespace

void* operator new(std::size_t size) { return take(size); }
void* operator new[](std::size_t size) { return take(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace {

using proctor::CaptureRecord;
using proctor::Job;
using proctor::Reactor;
using proctor::RunResult;

// Of one run of the job in a reactor that has run it before.
long allocations_of(Reactor& reactor, const Job& job) {
    long most = 0;
    long events = 0;
    for (int i = 0; i < 3; ++i) {
        Job again = job;
        const long before = allocations;
        reactor.submit(std::move(again), {.on_record = [&](const CaptureRecord&) { ++events; },
                                          .on_end = [&](const RunResult& result) { REQUIRE(result.passed()); }});
        REQUIRE(reactor.run());
        most = allocations - before;
    }
    CHECK(events > 0);
    return most;
}

Job prints(int lines) {
    Job job = support::script("alternate " + std::to_string(lines));
    job.capture.keep = false;
    return job;
}

}  // namespace

TEST_CASE("an event takes no memory, however many there are") {
    Reactor reactor = support::make_reactor();
    const long few = allocations_of(reactor, prints(100));
    const long many = allocations_of(reactor, prints(20'000));
    CAPTURE(few);
    CHECK(many <= few + 3);
}

TEST_CASE("a job that waits, with limits that are looked at, takes no memory while it does") {
    Reactor reactor = support::make_reactor();
    const auto waits = [](const char* seconds) {
        Job job = support::script(std::string("print up then sleep ") + seconds);
        job.capture.keep = false;
        job.limits = {.time = std::chrono::minutes(1),
                      .cpu_time = std::chrono::seconds(30),
                      .memory = proctor::Bytes{1} << 30,
                      .processes = 10};
        return job;
    };
    const long none = allocations_of(reactor, waits("0"));
    const long some = allocations_of(reactor, waits("1"));
    CAPTURE(none);
    CHECK(some <= none + 3);
}

TEST_CASE("a job takes memory a number of times that is known") {
    Reactor reactor = support::make_reactor();
    const long taken = allocations_of(reactor, prints(1));
    MESSAGE("allocations of a job: ", taken);
    CHECK(taken <= 40);
}
