# SPDX-License-Identifier: MIT
# Says it more than once.
yes 92
