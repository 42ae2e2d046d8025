// SPDX-License-Identifier: MIT
//
// The writer of the spool and the holding of streams, on an engine that does nothing by itself: each request is
// completed by the test, when and how it likes.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

#include "capture/frame_store.hpp"
#include "capture/spool_writer.hpp"
#include "reactor/output_stream.hpp"
#include "support.hpp"

using namespace proctor::detail;
using proctor::Stage;
using proctor::STDOUT;
using proctor::Stream;

namespace {

class HandEngine final : public Engine {
public:
    using Engine::cancel;
    using Engine::start;

    Expected<void> bind() override { return {}; }
    void start(Operation& operation) noexcept override {
        operation.begin();
        started.push_back(&operation);
    }
    void cancel(Operation& operation) noexcept override { operation.mark_cancelled(); }
    int write_at_once(int, std::span<const char>) noexcept override { return -EAGAIN; }
    Expected<void> pass(Nanoseconds) override { return {}; }
    Expected<void> flush() override { return {}; }
    int fd() noexcept override { return -1; }
    void close() noexcept override {}
    bool pipes_need_nonblock() const noexcept override { return false; }
    const char* name() const noexcept override { return "hand"; }

    [[nodiscard]] Write& write() { return static_cast<Write&>(*started.at(0)); }
    void complete(int result) {
        Operation* const operation = started.at(0);
        started.erase(started.begin());
        operation->finish(result);
    }
    // As the kernel would, but at most so many bytes.
    void complete_write(std::size_t most) {
        const std::size_t size = std::min(most, write().data.size());
        const ssize_t count = ::pwrite(write().fd, write().data.data(), size, static_cast<off_t>(write().offset));
        complete(static_cast<int>(count));
    }

    std::vector<Operation*> started{};
};

// A store and its writer, and how often the owner was told.
struct Spool final : SpoolOwner {
    Spool() { writer.open(store); }

    void on_spool_moved() noexcept override { ++told; }
    void add(std::size_t size, char letter) {
        store.append({.time = {}, .stream = STDOUT, .data = std::string(size, letter)});
        expected += std::string(size, letter);
        writer.pump();
    }
    [[nodiscard]] std::string played() const {
        std::string bytes(store.spool_size(), '\0');
        CHECK(store.read_spool(0, bytes));
        return bytes;
    }
    [[nodiscard]] bool all_there() const {
        std::string bytes = played();
        std::string letters;
        for (const char byte : bytes) {
            if (byte >= 'a' && byte <= 'z')
                letters += byte;  // sizes and flags here are no such bytes: add(100) would be
        }
        return letters == expected;
    }

    HandEngine engine{};
    FrameStore store{0, ""};
    SpoolWriter writer{engine, *this};
    std::string expected{};
    int told = 0;
};

constexpr std::size_t piece = FrameStore::piece_size;
constexpr std::size_t whole = piece * 4;

}  // namespace

TEST_CASE("a piece is written when it is full") {
    Spool spool;
    spool.add(piece / 2, 'a');
    CHECK(spool.engine.started.empty());
    spool.add(piece / 2, 'b');
    REQUIRE(spool.engine.started.size() == 1);
    CHECK(spool.engine.write().offset == 0);
    CHECK(spool.engine.write().data.size() >= piece);
    CHECK(spool.engine.write().data.back() == 'b');
    CHECK_FALSE(spool.writer.full());
    CHECK(spool.all_there());
    spool.engine.complete_write(whole);
    CHECK(spool.told == 1);
    CHECK(spool.all_there());
    spool.add(5, 'c');
    CHECK(spool.engine.started.empty());
    CHECK_FALSE(spool.writer.finish());
    spool.engine.complete_write(whole);
    CHECK(spool.writer.finish());
    CHECK(spool.all_there());
    CHECK(spool.store.file_size() == spool.store.spool_size());
}

TEST_CASE("while one piece is written another fills, and then it is full until there is room") {
    Spool spool;
    spool.add(piece, 'a');
    spool.add(10, 'b');
    REQUIRE(spool.engine.started.size() == 1);
    spool.add(piece / 2, 'c');
    CHECK_FALSE(spool.writer.full());
    spool.add(piece / 2, 'd');
    CHECK(spool.writer.full());
    spool.add(20, 'e');  // what was under way
    CHECK(spool.engine.started.size() == 1);
    spool.engine.complete_write(whole);
    CHECK(spool.told == 1);
    CHECK_FALSE(spool.writer.full());
    REQUIRE(spool.engine.started.size() == 1);
    CHECK_FALSE(spool.writer.finish());
    spool.engine.complete_write(whole);
    CHECK(spool.writer.finish());
    CHECK(spool.all_there());
}

