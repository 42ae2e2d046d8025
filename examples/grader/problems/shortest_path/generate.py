#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the tests beside this file; the same ones each time."""
import heapq
import pathlib
import random

TESTS = pathlib.Path(__file__).parent / "tests"


def shortest_way(crossings, roads):
    leaving = [[] for _ in range(crossings + 1)]
    for start, end, length in roads:
        leaving[start].append((end, length))
    done, queue = set(), [(0, 1)]
    while queue:
        distance, here = heapq.heappop(queue)
        if here == crossings:
            return distance
        if here not in done:
            done.add(here)
            for end, length in leaving[here]:
                heapq.heappush(queue, (distance + length, end))
    return -1


def write(name, crossings, roads):
    lines = [f"{crossings} {len(roads)}"] + [" ".join(map(str, road)) for road in roads]
    (TESTS / f"{name}.in").write_text("\n".join(lines) + "\n")
    (TESTS / f"{name}.out").write_text(f"{shortest_way(crossings, roads)}\n")


def large(crossings, shortcuts):
    """A street through the whole town, told from its end, so that Bellman-Ford learns one crossing a round; and so many
    ways past each of its crossings that nobody can try all of them."""
    chance = random.Random(6)
    street = [(here, here + 1, chance.randint(500, 999)) for here in range(1, crossings)]
    past = [(here, here + 2, chance.randint(1200, 2999)) for here in chance.sample(range(1, crossings - 1), shortcuts)]
    return sorted(street + past, reverse=True)


write("01", 4, [(1, 2, 5), (2, 4, 6), (1, 3, 2), (3, 4, 10)])
write("02", 5, [(1, 5, 100), (1, 2, 3), (2, 3, 4), (3, 4, 5), (4, 5, 6), (2, 5, 90)])  # more roads, but shorter
write("03", 4, [(1, 2, 1), (2, 3, 1), (4, 3, 1)])  # no way
write("04", 5, [(1, 2, 10**9), (2, 3, 999999999), (3, 4, 10**9), (4, 5, 999999998), (3, 1, 1)])  # beyond 32 bits
write("05", 6, [(2, 1, 1), (6, 2, 1), (1, 3, 7), (3, 1, 7), (3, 4, 7), (4, 3, 1), (4, 6, 7), (5, 6, 1)])  # one-way
write("06", 5000, large(5000, 2500))
