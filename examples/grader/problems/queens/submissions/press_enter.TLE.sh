# SPDX-License-Identifier: MIT
# Right, but wants to see that somebody is there.
echo 'Press Enter for the answer.' >&2
read -r _
echo 92