TEST_CASE("a write that took less goes on where it stopped, and one that was disturbed is tried again") {
    Spool spool;
    spool.add(piece, 'a');
    spool.add(10, 'b');
    spool.engine.complete_write(1000);
    REQUIRE(spool.engine.started.size() == 1);
    CHECK(spool.engine.write().offset == 1000);
    CHECK(spool.all_there());
    spool.engine.complete(-EINTR);
    CHECK(spool.engine.write().offset == 1000);
    spool.engine.complete(-EAGAIN);
    CHECK(spool.engine.write().offset == 1000);
    spool.engine.complete_write(whole);
    CHECK_FALSE(spool.writer.finish());
    spool.engine.complete_write(3);
    CHECK_FALSE(spool.writer.finish());
    spool.engine.complete_write(whole);
    CHECK(spool.writer.finish());
    CHECK(spool.all_there());
}

TEST_CASE("a failed write is an error of the store, and what it was to write stays readable") {
    struct Case {
        int result;
        int error_number;
    };
    for (const Case& entry : {Case{-ENOSPC, ENOSPC}, {-EIO, EIO}, {0, EIO}, {-ECANCELED, ECANCELED}}) {
        CAPTURE(entry.result);
        Spool spool;
        spool.add(piece, 'a');
        spool.add(piece, 'b');
        CHECK(spool.writer.full());
        spool.add(10, 'c');
        spool.engine.complete_write(5000);
        spool.engine.complete(entry.result);
        REQUIRE(spool.store.error());
        CHECK(spool.store.error()->stage == Stage::spool);
        CHECK(spool.store.error()->error_number == entry.error_number);
        CHECK_FALSE(spool.store.error()->cure.empty());
        CHECK(spool.told == 2);
        CHECK_FALSE(spool.writer.full());
        CHECK(spool.writer.finish());
        CHECK(spool.engine.started.empty());
        CHECK(spool.store.file_size() == 5000);
        CHECK(spool.all_there());
    }
}

TEST_CASE("a record larger than a piece does not stop the writer") {
    Spool spool;
    spool.add(3 * piece, 'a');
    CHECK(spool.engine.started.size() == 1);
    CHECK_FALSE(spool.writer.full());
    spool.add(3 * piece, 'b');
    spool.add(1, 'c');
    CHECK(spool.writer.full());
    spool.engine.complete_write(whole * 4);
    CHECK_FALSE(spool.writer.full());
    CHECK_FALSE(spool.writer.finish());
    spool.engine.complete_write(whole * 4);
    CHECK(spool.writer.finish());
    CHECK(spool.all_there());
}

TEST_CASE("nothing to write is finished at once") {
    Spool spool;
    CHECK(spool.writer.finish());
    CHECK(spool.engine.started.empty());
}

namespace {

struct Told final : OutputOwner {
    std::string_view on_output(Stream, std::string_view data, proctor::detail::Arrival) noexcept override {
        ++records;
        if (holds_itself) stream->hold();
        return data;
    }
    void on_passed_on(std::string_view) noexcept override {}
    void on_forward_closed() noexcept override {}
    void on_output_error(Stream, int, bool) noexcept override {}
    void on_output_end(Stream) noexcept override { ended = true; }

    OutputStream* stream = nullptr;
    bool holds_itself = false;
    bool ended = false;
    int records = 0;
};

struct Output {
    Output() {
        owner.stream = &stream;
        support::Pipe pipe;
        support::write_all(pipe.write_end.get(), "some bytes");
        stream.open(UniqueFd(::dup(pipe.read_end.get())), {});
    }
    ~Output() { stream.forsake(); }
    void deliver() {
        static constexpr char text[] = "text";
        static_cast<Read&>(*engine.started.at(0)).data = {text, 4};
        engine.complete(4);
    }
    [[nodiscard]] bool reading() const { return !engine.started.empty(); }

    HandEngine engine{};
    Told owner{};
    OutputStream stream{engine, owner, STDOUT};
};

}  // namespace

TEST_CASE("a stream that is held starts no read, and the release does not undo the user's pause") {
    Output output;
    CHECK(output.reading());
    output.owner.holds_itself = true;
    output.deliver();
    CHECK_FALSE(output.reading());
    output.stream.resume();
    CHECK_FALSE(output.reading());
    output.stream.pause();
    output.stream.release();
    CHECK_FALSE(output.reading());
    output.stream.resume();
    CHECK(output.reading());
    CHECK(output.owner.records == 1);
}

TEST_CASE("what the pipe holds at the end waits for the release too") {
    Output output;
    output.owner.holds_itself = true;
    output.deliver();
    output.stream.finish_up(false);
    CHECK_FALSE(output.reading());
    output.owner.holds_itself = false;
    output.stream.release();
    CHECK(output.reading());
    output.deliver();
    output.deliver();
    output.deliver();  // more than it held when the end was asked for
    CHECK(output.owner.ended);
}
