# SPDX-License-Identifier: MIT
import heapq
import sys

numbers = map(int, sys.stdin.read().split())
crossings, roads = next(numbers), next(numbers)
leaving = [[] for _ in range(crossings + 1)]
for start, end, length in zip(numbers, numbers, numbers):
    leaving[start].append((end, length))

answer = -1
done = set()
queue = [(0, 1)]
while queue:
    distance, here = heapq.heappop(queue)
    if here == crossings:
        answer = distance
        break
    if here not in done:
        done.add(here)
        for end, length in leaving[here]:
            heapq.heappush(queue, (distance + length, end))
print(answer)
