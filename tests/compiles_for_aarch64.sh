#!/bin/sh
# SPDX-License-Identifier: MIT
# compiles_for_aarch64.sh SOURCE INCLUDE_DIR INCLUDE_DIR ARGUMENT...
# Compiles one source with a cross compiler and those of the arguments that it knows, and looks at what came out as
# has_no_undefined_symbols.sh does.
set -eu
compiler=aarch64-linux-gnu-g++
if ! command -v "$compiler" >/dev/null; then
    echo "SKIPPED: there is no $compiler (Debian: g++-aarch64-linux-gnu)"
    exit 77
fi
source=$1
public=$2
private=$3
shift 3

object=$(mktemp)
trap 'rm -f "$object"' EXIT

# For each argument: take it from the front and, if the compiler knows it, put it back at the end.
left=$#
while [ "$left" -gt 0 ]; do
    argument=$1
    shift
    if "$compiler" -Werror "$argument" -fsyntax-only -x c++ /dev/null 2>/dev/null; then
        set -- "$@" "$argument"
    fi
    left=$((left - 1))
done

"$compiler" -std=c++20 -O2 -fPIC -fvisibility=hidden -Wall -Wextra -Wpedantic -Werror "$@" -I "$public" -I "$private" \
    -c "$source" -o "$object"
"$(dirname "$0")/has_no_undefined_symbols.sh" aarch64-linux-gnu-nm "$object"
