# SPDX-License-Identifier: MIT
# Runs the number-guessing example and looks at its verdicts and at who said what.
import re
import subprocess
import sys

output = subprocess.run(sys.argv[1:3], check=True, stdout=subprocess.PIPE, text=True).stdout
said = {}
name = ""
for line in output.splitlines():
    if re.match(r"\w+: ", line):
        name = line.split(":")[0]
        said[name] = [line.split(": ", 1)[1]]
    else:
        said[name].append(tuple(line.split()[1:]))

right = [(guess, answer) for guess, answer in zip([500, 750, 625, 562, 593, 609, 617],
                                                  ["higher", "lower", "lower", "higher", "higher", "higher", "right"])]
expected = {
    "right": ["right"] + [word for guess, answer in right
                          for word in (("solution", str(guess)), ("judge", answer))],
    "wrong": ["wrong: ten guesses were not enough"] + [word for guess in range(1, 11)
                                                       for word in (("solution", str(guess)), ("judge", "higher"))],
    "hanging": ["CPU time limit exceeded", ("solution", "500"), ("judge", "higher")],
    "silent": ["Blocked or deadlocked"],
}
# What it says to a judge that has ended is its own affair.
said["wrong"] = said["wrong"][:21]
if said != expected:
    sys.exit(f"not what was expected:\n{output}")
