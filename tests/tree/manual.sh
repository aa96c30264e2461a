#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The manual page names every command and every option that --help names, and the other way round.
page=docs/man/ipctrace.1
[ -f $page ] || { echo "not ok - $page is missing"; exit 1; }
words() { grep -Eo -- '(^|[^[:alnum:]_-])--[a-z][a-z-]+' | grep -Eo -- '--[a-z-]+' | sort -u; }
help=$("$BUILD/ipctrace" --help) || { echo "not ok - ipctrace --help"; exit 1; }
commands=$(sed -nE 's/^ {2,4}([a-z]+) {2,}.*/\1/p' <<<"$help")
status=0
for command in $commands; do
	if grep -Eq "^\.(B|BI|BR|SS|TP|IP).*\b$command\b|\\\\fB$command\\\\fR" $page; then echo "ok - the page has $command"; else
		echo "not ok - the page lacks the command $command"; status=1; fi
	"$BUILD/ipctrace" "$command" --help >/dev/null || { echo "not ok - ipctrace $command --help"; status=1; }
done
in_help=$({ echo "$help"; for command in $commands; do "$BUILD/ipctrace" "$command" --help; done; } | words)
in_page=$(sed 's/\\-/-/g' $page | words)
if diff <(echo "$in_help") <(echo "$in_page"); then echo "ok - the page has the options of --help"; else
	echo "not ok - the page and --help differ in options (< help, > page)"; status=1; fi
exit $status
