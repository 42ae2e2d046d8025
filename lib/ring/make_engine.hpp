// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include <proctor/engine.hpp>

#include "base/failure.hpp"
#include "ring/engine.hpp"
#include "ring/kernel.hpp"

namespace proctor::detail {

/// `requests`: how many may be in flight, as a hint. Where `automatic` gets no ring for want of descriptors or memory
/// that is the error, and not a reason for the other engine.
[[nodiscard]] Expected<std::unique_ptr<Engine>> make_engine(EngineChoice choice, unsigned requests,
                                                            const KernelFeatures& kernel);

}  // namespace proctor::detail
