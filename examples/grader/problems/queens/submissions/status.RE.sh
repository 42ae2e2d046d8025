# SPDX-License-Identifier: MIT
# Prints the right answer and leaves with the status of its last command, which is 1.
ways=92
echo "$ways"
[ "$ways" -gt 100 ] && echo 'Many.' >&2
