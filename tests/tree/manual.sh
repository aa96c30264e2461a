#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Every command has a manual page, and it names the options that --help names, and no others; every page is in order for
# man and for mandoc. A command or an option without words in docs/man is an error of `make man` already.
status=0
check() { # $1: what, the rest: the command that shows it
	local what=$1
	shift
	if "$@"; then echo "ok - $what"; else echo "not ok - $what"; status=1; fi
}
# A folder of its own: the build folder may have pages of commands that are gone.
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT
${MAKE:-make -s} BUILD="$BUILD" -k man || { echo "not ok - make man"; exit 1; }
for page in docs/man/ipctrace*.md; do cp "$BUILD/man/$(basename "$page" .md).1" "$folder"; done

help=$("$BUILD/ipctrace" --help) || { echo "not ok - ipctrace --help"; exit 1; }
commands=$(sed -nE 's/^ {2}([a-z]+) {2,}.*/\1/p' <<<"$help")
check "--help names commands" [ -n "$commands" ]
check "each command has a page, each page a command" diff <(printf 'ipctrace-%s.md\n' $commands | sort) \
	<(cd docs/man && ls ipctrace-*.md | sort)

# What stands left in lists of options, in --help and (as the terms of its section OPTIONS) in a page.
in_help() { "$BUILD/ipctrace" "$1" --help | sed -n '/^options:$/,$p' | sed -nE 's/^ {2}(-[^ ]+(,? -[^ ]+)*( [^ ]+)?) .*/\1/p'; }
in_page() {
	sed -n '/^\.SH OPTIONS$/,/^\.SH [^O]/p' "$1" | sed -n '/^\.TP$/{n;p;}' | sed -E 's/\\f[BIR]//g; s/\\-/-/g; s/\\e/\\/g'
}
for command in $commands; do
	page=$folder/ipctrace-$command.1
	check "ipctrace.1 has $command" grep -q "^\.BR ipctrace\\\\-$command (1)$" "$folder/ipctrace.1"
	check "the options of $command are explained" diff <(in_help "$command") <(in_page "$page")
done
# Options in running text too: those of reference programs, and of other commands.
words() { grep -Eo -- '(^|[^[:alnum:]_-])--[a-z][a-z-]+' | grep -Eo -- '--[a-z-]+' | sort -u; }
plain() { sed 's/\\f[BIR]//g; s/\\-/-/g' "$@"; }
helps=$({ echo "$help --version"; for command in $commands; do "$BUILD/ipctrace" "$command" --help; done; } | words)
for command in $commands; do
	check "the page of $command has every option that its --help mentions" \
		[ -z "$(comm -23 <("$BUILD/ipctrace" "$command" --help | words) <(plain "$folder/ipctrace-$command.1" | words))" ]
done
unknown=$(comm -13 <(echo "$helps") <(plain "$folder"/*.1 | words))
check "the pages mention no option that there is not $unknown" [ -z "$unknown" ]
union=$(for command in $commands; do in_help "$command"; done | sort -u)
unused() { comm -23 <(sed -n 's/^## //p' docs/man/options.md | sort) <(echo "$union") | grep .; }
check "options.md explains no option that is none" [ -z "$(unused)" ]

warnings=$(for page in "$folder"/*.1; do man --warnings -l "$page" 2>&1 >/dev/null; done)
check "man has no warnings $warnings" [ -z "$warnings" ]
see_also() { # the pages of ours that others refer to
	sed 's/\\-/-/g; s/\\f[BIR]//g' "$folder"/*.1 | grep -Eo 'ipctrace-[a-z]+ ?\(1\)' | sed -E 's/ ?\(1\)//' | sort -u
}
check "no page refers to one that there is not" [ -z "$(comm -23 <(see_also) <(cd "$folder" && ls | sed 's/\.1$//' | sort))" ]
if command -v mandoc >/dev/null; then check "mandoc has no warnings" mandoc -T lint -W warning "$folder"/*.1
else echo "ok - mandoc # SKIP not installed"; fi
exit $status
