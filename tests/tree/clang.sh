#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The whole tree, tests and benches too, compiles under clang without a warning.
command -v clang >/dev/null || { echo "SKIP: no clang"; exit 77; }
${MAKE:-make -s} BUILD="$BUILD-clang" CC=clang all unit bench-programs
