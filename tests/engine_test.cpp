// SPDX-License-Identifier: MIT
//
// What every engine promises to the rooms above, asked of each that this machine has.
#include <doctest/doctest.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ring/make_engine.hpp"
#include "support.hpp"

using namespace std::chrono_literals;
using namespace proctor::detail;
using proctor::EngineChoice;

namespace {

// One request of each kind, and what it was answered.
template <typename Kind>
class Asked {
public:
    Kind& request() { return request_; }
    [[nodiscard]] std::optional<int> answer() const { return answer_; }
    std::string data{};
    std::function<void()> then{};

private:
    void on_answer(int result) noexcept {
        answer_ = result;
        if constexpr (std::is_same_v<Kind, Read>) {
            if (result >= 0) data.assign(request_.data.begin(), request_.data.end());
        }
        if (then) then();
    }

    std::optional<int> answer_{};
    Bound<Kind, Asked, &Asked::on_answer> request_{*this};
};

class Rang {
public:
    Timer& timer() { return timer_; }
    int times = 0;

private:
    void on_timer(int) noexcept { ++times; }
    Bound<Timer, Rang, &Rang::on_timer> timer_{*this};
};

class Ground {
public:
    explicit Ground(std::unique_ptr<Engine> made) : engine(std::move(made)) { REQUIRE(engine->bind()); }
    ~Ground() { engine->close(); }

    void pass(Nanoseconds timeout = Nanoseconds(-1)) { REQUIRE(engine->pass(timeout)); }
    template <typename Done>
    void until(Done done) {
        while (!done()) pass();
    }
    template <typename Kind>
    void finish(Asked<Kind>& asked) {
        engine->start(asked.request());
        until([&] { return asked.answer().has_value(); });
    }

    std::unique_ptr<Engine> engine;
};

// With what this kernel offers, and as if it were an older one.
void with_each_engine(const std::function<void(Ground&)>& test) {
    for (const EngineChoice choice : {EngineChoice::io_uring, EngineChoice::poll}) {
        for (const KernelFeatures& features : {probe_kernel(), KernelFeatures{}}) {
            auto engine = make_engine(choice, 64, features);
            if (!engine) {
                CHECK(choice == EngineChoice::io_uring);
                continue;  // the next case tells
            }
            CAPTURE((*engine)->name());
            CAPTURE(features.pipe_without_nonblock);
            Ground ground(std::move(*engine));
            test(ground);
        }
    }
}

// As the library makes those of its jobs for this engine.
support::Pipe make_pipe(const Engine& engine) {
    support::Pipe pipe;
    if (engine.pipes_need_nonblock()) {
        for (const int end : {pipe.read_end.get(), pipe.write_end.get()}) {
            fcntl(end, F_SETFL, fcntl(end, F_GETFL) | O_NONBLOCK);
        }
    }
    return pipe;
}

}  // namespace

TEST_CASE("both engines are there") {
    const auto ring = make_engine(EngineChoice::io_uring, 64, probe_kernel());
    CHECK(make_engine(EngineChoice::poll, 64, probe_kernel()));
    // Where it is refused on purpose the suite is run for the other one, and this is no news.
    if (!ring && support::engine() == "io_uring") support::skip("there is no io_uring: " + ring.error().message);
}

TEST_CASE("a read waits for data, and then for the end") {
    with_each_engine([](Ground& ground) {
        support::Pipe pipe = make_pipe(*ground.engine);
        Asked<Read> first;
        first.request().fd = pipe.read_end.get();
        ground.engine->start(first.request());
        ground.pass(0ns);
        CHECK_FALSE(first.answer());
        support::write_all(pipe.write_end.get(), "hello");
        ground.until([&] { return first.answer().has_value(); });
        CHECK(first.data == "hello");

        pipe.write_end.reset();
        Asked<Read> second;
        second.request().fd = pipe.read_end.get();
        ground.finish(second);
        CHECK(second.answer() == 0);
    });
}

TEST_CASE("nothing completes inside start, and what a handler starts completes later") {
    with_each_engine([](Ground& ground) {
        support::Pipe pipe = make_pipe(*ground.engine);
        support::write_all(pipe.write_end.get(), "x");
        Asked<Read> second;
        Asked<Read> first;
        first.request().fd = second.request().fd = pipe.read_end.get();
        bool nested = false;
        first.then = [&] {
            support::write_all(pipe.write_end.get(), "y");
            ground.engine->start(second.request());
            nested = second.answer().has_value();
        };
        ground.engine->start(first.request());
        CHECK_FALSE(first.answer());
        ground.until([&] { return second.answer().has_value(); });
        CHECK_FALSE(nested);
        CHECK(second.data == "y");
    });
}

