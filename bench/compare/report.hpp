// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "driver.hpp"

namespace compare {

/// One table for each workload: of each figure the median, the least and the greatest, and the ratio of medians,
/// proctor to that peer.
void print_tables(const Results& results);

/// {workload: {peer: {figure: {"median": .., "min": .., "max": ..}}}}; who is unavailable or has failed is not in it.
/// Throws std::system_error if the file cannot be written.
void write_json(const Results& results, const std::string& file);

}  // namespace compare
