// SPDX-License-Identifier: MIT
//
// Messages of two queues come out in the order of their writing, whatever is written between two steps of the merging:
// a model of kernel, writers and clock, with random interleavings.
#include "capture/stamp_order.hpp"

#include "support.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <limits>
#include <random>
#include <vector>

using namespace std::chrono_literals;
using proctor::STDERR;
using proctor::STDOUT;
using proctor::Stream;
using proctor::detail::ClockOffset;
using proctor::detail::Nanoseconds;
using proctor::detail::Stamp;
using proctor::detail::StampOrder;

namespace {

struct Message {
    std::int64_t began = 0;  // in true time
    std::int64_t returned = 0;
    Stamp stamp{};
    std::size_t size = 0;
    bool ambiguous = false;
    Stream stream = STDOUT;
};

struct Circumstances {
    std::int64_t clock_tick = 1;  // the stamps are multiples of it
    bool overlapping = false;     // each stream has a writer of its own
    bool clock_jumps = false;
};

class World {
public:
    World(unsigned seed, Circumstances circumstances) : random_(seed), circumstances_(circumstances) {}

    std::vector<Message> run(int messages) {
        left_ = messages;
        while (left_ > 0 || busy() || !queue(STDOUT).empty() || !queue(STDERR).empty() || order_.holds(STDOUT) ||
               order_.holds(STDERR)) {
            round();
        }
        return std::move(told_);
    }

private:
    struct Writer {
        bool writing = false;
        bool stamped = false;
        Message message{};
    };

    int below(int limit) { return std::uniform_int_distribution<int>(0, limit - 1)(random_); }
    std::deque<Message>& queue(Stream stream) { return queues_[stream == STDERR]; }
    Stamp clock() const {
        const std::int64_t time = time_ + jump_;
        return Stamp(time - time % circumstances_.clock_tick);
    }
    bool busy() const { return writers_[0].writing || writers_[1].writing; }

    // Things that happen while the merging is not looking.
    void others_act() {
        for (int steps = below(4); steps > 0; --steps) {
            ++time_;
            if (circumstances_.clock_jumps && below(200) == 0) {
                jump_ += below(2001) - 1000;
                jumped_ = true;
            }
            write(writers_[circumstances_.overlapping ? static_cast<std::size_t>(below(2)) : 0]);
        }
    }

    void write(Writer& writer) {
        if (!writer.writing) {
            if (left_ == 0) return;
            --left_;
            Stream stream = below(2) == 0 ? STDOUT : STDERR;
            if (circumstances_.overlapping) stream = &writer == &writers_[1] ? STDERR : STDOUT;
            writer = {true, false, {time_, 0, {}, static_cast<std::size_t>(1 + below(9)), false, stream}};
        } else if (!writer.stamped) {
            writer.message.stamp = clock();
            writer.stamped = true;
        }
        // With a jump the two are one step, as they are under the kernel's lock of the socket.
        if (writer.stamped && (circumstances_.clock_jumps || below(2) == 0)) {
            writer.message.returned = time_;
            queue(writer.message.stream).push_back(writer.message);
            writer.writing = false;
        }
    }

    std::size_t bytes(Stream stream) {
        std::size_t sum = 0;
        for (const Message& each : queue(stream)) sum += each.size;
        return sum;
    }

    bool look_at_clock() {
        if (!jumped_) return true;
        jumped_ = false;
        order_.clock_jumped(bytes(STDOUT), bytes(STDERR));
        return false;
    }

    void round() {
        others_act();
        look_at_clock();
        order_.begin(clock());
        for (;;) {
            others_act();
            if (const auto wanted = order_.wants()) {
                receive(*wanted);
                continue;
            }
            const auto next = order_.next();
            if (!next) return;
            if (!look_at_clock()) continue;
            Message& message = held_[*next == STDERR];
            message.ambiguous = order_.take(*next);
            told_.push_back(message);
            if (below(20) == 0) return;  // a pass that has taken enough
        }
    }

    void receive(Stream stream) {
        if (queue(stream).empty()) {
            order_.found_empty(stream);
            return;
        }
        held_[stream == STDERR] = queue(stream).front();
        order_.offer(stream, queue(stream).front().stamp, queue(stream).front().size);
        queue(stream).pop_front();
    }

