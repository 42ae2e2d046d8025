// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>

#include <proctor/export.hpp>

namespace proctor {

/// By what the lines of a paced standard input are timed.
enum class Pacing : unsigned char {
    /// Line k is due k times the delay after the first. Where the pipe was full or the reactor late for a whole delay,
    /// the plan begins anew from there: there are no bursts.
    fixed,
    /// The next line is due when for so long no byte has passed on standard input, output or error.
    quiet,
};

/// Where a child's standard input comes from. All but `inherit` go through a pipe that the reactor feeds, so what the
/// child was given can be recorded.
class PROCTOR_API Input {
public:
    enum class Source : unsigned char { empty, text, file, descriptor, held_open, inherit, lines, live };

    /// At end of file from the start.
    Input() = default;
    static Input empty() { return {}; }
    /// These bytes, then end of file.
    static Input text(std::string bytes) { return {Source::text, -1, std::move(bytes)}; }
    /// The content of a file, opened when the job is launched.
    static Input file(std::string path) { return {Source::file, -1, std::move(path)}; }
    /// What can be read from a descriptor of the host, from its present position to end of file. Borrowed: it must
    /// stay open until the job has ended. More than the child reads may be taken from it. Who else reads it gets what
    /// this has not taken; a terminal is opened anew, as by Output::forward.
    static Input descriptor(int descriptor) { return {Source::descriptor, descriptor, {}}; }
    /// Nothing, and no end of file while the main process lives.
    static Input held_open() { return {Source::held_open, -1, {}}; }
    /// What `next` gives, lines or any other pieces, until it gives none. It is called on the reactor's thread when the
    /// pipe can take more, with the same freedoms as Handlers; under input_delay one line ahead of the line that is
    /// due. It must not throw. An empty piece is passed over.
    static Input lines(std::function<std::optional<std::string>()> next) {
        Input input{Source::lines, -1, {}};
        input.next_ = std::move(next);
        return input;
    }
    /// What the program that embeds the reactor writes while the job runs: JobHandle::write_input(), close_input().
    static Input live() { return {Source::live, -1, {}}; }
    /// A descriptor of the host itself, without a pipe and so without a record. Borrowed until the job has left the
    /// state `starting`.
    static Input inherit(int descriptor = 0) { return {Source::inherit, descriptor, {}}; }

    [[nodiscard]] Source source() const noexcept { return source_; }
    [[nodiscard]] int descriptor() const noexcept { return descriptor_; }
    /// The bytes of `text`, the path of `file`.
    [[nodiscard]] const std::string& value() const noexcept { return value_; }
    /// The function of `lines`.
    [[nodiscard]] const std::function<std::optional<std::string>()>& next() const noexcept { return next_; }

private:
    Input(Source source, int descriptor, std::string value)
        : source_(source), descriptor_(descriptor), value_(std::move(value)) {}

    Source source_ = Source::empty;
    int descriptor_ = -1;
    std::string value_{};
    std::function<std::optional<std::string>()> next_{};
};

/// How standard output and standard error are brought into one order.
enum class Order : unsigned char {
    /// Each by its pipe. Two pipes carry no common order: a record and the next one of the other stream are in the
    /// order of their writing if that stream was seen empty in between, and else both are marked `ambiguous`. The child
    /// notices nothing.
    pipe,

    /// In the order of the writes: if write(2) A returned before write(2) B began, A comes first; those that overlap
    /// have no order. One record is one write. It costs the child some of its freedom, so it is for programs that you
    /// know:
    ///
    /// - a write larger than the socket buffer fails (EMSGSIZE): 2 MiB for a host with CAP_NET_ADMIN, else twice
    ///   net.core.wmem_max (416 KiB as a rule), less 32 bytes; one that is nearly as large may fail (ENOBUFS);
    /// - `/dev/stdout` and `/dev/stderr` cannot be opened (ENXIO), so the shell's `echo x >/dev/stdout` fails;
    /// - Node.js prints nothing;
    /// - what a program buffers it writes late, as ever: its order is that of its writes and not of its prints;
    /// - when nobody takes a forwarded output any more, the child's write fails (EPIPE) without SIGPIPE;
    /// - a write of no bytes leaves no record.
    ///
    /// The kernel stamps each write with CLOCK_REALTIME. Around a jump of that clock, and where two stamps are equal,
    /// records are marked `ambiguous`. While one stream is paused, or a forward waits for its reader, the other gets no
    /// further than to what is next in order. Where only one of the two comes to the reactor it has a pipe, and its
    /// order is exact anyway.
    exact,
};

/// Where a child's standard output or standard error goes.
class PROCTOR_API Output {
public:
    enum class Sink : unsigned char { capture, forward, file, null, inherit, with_output };

    /// To the reactor, by a pipe.
    Output() = default;
    static Output capture() { return {}; }
    /// To the reactor, which passes on what the capture limits let through to a descriptor of the host: not faster
    /// than that takes it, and without blocking the reactor: a terminal is opened anew for that, through /proc. One
    /// that may not be (another user's, the master's side, no /proc) keeps a reactor with the poll engine waiting while
    /// it takes nothing. A file is written at the position that it shares with all who have it open, by write(2): so a
    /// slow disk is waited for, unless it was opened with O_APPEND. At the host's own limit of file sizes
    /// (RLIMIT_FSIZE) the kernel sends the host SIGXFSZ, as for any write of its own; where that is ignored the run is
    /// an error of stage `io` (EFBIG). When nobody reads there any more, the child's pipe is closed, so it meets
    /// SIGPIPE as in a shell's pipeline. Borrowed until the job has ended.
    static Output forward(int descriptor) { return {Sink::forward, descriptor, {}}; }
    /// Straight to a file, made or emptied when the job is launched; not recorded.
    static Output file(std::string path) { return {Sink::file, -1, std::move(path)}; }
    static Output null() { return {Sink::null, -1, {}}; }
    /// Straight to a descriptor of the host; not recorded. Borrowed until the job has left the state `starting`.
    static Output inherit(int descriptor) { return {Sink::inherit, descriptor, {}}; }
    /// For error_output alone: the same as standard output, on one descriptor, so their order is kept.
    static Output with_output() { return {Sink::with_output, -1, {}}; }

    [[nodiscard]] Sink sink() const noexcept { return sink_; }
    [[nodiscard]] int descriptor() const noexcept { return descriptor_; }
    [[nodiscard]] const std::string& path() const noexcept { return path_; }

private:
    Output(Sink sink, int descriptor, std::string path)
        : sink_(sink), descriptor_(descriptor), path_(std::move(path)) {}

    Sink sink_ = Sink::capture;
    int descriptor_ = -1;
    std::string path_{};
};

}  // namespace proctor
