// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "process/keeper_protocol.hpp"
#include "process/string_block.hpp"

namespace proctor::detail {

/// Writes a plan as the keeper maps it: `head`, then all that its record points at, with the pointers as they will be
/// there. The record's strings and lists must be those of `strings`. Its moves are left out, since the keeper finds the
/// descriptors in their places.
void flatten_plan(KeeperPlan head, const StringBlock& strings, std::vector<char>& plan);

}  // namespace proctor::detail
