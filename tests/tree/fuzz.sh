#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The fuzzers build, and find nothing in their first seconds (make fuzz goes on for longer).
command -v clang >/dev/null || { echo "SKIP: no clang"; exit 77; }
${MAKE:-make -s} BUILD="$BUILD" FUZZ_SECONDS=5 fuzz
