# SPDX-License-Identifier: MIT
# Thinks about the second guess for ever.
print(500, flush=True)
input()
while True:
    pass
