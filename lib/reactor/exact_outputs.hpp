// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include <proctor/capture.hpp>

#include "base/unique_fd.hpp"
#include "capture/stamp_order.hpp"
#include "reactor/host_descriptor.hpp"
#include "reactor/output_stream.hpp"
#include "ring/engine.hpp"

namespace proctor::detail {

/// Both outputs of a child whose writes are to be told in their order (Order::exact): the counterpart of two
/// OutputStreams. Each comes by a SOCK_SEQPACKET socket, one message a write, stamped by the kernel.
///
/// Theory of operation. The ring says when a socket is readable; then, at the end of that pass, both are drained by
/// recvmsg(2), with StampOrder as the judge of what is next. At the end of the pass, because by then all writes to the
/// child's stdin that the kernel has done are recorded, so no answer comes before its question. At most one message of
/// each socket is held; when it may not be delivered (its stream is paused, or a forward is under way), all stops
/// there, and the child meets a full socket. What is drained in one pass is bounded; then the next pass goes on.
class ExactOutputs {
public:
    ExactOutputs(Engine& engine, OutputOwner& owner) noexcept : engine_(engine), owner_(owner) {}

    /// False if there is no memory for two messages of that size.
    [[nodiscard]] bool open(UniqueFd output, HostDescriptor forward_output_to, UniqueFd error_output,
                            HostDescriptor forward_error_to, std::size_t largest_message) noexcept;

    void pause(Stream stream) noexcept { side(stream).paused = true; }
    void resume(Stream stream) noexcept;
    /// Apart from that: delivers nothing until it is released, not even when finishing up.
    void hold() noexcept { held_ = true; }
    void release() noexcept;
    /// Delivers what was written before that time, so that something else may be recorded after it.
    void deliver_until(Instant time) noexcept;
    /// Only strangers can write any more: take what was written before now, paused or not, then end. If `impatient`,
    /// forward no more. May come again, in more haste, and from inside on_output().
    void finish_up(bool impatient) noexcept;
    /// Ready for another run.
    void reset() noexcept;
    void forsake() noexcept;

    [[nodiscard]] bool ended() const noexcept { return output_.ended && error_output_.ended; }

private:
    struct Side {
        explicit Side(Stream its) noexcept : stream(its) {}

        Stream stream;
        UniqueFd socket{};
        HostDescriptor forward_to{};
        std::unique_ptr<char[]> message{};  // the held one
        std::size_t size = 0;
        bool paused = false;
        bool at_end = false;  // nothing more will be received
        bool ended = true;    // and that has been told
    };
    enum class Step : unsigned char { done, stuck, at_horizon, all_empty };

    [[nodiscard]] Side& side(Stream stream) noexcept { return stream == STDERR ? error_output_ : output_; }
    [[nodiscard]] bool look_at_clock() noexcept;
    void begin_round(std::optional<Stamp> horizon) noexcept;
    [[nodiscard]] Step drain(std::optional<Stamp> horizon) noexcept;
    [[nodiscard]] Step step() noexcept;
    void receive(Side& from) noexcept;
    void deliver(Side& from) noexcept;
    void go_on(Step last) noexcept;
    [[nodiscard]] bool wants_round_after(Step last) const noexcept;
    [[nodiscard]] Ready& ready_of(const Side& which) noexcept;
    void await(Side& from) noexcept;
    void drain_soon() noexcept;
    void forward_next() noexcept;
    void stop_forwarding() noexcept;
    void give_up(Side& from) noexcept;
    void end_if_idle(Side& from) noexcept;
    [[nodiscard]] bool forwarding() const noexcept { return forward_.in_flight() || forward_ready_.in_flight(); }
    void on_drain_timer(int result) noexcept;
    void on_ready(int result) noexcept;
    void on_forwarded(int result) noexcept;
    void on_forward_ready(int result) noexcept;

    Engine& engine_;
    OutputOwner& owner_;
    Side output_{STDOUT};
    Side error_output_{STDERR};
    std::size_t largest_message_ = 0;
    StampOrder order_{};
    ClockOffset offset_{};
    Stamp real_now_{};
    bool draining_ = false;                // inside the loop, which goes on by itself
    std::optional<Stamp> last_horizon_{};  // once finishing up
    std::size_t last_messages_ = 0;        // a bound for that, should the clock be set back meanwhile
    std::size_t received_ = 0;             // in this drain
    bool impatient_ = false;
    bool held_ = false;
    std::string to_forward_{};  // of one stream
    Side* forwarded_side_ = nullptr;
    std::size_t forwarded_ = 0;
    Bound<Timer, ExactOutputs, &ExactOutputs::on_drain_timer> drain_timer_{*this};
    Bound<Ready, ExactOutputs, &ExactOutputs::on_ready> output_ready_{*this};
    Bound<Ready, ExactOutputs, &ExactOutputs::on_ready> error_ready_{*this};
    Bound<Write, ExactOutputs, &ExactOutputs::on_forwarded> forward_{*this};
    Bound<Ready, ExactOutputs, &ExactOutputs::on_forward_ready> forward_ready_{*this};
};

}  // namespace proctor::detail
