#!/bin/sh
# SPDX-License-Identifier: MIT
# has_no_undefined_symbols.sh NM FILE
# An undefined symbol in code that runs between clone and exec is a call into the host's libc, perhaps one that the
# compiler made by itself.
set -eu
nm=$1
file=$2

# An empty list must not come from an empty file.
if [ -z "$("$nm" --defined-only "$file")" ]; then
    echo "$file defines nothing"
    exit 1
fi
undefined=$("$nm" --undefined-only -A "$file")
if [ -n "$undefined" ]; then
    echo "$undefined"
    exit 1
fi