TEST_CASE("a pipe that is full lets a write wait, and a reader that is gone is EPIPE without a signal") {
    with_each_engine([](Ground& ground) {
        const auto before = std::signal(SIGPIPE, SIG_DFL);
        support::Pipe pipe = make_pipe(*ground.engine);
        const std::string bytes = support::pattern(1 << 20);
        Asked<Write> first;
        first.request().fd = pipe.write_end.get();
        first.request().data = bytes;
        ground.finish(first);
        CHECK(first.answer() > 0);
        CHECK(first.answer() < 1 << 20);

        Asked<Write> second;
        second.request().fd = pipe.write_end.get();
        second.request().data = bytes;
        ground.engine->start(second.request());
        ground.pass(0ns);
        CHECK_FALSE(second.answer());
        pipe.read_end.reset();
        ground.until([&] { return second.answer().has_value(); });
        CHECK(second.answer() == -EPIPE);
        CHECK(ground.engine->write_at_once(pipe.write_end.get(), bytes) == -EAGAIN);
        std::signal(SIGPIPE, before);
    });
}

TEST_CASE("of 4 GiB and more a write takes what there is room for") {
    for (const std::size_t size : {std::size_t{1} << 32, (std::size_t{1} << 32) + 5}) {
        CAPTURE(size);
        void* const memory =
            mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);  // one page of zeros
        REQUIRE(memory != MAP_FAILED);
        with_each_engine([&](Ground& ground) {
            support::Pipe pipe = make_pipe(*ground.engine);
            Asked<Write> write;
            write.request().fd = pipe.write_end.get();
            write.request().data = {static_cast<const char*>(memory), size};
            ground.finish(write);
            CHECK(write.answer() > 5);
        });
        munmap(memory, size);
    }
}