    std::mt19937 random_;
    Circumstances circumstances_;
    std::int64_t time_ = 100'000;
    std::int64_t jump_ = 0;
    bool jumped_ = false;
    int left_ = 0;
    std::array<Writer, 2> writers_{};
    std::array<std::deque<Message>, 2> queues_{};
    std::array<Message, 2> held_{};
    StampOrder order_{};
    std::vector<Message> told_{};
};

struct Findings {
    int inversions = 0;  // that are not marked on both sides
    int ambiguous = 0;
};

// A pair is inverted if the later one had returned before the earlier one began.
Findings examine(const std::vector<Message>& told) {
    Findings findings;
    std::array<std::int64_t, 2> last_sure{};  // latest beginning, by stream
    std::array<std::int64_t, 2> last{};
    for (const Message& each : told) {
        const std::size_t mine = each.stream == STDERR;
        findings.ambiguous += each.ambiguous;
        findings.inversions += each.returned < last[mine];
        findings.inversions += each.returned < (each.ambiguous ? last_sure : last)[1 - mine];
        last[mine] = std::max(last[mine], each.began);
        if (!each.ambiguous) last_sure[mine] = std::max(last_sure[mine], each.began);
    }
    return findings;
}

}  // namespace

TEST_CASE("messages of one writer come out as they were written, and nothing is ambiguous") {
    for (int seed = 0; seed < support::rounds(2000); ++seed) {
        const auto told = World(static_cast<unsigned>(seed), {}).run(100);
        REQUIRE(told.size() == 100);
        const Findings findings = examine(told);
        CAPTURE(seed);
        REQUIRE(findings.inversions == 0);
        REQUIRE(findings.ambiguous == 0);
    }
}

TEST_CASE("of two writers, what had returned before another began comes first") {
    for (int seed = 0; seed < support::rounds(2000); ++seed) {
        const auto told = World(static_cast<unsigned>(seed), {.overlapping = true}).run(100);
        REQUIRE(told.size() == 100);
        CAPTURE(seed);
        REQUIRE(examine(told).inversions == 0);
    }
}

TEST_CASE("with a coarse clock, what has equal stamps and no order is marked on both sides") {
    int ambiguous = 0;
    int sure = 0;
    for (int seed = 0; seed < support::rounds(2000); ++seed) {
        const auto told = World(static_cast<unsigned>(seed), {.clock_tick = 8, .overlapping = seed % 2 == 1}).run(100);
        REQUIRE(told.size() == 100);
        const Findings findings = examine(told);
        CAPTURE(seed);
        REQUIRE(findings.inversions == 0);
        ambiguous += findings.ambiguous;
        sure += 100 - findings.ambiguous;
    }
    CHECK(ambiguous > 0);
    CHECK(sure > 0);
}

TEST_CASE("when the clock jumps, in either direction, what may be in the wrong order is marked") {
    int ambiguous = 0;
    int sure = 0;
    for (int seed = 0; seed < support::rounds(4000); ++seed) {
        const auto told = World(static_cast<unsigned>(seed), {.clock_jumps = true}).run(200);
        REQUIRE(told.size() == 200);
        const Findings findings = examine(told);
        CAPTURE(seed);
        REQUIRE(findings.inversions == 0);
        ambiguous += findings.ambiguous;
        sure += 200 - findings.ambiguous;
    }
    CHECK(ambiguous > 0);
    CHECK(sure > ambiguous);
}

TEST_CASE("a message younger than the horizon waits for the next round") {
    StampOrder order;
    order.begin(10ns);
    order.offer(STDOUT, 11ns, 1);
    order.found_empty(STDERR);
    CHECK_FALSE(order.next().has_value());
    order.begin(12ns);
    REQUIRE(order.wants() == STDERR);
    order.offer(STDERR, 9ns, 1);
    REQUIRE(order.next() == STDERR);
    CHECK_FALSE(order.take(STDERR));
    order.found_empty(STDERR);
    REQUIRE(order.next() == STDOUT);
    CHECK_FALSE(order.take(STDOUT));
}

TEST_CASE("the distance of the clocks is the same until one of them is set") {
    ClockOffset offset;
    CHECK(offset.add(100ns, 1'000'150ns, 200ns));
    CHECK(offset.add(300ns, 1'000'330ns, 320ns));      // 1,000,010 to 1,000,030
    CHECK(offset.add(400ns, 1'500'400ns, 900'000ns));  // slow, and so nothing is known against it
    CHECK(offset.to_stamp({1000ns}) <= 1'001'030ns);
    CHECK(offset.to_stamp({1000ns}) >= 1'001'010ns);
    CHECK(offset.to_instant(1'001'020ns).since_boot <= 1010ns);
    CHECK_FALSE(offset.add(1000ns, 900'000ns, 1010ns));
    CHECK(offset.add(2000ns, 901'000ns, 2010ns));
    CHECK_FALSE(offset.add(3000ns, 902'500ns, 3010ns));
}
