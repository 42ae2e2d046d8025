#!/bin/sh
# SPDX-License-Identifier: MIT
# run_target.sh TARGET CORPUS: searches for 20,000 inputs, or for PROCTOR_FUZZ_SECONDS. The inputs found on the way are not
# kept; one that fails is, in the current directory, and its name is shown.
set -eu
found=$(mktemp -d)
trap 'rm -rf -- "$found"' EXIT
if [ -n "${PROCTOR_FUZZ_SECONDS:-}" ]; then
    length=-max_total_time=$PROCTOR_FUZZ_SECONDS
else
    length=-runs=20000
fi
# What is found goes to the first folder. The exit status of a finding would be 77, which is a test that was skipped.
"$1" "$found" "$2" "$length" -print_final_stats=1 -error_exitcode=1
