// SPDX-License-Identifier: MIT
//
// The two output streams and the input of a job under random schedules, with this program in the child's place:
// whatever happens comes from one seed, so a schedule that fails does so again (PROCTOR_SEED, PROCTOR_ROUNDS=1).
#include <doctest/doctest.h>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "reactor/input_feed.hpp"
#include "reactor/output_stream.hpp"
#include "ring/make_engine.hpp"
#include "shaken_engine.hpp"
#include "support.hpp"

using namespace proctor;
using namespace proctor::detail;
using support::ShakenEngine;

namespace {

using Random = std::mt19937_64;

// A pipe whose both ends wait for nothing.
support::Pipe make_pipe() {
    support::Pipe pipe;
    for (const int end : {pipe.read_end.get(), pipe.write_end.get()}) {
        fcntl(end, F_SETFL, fcntl(end, F_GETFL) | O_NONBLOCK);
    }
    return pipe;
}

UniqueFd take(support::Fd& end) {
    const int copy = fcntl(end.get(), F_DUPFD_CLOEXEC, 0);
    end.reset();
    return UniqueFd(copy);
}

// What a child would do to its three descriptors. It counts all bytes that it writes, so their true order is known.
class Child {
public:
    explicit Child(Random& random) : random_(random) {}

    void act() {
        switch (random_() % 8) {
            case 0:
            case 1:
            case 2: write(0); break;
            case 3:
            case 4: write(1); break;
            case 5: read(); break;
            case 6:
                if (random_() % 20 == 0) outputs_[random_() % 2].reset();
                break;
            default:
                if (random_() % 30 == 0) input_.reset();
                break;
        }
    }
    /// `to` whom it leaves its outputs, if to anybody, keeps them open and writes no more.
    void die(support::Fd* to = nullptr) {
        for (std::size_t i = 0; to != nullptr && i < 2; ++i) to[i] = std::move(outputs_[i]);
        outputs_[0].reset();
        outputs_[1].reset();
        input_.reset();
    }

    support::Fd outputs_[2]{};
    support::Fd input_{};
    std::string said[2]{};
    std::vector<std::uint64_t> moments[2]{};  // of each byte, in one count
    std::string heard{};

private:
    void write(std::size_t stream) {
        const std::string bytes(1 + random_() % 60, static_cast<char>('a' + random_() % 26));
        const ssize_t count =
            outputs_[stream].get() >= 0 ? ::write(outputs_[stream].get(), bytes.data(), bytes.size()) : 0;
        for (ssize_t i = 0; i < count; ++i) {
            said[stream] += bytes[static_cast<std::size_t>(i)];
            moments[stream].push_back(next_moment_++);
        }
    }
    void read() {
        char buffer[300];
        const ssize_t count = input_.get() >= 0 ? ::read(input_.get(), buffer, 1 + random_() % sizeof buffer) : 0;
        if (count > 0) heard.append(buffer, static_cast<std::size_t>(count));
    }

