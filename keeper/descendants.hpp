// SPDX-License-Identifier: MIT
#pragma once

namespace proctor::keeper {

/// Sends a signal to every process that descends from this one, as /proc tells; answers how many of them were our own
/// children.
///
/// With SIGKILL each is killed as it is found, and its children are listed after that, when it can make no more.
/// Other signals are sent when all have been listed: a list that is read while its processes end leaves some out.
///
/// A child of ours keeps its number until we reap it. The number of a deeper one could, in principle, come to name
/// another process before the signal is sent, if in these microseconds it dies, is reaped, and all numbers of the
/// system are used once: no machine forks so fast.
class Descendants {
public:
    explicit constexpr Descendants(bool without_children_files) : without_children_files_(without_children_files) {}

    unsigned signal_all(int number);

private:
    bool without_children_files_;
};

}  // namespace proctor::keeper
