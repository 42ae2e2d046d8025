// SPDX-License-Identifier: MIT
//
// When a tree has made no progress: pure arithmetic over looks.
#include <doctest/doctest.h>

#include <chrono>
#include <functional>

#include "limits/block_window.hpp"

using namespace std::chrono_literals;
using proctor::detail::BlockWindow;
using proctor::detail::Instant;
using proctor::detail::Nanoseconds;

namespace {

Instant at(Nanoseconds time) { return Instant{1000s + time}; }

/// Looks when it asks to, at a tree whose processor time is a function of time. When it found it blocked; nothing if it
/// had not by the end.
struct Run {
    Nanoseconds blocked_at{-1};
    int looks = 0;
};

Run watch(Nanoseconds limit, Nanoseconds end, const std::function<Nanoseconds(Nanoseconds)>& used,
          const std::function<Nanoseconds(Nanoseconds)>& last_byte = {}) {
    BlockWindow window;
    window.start(at(0s), limit);
    Run run;
    for (Nanoseconds time = limit / BlockWindow::dense; time <= end;) {
        if (last_byte && last_byte(time) > 0s) window.note_progress(at(last_byte(time)));
        const auto verdict = window.look(at(time), used(time));
        ++run.looks;
        if (verdict.blocked) {
            run.blocked_at = time;
            return run;
        }
        REQUIRE(verdict.next_look > at(time));
        time = verdict.next_look - at(0s);
    }
    return run;
}

}  // namespace

TEST_CASE("a tree that does nothing is blocked exactly at its limit") {
    const Run run = watch(1s, 10s, [](Nanoseconds) { return 0ns; });
    CHECK(run.blocked_at == 1s);
    CHECK(run.looks <= BlockWindow::sparse + 2);
}

TEST_CASE("a little work at the start does not count") {
    CHECK(watch(1s, 10s, [](Nanoseconds) { return 10ms; }).blocked_at == 1s);
}

TEST_CASE("more than 1 % at the start moves the end by what it took, up to a look") {
    const Run run = watch(1s, 10s, [](Nanoseconds time) { return std::min<Nanoseconds>(time, 300ms); });
    CHECK(run.blocked_at >= 1290ms);
    CHECK(run.blocked_at <= 1290ms + 1000ms / BlockWindow::dense);
}

TEST_CASE("an idle Java machine's 0.6 % is blocked, in whatever portions it comes") {
    for (const Nanoseconds portion : {Nanoseconds(60us), Nanoseconds(300us), Nanoseconds(3ms)}) {
        const auto used = [&](Nanoseconds time) { return time * 6 / 1000 / portion * portion; };
        const Nanoseconds blocked = watch(2s, 60s, used).blocked_at;
        CHECK(blocked >= 2s);
        CHECK(blocked <= 3s);
    }
}

TEST_CASE("one that works 2 % is never blocked, in whatever portions") {
    for (const Nanoseconds portion : {Nanoseconds(20us), Nanoseconds(1ms), Nanoseconds(20ms)}) {
        const auto used = [&](Nanoseconds time) { return time * 2 / 100 / portion * portion; };
        CHECK(watch(1s, 100s, used).blocked_at == -1ns);
    }
}

TEST_CASE("one that prints once in a while is never blocked, and is when it stops") {
    const auto idle = [](Nanoseconds) { return 0ns; };
    CHECK(watch(1s, 100s, idle, [](Nanoseconds time) { return time / 900ms * 900ms; }).blocked_at == -1ns);
    const auto stops = [](Nanoseconds time) { return std::min<Nanoseconds>(time / 900ms * 900ms, 4500ms); };
    CHECK(watch(1s, 100s, idle, stops).blocked_at == 5500ms);
}

TEST_CASE("work after a rest is seen a quarter of the limit late at most") {
    const auto used = [](Nanoseconds time) { return time < 700ms ? 0ns : std::min<Nanoseconds>(time - 700ms, 200ms); };
    const Nanoseconds blocked = watch(1s, 10s, used).blocked_at;
    CHECK(blocked >= 1890ms);
    CHECK(blocked <= 1890ms + 250ms);
}

TEST_CASE("the shortest limits neither loop nor fail") {
    CHECK(watch(1ns, 1us, [](Nanoseconds) { return 0ns; }).blocked_at >= 0ns);
    CHECK(watch(1us, 1ms, [](Nanoseconds time) { return time; }).blocked_at == -1ns);
}

TEST_CASE("a hundred years' limit of a tree that takes thousands of processors is counted, too") {
    constexpr Nanoseconds years = std::chrono::hours(24 * 365 * 100);
    const auto works_half = [years](Nanoseconds time) -> Nanoseconds {
        return std::min<Nanoseconds>(time, years / 2) / 10;
    };
    const Nanoseconds blocked = watch(years, 2 * years, works_half).blocked_at;
    CHECK(blocked >= years + years / 10 * 3);
    CHECK(blocked <= years + years / 2);
}
