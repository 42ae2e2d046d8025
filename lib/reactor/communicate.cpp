// SPDX-License-Identifier: MIT
#include <cerrno>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <proctor/communicate.hpp>

namespace proctor {

struct Communication::State {
    /// Of a record that waits to be asked for; its data is in `bytes`.
    struct Waiting {
        CaptureRecord record{};
        std::size_t place = 0;
        std::size_t size = 0;
    };

    void take(const CaptureRecord& record) {
        waiting.push_back({record, bytes.size(), record.data.size()});
        bytes.append(record.data);
    }
    void forget_all() noexcept {
        waiting.clear();
        bytes.clear();
        next = 0;
    }
    // Makes a result of it if the reactor cannot go on: it is used by another thread, or inside a handler of its own.
    void pass() {
        if (const auto passed = reactor->run_once(); !passed) {
            fail(passed.error());
        }
    }
    void fail(const Error& error) {
        result.emplace();
        result->error = error;
    }

    std::optional<Reactor> reactor{};
    JobHandle handle{};
    std::optional<RunResult> result{};
    // What one pass has told.
    std::vector<Waiting> waiting{};
    std::string bytes{};
    std::size_t next = 0;
};

Communication::Communication(Job job, const ReactorOptions& options) : state_(std::make_unique<State>()) {
    auto reactor = Reactor::create(options);
    if (!reactor) {
        state_->fail(reactor.error());
        return;
    }
    State& state = *state_;
    state.reactor.emplace(std::move(*reactor));
    state.handle = state.reactor->submit(
        std::move(job), {.on_record = [&state](const CaptureRecord& record) { state.take(record); },
                         .on_end = [&state](RunResult&& result) { state.result = std::move(result); }});
}

Communication::~Communication() = default;

const JobHandle& Communication::handle() const noexcept { return state_->handle; }

const RunResult& Communication::result() {
    while (!state_->result) {
        state_->forget_all();
        state_->pass();
    }
    return *state_->result;
}

std::optional<CaptureRecord> Communication::read() {
    State& state = *state_;
    if (state.next == state.waiting.size()) {
        state.forget_all();
        while (state.waiting.empty() && !state.result) {
            state.pass();
        }
    }
    if (state.next == state.waiting.size()) {
        return std::nullopt;
    }
    const State::Waiting& waiting = state.waiting[state.next++];
    CaptureRecord record = waiting.record;
    record.data = std::string_view(state.bytes).substr(waiting.place, waiting.size);
    return record;
}

void Communication::start_over() {
    fail({Stage::io, ESPIPE, "what a running job has said cannot be played again here",
          "play back the capture of its result"});
}

}  // namespace proctor
