# SPDX-License-Identifier: MIT
exec awk '
    function place(row,    column) {
        if (row > 8) { ++ways; return }
        for (column = 1; column <= 8; ++column) {
            if (taken[column] || rising[row + column] || falling[row - column]) continue
            taken[column] = rising[row + column] = falling[row - column] = 1
            place(row + 1)
            taken[column] = rising[row + column] = falling[row - column] = 0
        }
    }
    BEGIN { place(1); print ways }'
