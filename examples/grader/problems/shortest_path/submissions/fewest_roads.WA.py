# SPDX-License-Identifier: MIT
# Takes the way with the fewest roads, which need not be the shortest.
import collections
import sys

numbers = map(int, sys.stdin.read().split())
crossings, roads = next(numbers), next(numbers)
leaving = collections.defaultdict(list)
for start, end, length in zip(numbers, numbers, numbers):
    leaving[start].append((end, length))

distance = {1: 0}
queue = collections.deque([1])
while queue:
    here = queue.popleft()
    for end, length in leaving[here]:
        if end not in distance:
            distance[end] = distance[here] + length
            queue.append(end)
print(distance.get(crossings, -1))
