#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# A mechanism that a source records has the rest of what makes it one: a reference program of its name, which
# tests/e2e/test_reference.py (of calls: test_reference_calls.py) runs in every shape; an end-to-end test of its own; and words in docs/mechanisms/
# that say what is exact, what approximate, what not covered. docs/mechanisms.md is what all that says today.
status=0

# $1: what there must be, the rest: the command that finds it.
must() {
	local what=$1
	shift
	if "$@"; then echo "ok - $what"; else
		echo "not ok - $what: missing"; status=1; fi
}

stems=$(sed -n 's/^MECHANISM(\([a-z_]*\),.* \(SHIM\|BPF\|BOTH\|BYTES\))$/\1/p' common/mechanisms.def)
must "mechanisms.def names mechanisms that are recorded" [ -n "$stems" ]
own_tests=$(ls tests/e2e/test_*.py | grep -v test_reference.py)
for stem in $stems; do
	must "reference/$stem.c" [ -f "reference/$stem.c" ]
	must "reference/references.def has $stem" grep -q "^REFERENCE($stem)$" reference/references.def
	must "an end-to-end test of its own names $stem" grep -qw "$stem" $own_tests
	for word in Exact Approximate "Not covered"; do
		must "docs/mechanisms/$stem.md: $word" grep -qs "^\*\*$word:\*\*" "docs/mechanisms/$stem.md"
	done
done
in_step() {
	${MAKE:-make -s} BUILD="$BUILD" "$BUILD/docs/mechanisms" && "$BUILD/docs/mechanisms" docs/mechanisms | diff docs/mechanisms.md -
}
must "docs/mechanisms.md in step (make docs)" in_step
exit $status
