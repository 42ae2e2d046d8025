#!/bin/sh
# SPDX-License-Identifier: MIT
# links_for_aarch64.sh INCLUDE_DIR INCLUDE_DIR COUNT SOURCE... ARGUMENT...
# Compiles COUNT sources with a cross compiler and those of the arguments that it knows, and links them to a program
# without libc: what they need beyond each other is an error.
set -eu
compiler=aarch64-linux-gnu-g++
if ! command -v "$compiler" >/dev/null; then
    echo "SKIPPED: there is no $compiler (Debian: g++-aarch64-linux-gnu)"
    exit 77
fi
public=$1
private=$2
sources=$3
shift 3

program=$(mktemp)
trap 'rm -f "$program"' EXIT

# For each word: take it from the front and, if it is a source or the compiler knows it, put it back at the end.
left=$#
while [ "$left" -gt 0 ]; do
    word=$1
    shift
    if [ "$sources" -gt 0 ]; then
        sources=$((sources - 1))
        set -- "$@" "$word"
    elif "$compiler" -Werror "$word" -fsyntax-only -x c++ /dev/null 2>/dev/null; then
        set -- "$@" "$word"
    fi
    left=$((left - 1))
done

"$compiler" -std=c++20 -O2 -fvisibility=hidden -Wall -Wextra -Wpedantic -Werror -nostdlib -static \
    -I "$public" -I "$private" "$@" -o "$program"
