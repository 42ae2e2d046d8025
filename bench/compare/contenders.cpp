// SPDX-License-Identifier: MIT
#include "peers.hpp"
#include "workloads.hpp"

namespace compare {

namespace {

using proctor::Containment;

Contender proctor_with(std::string name, Containment containment) {
    return {.name = std::move(name), .make = [=] { return make_proctor(containment); }};
}

#if !defined(COMPARE_HAVE_LIBUV) || !defined(COMPARE_HAVE_BOOST)
std::unique_ptr<Peer> not_built() { throw Unavailable("its library was not there when this was built"); }
#endif

}  // namespace

const std::vector<Contender>& all_contenders() {
    static const std::vector<Contender> all = {
        proctor_with("proctor", Containment::automatic),
        proctor_with("proctor_cgroup", Containment::cgroup),
        proctor_with("proctor_keeper", Containment::keeper),
        proctor_with("proctor_tree", Containment::tree),
        {.name = "proctor_exact",
         .make = [] { return make_proctor(Containment::automatic, proctor::Order::exact); },
         .for_lines_alone = true},
        {.name = "hand_epoll", .make = make_hand_epoll},
        {.name = "hand_poll", .make = make_hand_poll},
#ifdef COMPARE_HAVE_LIBUV
        {.name = "libuv", .make = make_libuv},
#else
        {.name = "libuv", .make = not_built},
#endif
#ifdef COMPARE_HAVE_BOOST
        {.name = "boost", .make = make_boost},
#else
        {.name = "boost", .make = not_built},
#endif
        {.name = "asyncio", .make = make_asyncio},
        {.name = "python_psutil", .make = make_python_psutil},
        {.name = "floor", .make = make_floor},
    };
    return all;
}

}  // namespace compare
