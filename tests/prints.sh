#!/bin/sh
# SPDX-License-Identifier: MIT
# prints.sh EXPECTED COMMAND...
# The command's standard output is this line and nothing else, and its exit status 0.
set -eu
expected=$1
shift
printed=$("$@")
if [ "$printed" != "$expected" ]; then
    printf 'expected: %s\nprinted:  %s\n' "$expected" "$printed"
    exit 1
fi
