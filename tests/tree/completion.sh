#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# What Tab offers, in each shell that is here, from the scripts that are installed.
PATH=$(realpath "$BUILD"):$PATH
status=0
is() { # $1: what, $2: wanted words, $3: those that came
	if [ "$2" = "$3" ]; then echo "ok - $1"; else
		echo "not ok - $1: wanted '$2', got '$3'"; status=1; fi
}
has() {
	case " $3 " in *" $2 "*) echo "ok - $1" ;; *) echo "not ok - $1: no '$2' in '$3'"; status=1 ;; esac
}

# The words that `ipctrace complete` has for a command line.
words() { ipctrace complete -- ipctrace "$@" | cut -f1 | paste -sd' '; }
commands=$(ipctrace --help | sed -nE 's/^ {2}([a-z]+) {2,}.*/\1/p' | paste -sd' ')
is "every command" "$commands" "$(words '')"
for command in $commands; do
	long=$(ipctrace $command --help | sed -n '/^options:$/,$p' | grep -Eo -- '--[a-z-]+( |\[|$)' | tr -d ' [' | sort -u | paste -sd' ')
	is "the options of $command" "$long" "$(words $command -- | tr ' ' '\n' | sort -u | paste -sd' ')"
	# An option whose value nobody could complete has a value of an unknown kind, for which complete.c needs a rule.
	while read -r name value; do
		case $value in
		N | MS | SIZE | SECONDS | PID* | NAME) continue ;;
		esac
		[ -n "$(words $command $name '')" ] || is "values of $command $name $value" "some" ""
	done < <(ipctrace $command --help | sed -nE 's/^ {2}(-., )?(--?[a-z-]+) ([^ ]+) .*/\2 \3/p')
done
is "an option of no command" "--verify --version" "$(words --ver)"
is "alternatives" "shim" "$(words record --source s)"
is "a value behind =" "--source=shim" "$(words record --source=s)"
is "a value behind = in a word of its own" "shim" "$(words record --source = s)"
is "the same, still empty" "auto shim bpf both" "$(words --source =)"
is "the second mechanism of a list" "pipe,process pipe,process_vm" "$(words record -m pipe,proc)"
is "a value that may be missing" "--payload=text --payload=hex" "$(words messages --payload=)"
is "the same, in words of their own" "hex" "$(words messages --payload = h)"
is "behind an option without its value" "--payload" "$(words messages --payload --pa)"
is "verbs" "send" "$(words events --verb sen)"
is "columns of the view, descending" "-latency_p50_ns -latency_p90_ns -latency_p99_ns" \
	"$(words edges --sort -latency_p | tr ' ' '\n' | sort | paste -sd' ')"
is "a file" ":file" "$(words edges -i '')"
is "a program, and where it begins" ":program 3" "$(words -q -- make -)"
is "a program without --" ":program 4" "$(words record -o file '')"
is "an option that takes a value is not the program" "--follow" "$(words record -o file --fol)"
has "reference programs" "sysv_msg" "$(words reference '')"
is "a command to explain" "version" "$(words help v)"
is "nothing for what is no command" "" "$(words nonsense '')"

bash_offers() {
	bash --norc -c 'compopt() { COMPREPLY+=("compopt $*"); }; . completion/ipctrace.bash
		COMP_WORDS=(ipctrace "$@"); COMP_CWORD=$#; _ipctrace; echo "${COMPREPLY[*]}"' - "$@"
}
is "bash: a command" "edges" "$(bash_offers ed)"
is "bash: a value" "bpf both" "$(bash_offers record --source = b)"
is "bash: files" "compopt -o default" "$(bash_offers edges -i '')"
has "bash: a program" "setpriv" "$(bash_offers -- setpri)"
is "bash: it is bound to the command" "complete -F _ipctrace ipctrace" "$(bash --norc -c '. completion/ipctrace.bash; complete -p ipctrace')"

if command -v zsh >/dev/null; then
	# The functions of its completion system, which need a terminal, show what they are called with.
	zsh_offers() {
		zsh -f -c '_describe() { print -r -- "${(@P)2}" }; _files() { print :files }
			_normal() { print -r -- "normal $CURRENT $words" }
			words=(ipctrace "$@"); CURRENT=$#words; . completion/_ipctrace' - "$@"
	}
	has "zsh: a command" "edges:Shows" "$(zsh_offers ed)"
	is "zsh: a value" "--source=bpf --source=both" "$(zsh_offers record --source=b)"
	is "zsh: files" ":files" "$(zsh_offers edges -i '')"
	is "zsh: a program" "normal 2 git sta" "$(zsh_offers -q -- git sta)"
else echo "ok - zsh # SKIP not installed"; fi

if command -v fish >/dev/null; then
	fish_offers() { # of a line; a home of its own, since fish writes there
		HOME=$home fish --no-config -c '. completion/ipctrace.fish; complete -C $argv[1]' -- "$1" | cut -f1 | paste -sd' '
	}
	home=$(mktemp -d) && trap 'rm -rf "$home"' EXIT
	is "fish: a command" "edges" "$(fish_offers 'ipctrace ed')"
	is "fish: a value" "both bpf" "$(fish_offers 'ipctrace record --source b')"
	is "fish: files" "README.md" "$(fish_offers 'ipctrace edges -i READ')"
	has "fish: a program" "setpriv" "$(fish_offers 'ipctrace -- setpri')"
else echo "ok - fish # SKIP not installed"; fi
exit $status
