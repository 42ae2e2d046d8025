# SPDX-License-Identifier: MIT
# Dijkstra's algorithm in awk, with a binary heap of its own.
exec awk '
    function push(distance, crossing,    i, parent) {
        for (i = ++size; i > 1 && key[parent = int(i / 2)] > distance; i = parent) {
            key[i] = key[parent]
            value[i] = value[parent]
        }
        key[i] = distance
        value[i] = crossing
    }
    function pop(    i, child, last) {
        distance = key[1]
        here = value[1]
        last = key[size]
        for (i = 1; (child = 2 * i) < size; i = child) {
            if (child + 1 < size && key[child + 1] < key[child]) ++child
            if (last <= key[child]) break
            key[i] = key[child]
            value[i] = value[child]
        }
        key[i] = last
        value[i] = value[size--]
    }
    NR == 1 { crossings = $1; next }
    {
        end[NR] = $2
        road_length[NR] = $3
        next_road[NR] = first_road[$1]
        first_road[$1] = NR
    }
    END {
        answer = -1
        push(0, 1)
        while (size > 0) {
            pop()
            if (here == crossings) { answer = distance; break }
            if (done[here]++) continue
            for (road = first_road[here]; road; road = next_road[road])
                push(distance + road_length[road], end[road])
        }
        printf "%.0f\n", answer
    }'
