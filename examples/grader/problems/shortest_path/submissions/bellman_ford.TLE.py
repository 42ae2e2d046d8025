# SPDX-License-Identifier: MIT
# Right, but looks at every road once for every crossing.
import sys

numbers = map(int, sys.stdin.read().split())
crossings, roads = next(numbers), next(numbers)
town = list(zip(numbers, numbers, numbers))

distance = [float("inf")] * (crossings + 1)
distance[1] = 0
for _ in range(crossings):
    for start, end, length in town:
        distance[end] = min(distance[end], distance[start] + length)
print(-1 if distance[crossings] == float("inf") else distance[crossings])