    Random& random_;
    std::uint64_t next_moment_ = 0;
};

struct Told {
    std::size_t stream = 0;
    std::size_t begin = 0;
    std::size_t end = 0;
    bool ambiguous = false;
};

// The job's side.
class Scene final : public OutputOwner, public InputOwner {
public:
    explicit Scene(std::uint64_t seed)
        : random_(seed), engine_(seed), text_(support::pattern(random_() % 150'000)), child_(random_) {
        support::Pipe out = make_pipe();
        support::Pipe error_out = make_pipe();
        support::Pipe in = make_pipe();
        child_.outputs_[0] = std::move(out.write_end);
        child_.outputs_[1] = std::move(error_out.write_end);
        child_.input_ = std::move(in.read_end);
        for (OutputStream* const each : {&output_, &error_output_}) each->reset();
        output_.set_beside(error_output_);
        error_output_.set_beside(output_);
        output_.open(take(out.read_end), {});
        error_output_.open(take(error_out.read_end), {});
        feed_.open_text(take(in.write_end), text_);
    }

    std::string play() {
        const std::size_t steps = random_() % 80;
        for (std::size_t i = 0; i < steps && wrong_.empty(); ++i) {
            for (std::size_t acts = random_() % 5; acts > 0; --acts) child_.act();
            act();
            pass();
        }
        child_.die(has_stranger_ ? strangers_ : nullptr);
        resume_all();
        for (int i = 0; i < 100'000 && !over() && wrong_.empty(); ++i) {
            pass();
        }
        return judge();
    }

private:
    [[nodiscard]] bool over() const {
        return ends_[0] > 0 && ends_[1] > 0 && input_ends_ > 0 && engine_.in_flight() == 0;
    }

    void pass() {
        if (!engine_.pass(Nanoseconds::zero())) wrong_ = "a pass fails";
    }

    void act() {
        OutputStream& stream = random_() % 2 == 0 ? output_ : error_output_;
        switch (random_() % 8) {
            case 0: stream.pause(); break;
            case 1: stream.resume(); break;
            case 2: stream.hold(); break;
            case 3: stream.release(); break;
            case 4: feed_.hold(); break;
            case 5: feed_.release(); break;
            default: break;
        }
    }
    void resume_all() {
        resumed_ = true;
        for (OutputStream* const each : {&output_, &error_output_}) {
            each->release();
            each->resume();
            if (has_stranger_ || random_() % 3 == 0) each->finish_up(random_() % 2 == 0);
        }
        feed_.release();
        feed_.stop();
    }

    std::string judge() {
        if (!wrong_.empty()) return wrong_;
        if (!over()) return "no end";
        if (ends_[0] != 1 || ends_[1] != 1 || input_ends_ != 1) return "not one end each";
        const std::string_view accepted = std::string_view(text_).substr(0, accepted_);
        if (!accepted.starts_with(child_.heard)) return "the child heard what was not accepted";
        for (std::size_t stream = 0; stream < 2; ++stream) {
            if (told_bytes_[stream] != child_.said[stream]) return "what was said is not what was told";
        }
        return judge_order();
    }

    // Of neighbours of different streams that are not both marked, the first was written first.
    std::string judge_order() const {
        for (std::size_t i = 1; i < told_.size(); ++i) {
            const Told& first = told_[i - 1];
            const Told& second = told_[i];
            if (first.stream == second.stream || (first.ambiguous && second.ambiguous)) continue;
            if (child_.moments[first.stream][first.end - 1] > child_.moments[second.stream][second.begin]) {
                return "an order is told as known that was another";
            }
        }
        return "";
    }

    std::string_view on_output(Stream stream, std::string_view data, Arrival arrival) noexcept override {
        const std::size_t index = stream == STDERR ? 1 : 0;
        if (ends_[index] > 0) wrong_ = "data after the end";
        const std::size_t begin = told_bytes_[index].size();
        told_bytes_[index] += data;
        told_.push_back({index, begin, told_bytes_[index].size(), arrival.ambiguous});
        if (random_() % 4 == 0) child_.act();  // as a child that is awaited may
        if (!resumed_ && random_() % 8 == 0) (index == 0 ? output_ : error_output_).pause();
        return {};
    }
    void on_passed_on(std::string_view) noexcept override { wrong_ = "nothing is to be passed on"; }
    void on_forward_closed() noexcept override { wrong_ = "nothing is forwarded"; }
    void on_output_error(Stream, int, bool) noexcept override { wrong_ = "an error of a stream"; }
    void on_output_end(Stream stream) noexcept override { ++ends_[stream == STDERR ? 1 : 0]; }
    void on_input(std::string_view data, Instant) noexcept override {
        if (std::string_view(text_).substr(accepted_, data.size()) != data) wrong_ = "the input differs";
        accepted_ += data.size();
    }
    void on_input_error(int, bool) noexcept override { wrong_ = "an error of the input"; }
    void on_input_closed() noexcept override {}
    void on_input_end() noexcept override { ++input_ends_; }
    std::optional<std::string> next_piece() noexcept override { return std::nullopt; }
    void on_input_room() noexcept override {}

    Random random_;
    ShakenEngine engine_;
    std::string text_;
    Child child_;
    const bool has_stranger_ = random_() % 3 == 0;  // to whom it hands its outputs
    support::Fd strangers_[2]{};
    OutputStream output_{engine_, *this, STDOUT};
    OutputStream error_output_{engine_, *this, STDERR};
    InputFeed feed_{engine_, *this};
    std::string told_bytes_[2]{};
    std::vector<Told> told_{};
    int ends_[2]{};
    int input_ends_ = 0;
    bool resumed_ = false;
    std::size_t accepted_ = 0;
    std::string wrong_{};
};

// What only counts ends.
class Listener final : public OutputOwner {
public:
    int ends = 0;
    std::string told{};

private:
    std::string_view on_output(Stream, std::string_view data, Arrival) noexcept override {
        told += data;
        return {};
    }
    void on_passed_on(std::string_view) noexcept override {}
    void on_forward_closed() noexcept override {}
    void on_output_error(Stream, int, bool) noexcept override {}
    void on_output_end(Stream) noexcept override { ++ends; }
};

std::uint64_t first_seed() {
    const char* const told = std::getenv("PROCTOR_SEED");
    return told != nullptr ? std::strtoull(told, nullptr, 10) : 1;
}

}  // namespace

TEST_CASE(
    "whatever the schedule, streams bring all that was said, in an order that is true where it is told as known") {
    const int schedules = support::rounds(10'000);
    const auto before = support::open_descriptors();
    int failures = 0;
    for (int i = 0; i < schedules && failures < 3; ++i) {
        const std::uint64_t seed = first_seed() + static_cast<std::uint64_t>(i);
        const auto scene = std::make_unique<Scene>(seed);
        const std::string wrong = scene->play();
        CHECK_MESSAGE(wrong.empty(), "PROCTOR_SEED=" << seed << ": " << wrong);
        failures += wrong.empty() ? 0 : 1;
        if (!wrong.empty()) break;  // what is in flight may not be destroyed
    }
    CHECK(support::open_descriptors() == before);
    MESSAGE(schedules << " schedules");
}

TEST_CASE("a stream whose last bytes are taken back by a stranger ends without them") {
    for (const EngineChoice choice : {EngineChoice::io_uring, EngineChoice::poll}) {
        auto engine = make_engine(choice, 64, probe_kernel());
        if (!engine) continue;
        CAPTURE((*engine)->name());
        REQUIRE((*engine)->bind());
        support::Pipe pipe = make_pipe();
        const support::Fd strangers(fcntl(pipe.read_end.get(), F_DUPFD_CLOEXEC, 0));
        Listener listener;
        OutputStream stream(**engine, listener, STDOUT);
        stream.open(take(pipe.read_end), {});
        REQUIRE((*engine)->pass(Nanoseconds::zero()));
        support::write_all(pipe.write_end.get(), "abc");
        stream.pause();
        while (listener.told.empty()) REQUIRE((*engine)->pass(Nanoseconds(-1)));
        support::write_all(pipe.write_end.get(), "def");
        stream.finish_up(false);  // it has seen them
        REQUIRE(support::await_byte(strangers.get()));
        REQUIRE(support::await_byte(strangers.get()));
        REQUIRE(support::await_byte(strangers.get()));
        while (listener.ends == 0) REQUIRE((*engine)->pass(Nanoseconds(-1)));
        CHECK(listener.told == "abc");
        (*engine)->close();
    }
}
