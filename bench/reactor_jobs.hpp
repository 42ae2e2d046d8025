// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "contender.hpp"

namespace bench {

/// proctor, with one reactor for all jobs and every option of a job at its default.
std::unique_ptr<Contender> make_reactor_jobs(const Workload& workload);

}  // namespace bench