TEST_CASE("a host's blocking pipe never keeps a pass waiting") {
    with_each_engine([](Ground& ground) {
        const support::Pipe pipe;
        Asked<Read> empty;
        empty.request().fd = pipe.read_end.get();
        ground.engine->start(empty.request());
        ground.pass(0ns);
        ground.pass(0ns);
        CHECK_FALSE(empty.answer());

        // More than the pipe holds: a part is taken, and the rest not waited for.
        const support::Pipe other;
        const std::string bytes = support::pattern(300'000);
        Asked<Write> large;
        large.request().fd = other.write_end.get();
        large.request().data = bytes;
        Rang bell;
        ground.engine->start(large.request());
        ground.engine->start(bell.timer(), now() + 2ms);
        ground.until([&] { return bell.times == 1; });
        std::string read;
        while (read.size() < bytes.size()) {
            Asked<Read> some;
            some.request().fd = other.read_end.get();
            ground.finish(some);
            read += some.data;
            if (large.answer() && !large.request().in_flight() && !large.request().data.empty()) {
                REQUIRE(*large.answer() > 0);
                large.request().data = large.request().data.subspan(static_cast<std::size_t>(*large.answer()));
                if (!large.request().data.empty()) ground.engine->start(large.request());
            }
        }
        CHECK(read == bytes);
        ground.engine->cancel(empty.request());
        ground.until([&] { return empty.answer().has_value() && !empty.request().in_flight(); });
    });
}

TEST_CASE("files are read to their end and written at their places") {
    with_each_engine([](Ground& ground) {
        const support::TempDir directory;
        const support::Fd file = support::open_file(directory.file("file"), O_RDWR | O_CREAT);
        const std::string text = "0123456789";
        Asked<Write> placed;
        placed.request().fd = file.get();
        placed.request().data = text;
        placed.request().offset = 5;
        ground.finish(placed);
        CHECK(placed.answer() == 10);
        Asked<Read> all;
        all.request().fd = file.get();
        ground.finish(all);
        CHECK(all.data == std::string(5, '\0') + text);
        Asked<Read> end;
        end.request().fd = file.get();
        ground.finish(end);
        CHECK(end.answer() == 0);
        Asked<Write> appended;
        appended.request().fd = file.get();
        appended.request().data = text;
        ground.finish(appended);
        CHECK(appended.answer() == 10);
        CHECK(support::read_file(directory.file("file")) == std::string(5, '\0') + text + text);
        Asked<Ready> ready;
        ready.request().fd = file.get();
        ready.request().events = POLLIN;
        ground.finish(ready);
        CHECK((*ready.answer() & POLLIN) != 0);
    });
}

TEST_CASE("one descriptor may be waited for by several, each for what it wants") {
    with_each_engine([](Ground& ground) {
        int ends[2];
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
        const support::Fd ours(ends[0]);
        support::Fd other(ends[1]);
        const std::string bytes(1 << 20, 'x');
        Asked<Write> full;  // so that writing has to wait
        full.request().fd = ours.get();
        full.request().data = bytes;
        ground.finish(full);
        Asked<Read> read;
        Asked<Write> write;
        Asked<Ready> closing;
        read.request().fd = write.request().fd = closing.request().fd = ours.get();
        write.request().data = bytes;
        ground.engine->start(read.request());
        ground.engine->start(write.request());
        ground.engine->start(closing.request());
        ground.pass(0ns);
        CHECK_FALSE(read.answer());
        support::write_all(other.get(), "word");
        ground.until([&] { return read.answer().has_value(); });
        CHECK(read.data == "word");
        CHECK_FALSE(closing.answer());
        other.reset();
        ground.until([&] { return closing.answer().has_value() && write.answer().has_value(); });
        CHECK((*closing.answer() & POLLHUP) != 0);
        CHECK(*write.answer() < 0);
    });
}

TEST_CASE("of two who read one pipe the slower one waits on") {
    with_each_engine([](Ground& ground) {
        support::Pipe pipe = make_pipe(*ground.engine);
        std::array<Asked<Read>, 2> reads;
        const auto answered = [&] {
            return std::count_if(reads.begin(), reads.end(),
                                 [](const auto& each) { return each.answer().has_value(); });
        };
        for (auto& each : reads) {
            each.request().fd = pipe.read_end.get();
            ground.engine->start(each.request());
        }
        ground.pass(0ns);
        CHECK(answered() == 0);
        support::write_all(pipe.write_end.get(), "1");
        ground.until([&] { return answered() > 0; });
        ground.pass(0ns);
        CHECK(answered() == 1);
        support::write_all(pipe.write_end.get(), "2");
        ground.until([&] { return answered() == 2; });
        CHECK(reads[0].data != reads[1].data);
    });
}

TEST_CASE("a pass that nobody flushes after sleeps nevertheless, once somebody has asked for the descriptor") {
    with_each_engine([](Ground& ground) {
        REQUIRE(ground.engine->fd() >= 0);
        Rang first;
        ground.engine->start(first.timer(), now() + 1ms);
        REQUIRE(ground.engine->flush());
        ground.until([&] { return first.times == 1; });
        Rang second;
        ground.engine->start(second.timer(), now() + 50ms);
        int passes = 0;
        ground.until([&] {
            ++passes;
            return second.times == 1;
        });
        CHECK(passes < 10);
    });
}

TEST_CASE("what is cancelled completes once, whatever becomes of its descriptor") {
    with_each_engine([](Ground& ground) {
        support::Pipe pipe = make_pipe(*ground.engine);
        Asked<Read> read;
        read.request().fd = pipe.read_end.get();
        ground.engine->start(read.request());
        ground.pass(0ns);
        ground.engine->cancel(read.request());
        ground.engine->cancel(read.request());
        CHECK(read.request().in_flight());
        pipe.read_end.reset();
        ground.until([&] { return !read.request().in_flight(); });
        CHECK(read.answer() == -ECANCELED);

        // Before it was handed over.
        support::Pipe next = make_pipe(*ground.engine);
        Asked<Read> unborn;
        unborn.request().fd = next.read_end.get();
        ground.engine->start(unborn.request());
        ground.engine->cancel(unborn.request());
        ground.until([&] { return !unborn.request().in_flight(); });
        CHECK(unborn.answer() == -ECANCELED);
    });
}

TEST_CASE("a number that became another file's is that file's") {
    with_each_engine([](Ground& ground) {
        for (int round = 0; round < 50; ++round) {
            support::Pipe pipe = make_pipe(*ground.engine);
            Asked<Read> read;
            read.request().fd = pipe.read_end.get();
            ground.engine->start(read.request());
            ground.pass(0ns);
            // A copy lives on under another number, as in a child that is about to execve.
            const support::Fd copy(dup(pipe.read_end.get()));
            const int number = pipe.read_end.get();
            ground.engine->cancel(read.request());
            ground.until([&] { return !read.request().in_flight(); });
            pipe.read_end.reset();

            support::Pipe next = make_pipe(*ground.engine);
            REQUIRE(next.read_end.get() == number);
            Asked<Ready> ready;
            ready.request().fd = number;
            ready.request().events = POLLIN;
            ground.engine->start(ready.request());
            support::write_all(pipe.write_end.get(), "of the old one");
            ground.pass(0ns);
            ground.pass(0ns);
            CHECK_FALSE(ready.answer());
            support::write_all(next.write_end.get(), "!");
            ground.until([&] { return ready.answer().has_value(); });
        }
    });
}

TEST_CASE("bad descriptors are answered with an error") {
    with_each_engine([](Ground& ground) {
        for (const int fd : {-1, 1'000'000}) {
            Asked<Read> read;
            read.request().fd = fd;
            ground.finish(read);
            CHECK(read.answer() == -EBADF);
            Asked<Ready> ready;
            ready.request().fd = fd;
            ready.request().events = POLLIN;
            ground.finish(ready);
            CHECK(ready.answer() == -EBADF);
        }
    });
}

TEST_CASE("timers fire after the requests of the same pass, and wake who sleeps on the descriptor") {
    with_each_engine([](Ground& ground) {
        Engine& engine = *ground.engine;
        Rang due;
        engine.start(due.timer(), now());
        ground.pass();
        CHECK(due.times == 1);
        Rang soon;
        engine.start(soon.timer(), now() + 2ms);
        ground.until([&] { return soon.times == 1; });

        const int descriptor = engine.fd();
        REQUIRE(descriptor >= 0);
        const auto sleep_until_ready = [&] {
            pollfd polled{descriptor, POLLIN, 0};
            REQUIRE(engine.flush());
            REQUIRE(poll(&polled, 1, 60'000) == 1);
        };
        Rang later;
        engine.start(later.timer(), now() + 2ms);
        while (later.times == 0) {
            sleep_until_ready();
            ground.pass(0ns);
        }
        support::Pipe pipe = make_pipe(engine);
        Asked<Read> read;
        read.request().fd = pipe.read_end.get();
        engine.start(read.request());
        REQUIRE(engine.flush());
        support::write_all(pipe.write_end.get(), "x");
        while (!read.answer()) {
            sleep_until_ready();
            ground.pass(0ns);
        }
        Asked<Read> cancelled;
        cancelled.request().fd = pipe.read_end.get();
        engine.start(cancelled.request());
        engine.cancel(cancelled.request());
        while (!cancelled.answer()) {
            sleep_until_ready();
            ground.pass(0ns);
        }
    });
}

TEST_CASE("more reads than the ring has buffers all come") {
    with_each_engine([](Ground& ground) {
        constexpr std::size_t many = 300;
        std::vector<support::Pipe> pipes;
        std::vector<std::unique_ptr<Asked<Read>>> reads;
        for (std::size_t i = 0; i < many; ++i) {
            pipes.push_back(make_pipe(*ground.engine));
            reads.push_back(std::make_unique<Asked<Read>>());
            reads[i]->request().fd = pipes[i].read_end.get();
            support::write_all(pipes[i].write_end.get(), std::to_string(i));
            ground.engine->start(reads[i]->request());
        }
        for (std::size_t i = 0; i < many; ++i) {
            ground.until([&] { return reads[i]->answer().has_value(); });
            CHECK(reads[i]->data == std::to_string(i));
        }
    });
}

TEST_CASE("a read that is cancelled while it waits for a buffer of the ring completes, and has taken nothing") {
    with_each_engine([](Ground& ground) {
        constexpr std::size_t many = 300;
        std::vector<support::Pipe> pipes;
        std::vector<std::string> read_by_others(many);
        std::vector<std::unique_ptr<Asked<Read>>> reads;
        std::size_t answered = 0;
        // While buffers are out, or somebody would be waited for who has nothing to say any more.
        const auto read_and_cancel_the_rest = [&] {
            for (std::size_t i = 0; i < many; ++i) {
                ground.engine->cancel(reads[i]->request());
                char buffer[16];
                pollfd polled{pipes[i].read_end.get(), POLLIN, 0};
                const ssize_t count = poll(&polled, 1, 0) == 1 ? read(polled.fd, buffer, sizeof buffer) : 0;
                read_by_others[i].assign(buffer, static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
            }
        };
        for (std::size_t i = 0; i < many; ++i) {
            pipes.push_back(make_pipe(*ground.engine));
            reads.push_back(std::make_unique<Asked<Read>>());
            reads[i]->request().fd = pipes[i].read_end.get();
            reads[i]->then = [&] {
                if (++answered == 10) read_and_cancel_the_rest();
            };
            ground.engine->start(reads[i]->request());
            support::write_all(pipes[i].write_end.get(), std::to_string(i));
        }
        for (int passes = 0; answered < many && passes < 10'000; ++passes) ground.pass(1ms);
        REQUIRE(answered == many);
        for (std::size_t i = 0; i < many; ++i) {
            CHECK((reads[i]->answer() == -ECANCELED) == reads[i]->data.empty());
            CHECK(reads[i]->data + read_by_others[i] == std::to_string(i));
        }
    });
}
