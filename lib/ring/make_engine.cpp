// SPDX-License-Identifier: MIT
#include "ring/make_engine.hpp"

#include <cerrno>
#include <utility>

#include "ring/poll_engine.hpp"
#include "ring/uring_engine.hpp"

namespace proctor::detail {

namespace {

template <typename Kind>
Expected<std::unique_ptr<Engine>> as_engine(Expected<std::unique_ptr<Kind>> made) {
    if (!made) {
        return tl::unexpected<Error>(std::move(made.error()));
    }
    return std::unique_ptr<Engine>(std::move(*made));
}

bool is_missing(const Error& error) noexcept {
    return error.error_number != EMFILE && error.error_number != ENFILE && error.error_number != ENOMEM;
}

}  // namespace

Expected<std::unique_ptr<Engine>> make_engine(EngineChoice choice, unsigned requests, const KernelFeatures& kernel) {
    if (choice != EngineChoice::poll) {
        auto ring = UringEngine::create(requests, kernel);
        if (ring || choice == EngineChoice::io_uring || !is_missing(ring.error())) {
            return as_engine(std::move(ring));
        }
    }
    return as_engine(PollEngine::create(kernel));
}

}  // namespace proctor::detail
