// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include <proctor/reactor.hpp>
#include <proctor/stdio.hpp>

#include "peer.hpp"

namespace compare {

/// proctor as users run it: with limits of time, processor time, memory and processes, accounting and timestamps. None
/// of the others does any of that.
std::unique_ptr<Peer> make_proctor(proctor::Containment containment, proctor::Order order = proctor::Order::pipe);

/// vfork, epoll and pidfds, as a good engineer writes it for one program.
std::unique_ptr<Peer> make_hand_epoll();
/// posix_spawn, poll and wait4.
std::unique_ptr<Peer> make_hand_poll();
/// What the kernel alone costs: no supervisor could do it with less.
std::unique_ptr<Peer> make_floor();

/// uv_spawn (only where COMPARE_HAVE_LIBUV is defined).
std::unique_ptr<Peer> make_libuv();
/// Boost.Process v2 on Boost.Asio (only where COMPARE_HAVE_BOOST is defined).
std::unique_ptr<Peer> make_boost();
/// Python's asyncio.create_subprocess_exec.
std::unique_ptr<Peer> make_asyncio();
/// Python's subprocess, with a thread for each child that looks at it by psutil, and one for each of its streams.
std::unique_ptr<Peer> make_python_psutil();

}  // namespace compare
