#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# A mechanism that a source records has the rest of what makes it one: a reference workload of its name, and an
# end-to-end test that runs it. docs/mechanisms.md is what the tables say today.
status=0
stems=$(sed -n 's/^MECHANISM(\([a-z_]*\),.* \(SHIM\|BPF\|BOTH\))$/\1/p' common/mechanisms.def)
[ -n "$stems" ] || { echo "not ok - mechanisms.def names mechanisms that are recorded"; exit 1; }
for stem in $stems; do
	if [ -f "reference/$stem.c" ]; then echo "ok - reference/$stem.c"; else
		echo "not ok - reference/$stem.c is missing"; status=1; fi
	if grep -q "reference_$stem\b" reference/references.c; then echo "ok - references[] has $stem"; else
		echo "not ok - references[] lacks $stem"; status=1; fi
	if grep -q "\"$stem\"" tests/e2e/test_reference.py; then echo "ok - an end-to-end test runs $stem"; else
		echo "not ok - tests/e2e/test_reference.py does not run $stem"; status=1; fi
done
if ${MAKE:-make -s} BUILD="$BUILD" "$BUILD/docs/mechanisms" && "$BUILD/docs/mechanisms" | diff docs/mechanisms.md -
then echo "ok - docs/mechanisms.md is in step"; else
	echo "not ok - docs/mechanisms.md: run make docs"; status=1; fi
exit $status
