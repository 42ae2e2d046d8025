# SPDX-License-Identifier: MIT
# Ends by a signal that a judge sends to slow programs, but nobody has sent it here.
echo 92
kill -KILL $$
