# SPDX-License-Identifier: MIT
# Expects that every crossing can be reached: KeyError where the last one cannot.
import heapq
import sys

numbers = map(int, sys.stdin.read().split())
crossings, roads = next(numbers), next(numbers)
leaving = [[] for _ in range(crossings + 1)]
for start, end, length in zip(numbers, numbers, numbers):
    leaving[start].append((end, length))

distances = {}
queue = [(0, 1)]
while queue:
    distance, here = heapq.heappop(queue)
    if here not in distances:
        distances[here] = distance
        for end, length in leaving[here]:
            heapq.heappush(queue, (distance + length, end))
print(distances[crossings])
