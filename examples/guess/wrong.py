# SPDX-License-Identifier: MIT
# One after another: ten guesses are not enough for that.
guess = 1
while True:
    print(guess, flush=True)
    if input() == "right":
        break
    guess += 1
