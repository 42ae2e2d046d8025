#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every C++ listing of the README stands, to the letter, in the example that it shows."""
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
listings = re.findall(r"```cpp\n(.*?)```", (root / "README.md").read_text(), re.S)
sources = [(root / name).read_text() for name in ("examples/hello.cpp", "examples/grader/grader.cpp")]
if len(listings) != len(sources):
    sys.exit(f"README.md has {len(listings)} C++ listings, expected {len(sources)}")
for number, (listing, source) in enumerate(zip(listings, sources), 1):
    if listing not in source:
        sys.exit(f"listing {number} of README.md differs from its example:\n{listing}")
print(f"{len(listings)} listings agree with their examples")
