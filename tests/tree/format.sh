#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Every C file looks as .clang-format says (make format).
command -v clang-format >/dev/null || { echo "SKIP: no clang-format"; exit 77; }
git rev-parse -q --git-dir >/dev/null 2>&1 || { echo "SKIP: not a git checkout"; exit 77; }
status=0
for file in $(git ls-files '*.c' '*.h'); do
	clang-format --dry-run -Werror "$file" 2>/dev/null || { echo "$file: run make format"; status=1; }
done
exit $status
