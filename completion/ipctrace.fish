# SPDX-License-Identifier: BSD-2-Clause
# Completion for fish; what it offers `ipctrace complete` knows.
function __ipctrace
    set -l words (commandline -opc)
    set -l last (commandline -ct)
    for line in ($words[1] complete -- $words $last 2>/dev/null)
        switch $line
            case :file
                __fish_complete_path $last
            case ':program *'
                set -l from (math (string replace ':program ' '' -- $line) + 1)
                complete -C (string join -- ' ' (string escape -- $words[$from..-1]) $last)
            case '*'
                echo $line
        end
    end
end
complete -c ipctrace -f -a '(__ipctrace)'
