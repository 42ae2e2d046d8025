// SPDX-License-Identifier: MIT
#pragma once

namespace proctor {

/// Which processors a job runs on, seen from the reactor's thread. To wake a program on another processor takes several
/// times as long as passing a small message to one on the same, and programs on the same have to take turns.
///
/// It is chosen when the job is launched, and works as an affinity does: the program is bound before its execve, what
/// it starts inherits that, and it may bind itself anew. "Those of the host" are the processors that the thread which
/// makes the reactor may use at that moment, by its affinity and its cpuset (sched_getaffinity(2)).
///
/// The library never binds the reactor's thread itself. While that may run on several processors, the scheduler can
/// move it away from a job that is with it, and to one that is apart. A host that wants it to stay binds it, after
/// Reactor::create() and on the thread that runs the reactor:
///
///     cpu_set_t one;
///     CPU_ZERO(&one);
///     CPU_SET(sched_getcpu(), &one);
///     sched_setaffinity(0, sizeof one, &one);
///
/// Jobs that are placed nowhere then inherit that processor, so such a host says apart() for the others.
class Placement {
public:
    enum class Kind : unsigned char { any, with_reactor, apart, slot };

    /// Left to the scheduler, on the processors of Job::affinity, or else on those that the reactor's thread may use.
    Placement() = default;
    static Placement any() noexcept { return {}; }
    /// On the one processor on which the reactor's thread is at the launch; of a pair, both programs on the same. For
    /// programs that exchange many small messages with the host or with each other and compute little: all that are
    /// placed so share that processor, with each other and with the reactor.
    static Placement with_reactor() noexcept { return {Kind::with_reactor, 0}; }
    /// On those of the host but the one on which the reactor's thread is at the launch. For programs that compute, so
    /// that the reactor need not wait for them: bind its thread before you place several so, or it is moved between two
    /// launches, and they are everywhere together. Where the host has no other, as any().
    static Placement apart() noexcept { return {Kind::apart, 0}; }
    /// On one alone: of those of the host, in ascending order, the number `n` modulo how many there are, counted from
    /// 0. For as many measured programs at once as there are processors, each with a number that no other has
    /// meanwhile.
    static Placement slot(unsigned n) noexcept { return {Kind::slot, n}; }

    [[nodiscard]] Kind kind() const noexcept { return kind_; }
    /// The number of `slot`, as it was given; else 0.
    [[nodiscard]] unsigned number() const noexcept { return number_; }

    friend bool operator==(const Placement&, const Placement&) = default;

private:
    Placement(Kind kind, unsigned number) noexcept : kind_(kind), number_(number) {}

    Kind kind_ = Kind::any;
    unsigned number_ = 0;
};

}  // namespace proctor
