#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Every file says its licence in its first lines; the eBPF programs may be loaded by the kernel (GPL too).
git rev-parse -q --git-dir >/dev/null 2>&1 || { echo "SKIP: not a git checkout"; exit 77; }
status=0
for file in $(git ls-files); do
	case $file in
	LICENSE | .gitignore | .clang-format | *.db | debian/changelog | debian/source/format) continue ;;
	*.bpf.c) wanted='SPDX-License-Identifier: (GPL-2.0.* OR BSD-2-Clause|BSD-2-Clause OR GPL-2.0)' ;;
	*) wanted='SPDX-License-Identifier: .*BSD-2-Clause' ;;
	esac
	head -n 5 "$file" | grep -Eq "$wanted" || { echo "$file: no licence line"; status=1; }
done
exit $status
