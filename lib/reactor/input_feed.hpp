// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include <proctor/stdio.hpp>
#include <proctor/units.hpp>

#include "base/clock.hpp"
#include "base/failure.hpp"
#include "base/unique_fd.hpp"
#include "reactor/host_descriptor.hpp"
#include "ring/engine.hpp"

namespace proctor::detail {

/// What an InputFeed tells its run.
class InputOwner {
public:
    /// The pipe accepted these bytes by a write that was issued at `issued`.
    virtual void on_input(std::string_view data, Instant issued) noexcept = 0;
    /// The source could not be read, or the pipe not be written. A child that closes its stdin early is no error.
    virtual void on_input_error(int error_number, bool reading) noexcept = 0;
    /// The child closed its stdin before the end. Once; the end follows, unless the feed is lent.
    virtual void on_input_closed() noexcept = 0;
    /// The feed has stopped and no request of it is in flight.
    virtual void on_input_end() noexcept = 0;
    /// The next piece of a source that is asked for it; none ends the input.
    [[nodiscard]] virtual std::optional<std::string> next_piece() noexcept = 0;
    /// What was pushed and waits has become less than the mark.
    virtual void on_input_room() noexcept = 0;

protected:
    ~InputOwner() = default;
};

/// Writes a child's stdin: from memory, from a descriptor piece by piece, from a function that is asked, or what is
/// pushed while it runs; at once or, with a pace, line by line. One request in flight at a time, besides the watch for
/// a child that closes its end. The pipe is closed right after the last byte; a reading end is then kept for asking
/// what nobody has read.
///
/// A feed may also be lent: then somebody else writes into pipe(), and the feed holds it until the loan ends.
class InputFeed {
public:
    InputFeed(Engine& engine, InputOwner& owner) noexcept : engine_(engine), owner_(owner) {}

    struct Pace {
        Nanoseconds delay{};
        Pacing pacing = Pacing::fixed;
    };
    /// Before it is opened.
    void set_pace(std::optional<Pace> pace) noexcept { pace_ = pace; }

    /// From memory that outlives the feed.
    void open_text(UniqueFd pipe, std::string_view text) noexcept;
    /// From `source`; where nobody may have it open for writing yet, that is waited for.
    void open_descriptor(UniqueFd pipe, HostDescriptor source, bool awaits_writer) noexcept;
    /// From the owner's next_piece().
    void open_pieces(UniqueFd pipe) noexcept;
    /// From push(), which may have come before, until finish().
    void open_live(UniqueFd pipe) noexcept;
    /// Nothing, and no end of file.
    void hold_open(UniqueFd pipe) noexcept { pipe_ = std::move(pipe); }
    /// Somebody else writes it.
    void lend(UniqueFd pipe) noexcept;
    /// Nobody else writes any more: ends a feed that was lent.
    void end_loan() noexcept;
    [[nodiscard]] int pipe() const noexcept { return pipe_.get(); }

    /// No write is begun before the release: what was written before has first to be put away.
    void hold() noexcept { held_ = true; }
    void release() noexcept;

    /// Queues bytes; false if the caller should wait for on_input_room(). May come from inside a call of the owner.
    [[nodiscard]] bool push(std::string bytes) noexcept;
    /// After what was pushed comes the end.
    void finish() noexcept;
    /// Whether pushing makes sense: neither the child nor we have closed it.
    [[nodiscard]] bool takes_more() const noexcept { return !exhausted_ && !broken_; }
    [[nodiscard]] std::size_t pending() const noexcept { return rest_.size() + pushed_.size(); }

    /// Whether the child has closed its end, as far as that was noticed.
    [[nodiscard]] bool broken() const noexcept { return broken_; }

    /// A byte has passed on another stream of the child.
    void note_output(Instant time) noexcept { last_byte_ = std::max(last_byte_, time); }
    /// Whether a line waits for nothing but its time.
    [[nodiscard]] bool waits_for_time() const noexcept { return due_timer_.armed(); }

    /// The main process is dead: no more is written. One that is lent goes on until its loan ends.
    void stop() noexcept;
    /// Ready for another run; also if it was never opened.
    void reset() noexcept;
    void forsake() noexcept;

    [[nodiscard]] bool idle() const noexcept;

    /// Accepted by the pipe and not read by anybody; none if there is no pipe to ask. Ends the feed.
    [[nodiscard]] std::optional<Bytes> take_unread() noexcept;

private:
    enum class Source : unsigned char { memory, descriptor, pieces, live };

    void begin(UniqueFd pipe, Source source) noexcept;
    [[nodiscard]] bool writing_or_waiting() const noexcept;
    void go_on() noexcept;
    [[nodiscard]] bool find_line() noexcept;
    [[nodiscard]] bool is_due() noexcept;
    void plan_next() noexcept;
    void fetch() noexcept;
    void ask() noexcept;
    void refill(std::string& more) noexcept;
    void make_room_in_piece() noexcept;
    void read_next() noexcept;
    void write_line() noexcept;
    void write_next() noexcept;
    void take_accepted(std::size_t count) noexcept;
    void on_read(int result) noexcept;
    void on_written(int result) noexcept;
    void on_ready(int result) noexcept;
    void on_due(int result) noexcept;
    void on_closed(int result) noexcept;
    void watch_closing() noexcept;
    void wait_for(int fd, short events) noexcept;
    void break_off() noexcept;
    void close_writer() noexcept;
    void end() noexcept;

    Engine& engine_;
    InputOwner& owner_;
    UniqueFd pipe_{};    // the writing end
    UniqueFd reader_{};  // after it is closed: a reading end, to ask what is left
    HostDescriptor read_from_{};
    Source source_ = Source::memory;
    bool stopped_ = true;
    bool held_ = false;
    bool waits_ = false;  // for the release
    bool lent_ = false;
    bool asks_ = false;        // waits for room in order to ask for a piece, and not in order to write
    bool exhausted_ = false;   // nothing comes behind rest_
    bool broken_ = false;      // the child has closed its end
    bool calling_ = false;     // inside a call of the owner, who may push but must start nothing
    bool wants_room_ = false;  // the caller of push() was told to wait
    std::string piece_{};
    std::string pushed_{};      // behind piece_
    std::string_view rest_{};   // of piece_ or of the memory: what is not written yet
    std::size_t line_ = 0;      // how much of rest_ may be written now
    std::size_t searched_ = 0;  // how much of rest_ has no newline
    Instant issued_{};

    std::optional<Pace> pace_{};
    bool at_first_line_ = true;
    bool at_line_start_ = true;
    bool was_full_ = false;  // the pipe did not take the line at once
    Instant planned_{};      // when this line is due
    Instant last_byte_{};

    Bound<Read, InputFeed, &InputFeed::on_read> read_{*this};
    Bound<Write, InputFeed, &InputFeed::on_written> write_{*this};
    Bound<Ready, InputFeed, &InputFeed::on_ready> ready_{*this};
    Bound<Ready, InputFeed, &InputFeed::on_closed> closing_watch_{*this};
    Bound<Timer, InputFeed, &InputFeed::on_due> due_timer_{*this};
};

}  // namespace proctor::detail
