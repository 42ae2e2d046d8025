// SPDX-License-Identifier: MIT
//
// What the targets share.
#pragma once

#include <cstdlib>

/// Not assert(): a target looks in every kind of build.
inline void require(bool holds) {
    if (!holds) std::abort();
}
