#!/bin/sh
# SPDX-License-Identifier: MIT
# header_is_self_contained.sh HEADER INCLUDE_DIR COMPILER...
# Compiles a source that includes nothing but the header, and that twice, as a user with warnings turned on would.
set -eu
header=$1
include_dir=$2
shift 2

if grep -nE '#[[:space:]]*include[[:space:]]*[<"](linux/|liburing|simdjson|fmt/|tl/|CLI/)' "$header"; then
    echo "$header: a public header may need the standard library alone"
    exit 1
fi

name=proctor/$(basename "$header")
printf '#include <%s>\n#include <%s>\n' "$name" "$name" |
    "$@" -x c++ -std=c++20 -fsyntax-only -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -I "$include_dir" -
