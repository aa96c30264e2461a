# SPDX-License-Identifier: BSD-2-Clause
# Completion for bash; what it offers `ipctrace complete` knows.
_ipctrace()
{
	local line
	COMPREPLY=()
	while IFS= read -r line; do
		case $line in
		:file) compopt -o default ;;
		:program*) _ipctrace_program "${line#:program }" ;;
		*) COMPREPLY+=("${line%%$'\t'*}") ;;
		esac
	done < <("${COMP_WORDS[0]}" complete -- "${COMP_WORDS[@]:0:COMP_CWORD+1}" 2>/dev/null)
}

# The program to run is completed as if it stood alone.
_ipctrace_program()
{
	if [ "$1" != "$COMP_CWORD" ] && declare -F _command_offset >/dev/null; then
		_command_offset "$1"
	elif [ "$1" = "$COMP_CWORD" ]; then
		mapfile -t COMPREPLY < <(compgen -c -- "${COMP_WORDS[COMP_CWORD]}")
		compopt -o default
	else
		compopt -o default
	fi
}
complete -F _ipctrace ipctrace
