#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The documents lead to each other, and those written by hand know every word of the tables that they explain.
status=0
check() { # $1: what must be, the rest: what is wrong, nothing if nothing
	local what=$1
	shift
	if [ -z "$*" ]; then echo "ok - $what"; else echo "not ok - $what: $*"; status=1; fi
}

# The anchors that a file's headings have.
anchors() { grep -E '^#+ ' "$1" | sed -E 's/^#+ //' | tr '[:upper:] ' '[:lower:]-' | tr -cd 'a-z0-9_\n-'; }
broken() {
	local file link target anchor
	for file in README.md docs/*.md; do
		grep -Eo '\]\([^):]+\)' "$file" | sed -E 's/^\]\(|\)$//g' | while read -r link; do
			target=$(dirname "$file")/${link%%#*}
			[ "${link%%#*}" ] || target=$file
			anchor=${link#*#}
			[ -e "$target" ] || echo "$file -> $link"
			[ "$anchor" = "$link" ] || anchors "$target" | grep -qx -- "$anchor" || echo "$file -> $link (no such heading)"
		done
	done
}
check "every link leads somewhere" "$(broken)"
unlinked() { for file in docs/*.md; do grep -q "($file)" README.md || echo "$file"; done; }
check "README leads to every document" "$(unlinked)"

# $1: a file, the rest: words that it must have in code's font.
lacks() {
	local text word
	text=$(cat "$1")
	shift
	for word in "$@"; do [[ $text == *"\`$word\`"* ]] || echo "$word"; done
}
column() { sed -nE 's/^MECHANISM\(([^)]*)\)$/\1/p' common/mechanisms.def | cut -d, -f"$1" | tr -d ' ' | sort -u; }
verbs=$(sed -n 's/^\tIPC_VERB_\([a-z_]*\),$/\1/p' common/calls.h)
reasons() { sed -nE "s/^REASON\([a-z_]+, +\"([^\"]+)\", +($1),.*/\1/p" common/reasons.def; }
check "the tables were understood" "$([ "$verbs" ] && [ "$(column 2)" ] && [ "$(reasons lost)" ] || echo nothing found)"
check "the glossary has every verb, model, boundary and matching" \
	"$(lacks docs/GLOSSARY.md $verbs $(column 2) $(column 3) $(column 4))"
check "the glossary has every kind of loss" "$(lacks docs/GLOSSARY.md lost not_covered uncertain)"
check "what is covered names every reason that something was lost or not covered" \
	"$(lacks docs/COVERAGE.md $(reasons 'lost|not_covered'))"
# Its tables and columns are test_store's.
keys=$(grep -hoE '_meta\([a-z>.-]+, "[a-z_]+"' viewer/*.c collector/*.c | grep -v trace_meta | cut -d'"' -f2 | sort -u)
check "the schema has every key of meta" "$([ "$keys" ] || echo none was found)$(lacks <(sed -n '/^## meta$/,/^## hosts$/p' docs/schema.md) $keys)"
exit $status
