// SPDX-License-Identifier: MIT
#pragma once

namespace proctor::keeper {

/// Waits for the end of its host, then kills the control group that the host leaves behind. Descriptor 3 is the reading
/// end of a pipe that the host holds open, 4 the group's cgroup.kill; `host` is the host's process id.
[[noreturn]] void guard(int host);

}  // namespace proctor::keeper
