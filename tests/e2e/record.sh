#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The recorder as its user meets it: exit statuses, what the command inherits, and what becomes of trace files.
# What an untraced run shows is the truth. Signals and the terminal are in test_signals.py.
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
BUILD=${BUILD:-build}
case $BUILD in /*) ;; *) BUILD=$ROOT/$BUILD ;; esac
ipctrace=$BUILD/ipctrace
work=$(mktemp -d) && cd "$work" || exit 1
trap 'cd /; rm -rf "$work"' EXIT
n=0 status=0

# ok NAME COMMAND...: the test is the command's success
ok() {
	local name=$1
	shift
	n=$((n + 1))
	if "$@"; then echo "ok $n - $name"; else echo "not ok $n - $name"; status=1; fi
}
skip() { n=$((n + 1)); echo "ok $n - $1 # SKIP $2"; }
is() { [ "$1" = "$2" ] || { echo "# got '$1', wanted '$2'"; false; }; }
lines() { wc -l <"$1"; }
# How a command ended, as only its parent can see it: status, or minus the signal.
ended() { timeout 60 /usr/bin/python3 -c 'import subprocess, sys; print(subprocess.call(sys.argv[1:]))' "$@" 2>/dev/null; }
ran() { timeout 60 "$ipctrace" "$@" >out 2>err; echo $?; }
command_of() { "$ipctrace" query -i "$1" --json "SELECT value FROM meta WHERE key = 'command'" 2>/dev/null; }
records() { command_of "$1" | grep -qF -- "$2"; }

for code in 0 1 3 125 255; do
	ok "exit status $code" is "$(ran -q -- sh -c "exit $code")" $code
done
for signal in 1 2 6 9 11 15; do
	ok "dies by signal $signal as the command" is "$(ended "$ipctrace" -q -- sh -c "kill -$signal \$\$")" -$signal
done
ok "no core of our own" is "$(ls core* 2>/dev/null)" ""
ok "the exit status is told to the trace" is "$("$ipctrace" query "SELECT value FROM meta WHERE key = 'exit_status'" |
	tail -n 1)" 15
"$ipctrace" -q -- yes 2>/dev/null | head -n 1 >/dev/null
ok "dies by the command's SIGPIPE" is "${PIPESTATUS[0]}" 141

mkdir empty && cd empty || exit 1
ok "a missing program is 127" is "$(ran -- no-such-program)" 127
ok "with one line" is "$(cat err)" "ipctrace: cannot run 'no-such-program': No such file or directory"
ok "a missing path is 127" is "$(ran -- ./no-such-program)" 127
ok "a folder is 126" is "$(ran -- /etc)" 126
ok "with one line" is "$(cat err)" "ipctrace: cannot run '/etc': Permission denied"
echo x >data
ok "a file that is no program is 126" is "$(ran -- ./data)" 126
ok "no trace is left of what did not run" is "$(ls)" "$(printf 'data\nerr\nout')"
ok "our own failure is 125" is "$(ran -o nowhere/trace.db -- touch ran)" 125
ok "with one line" is "$(lines err)" 1
ok "and the command did not run" test ! -e ran
ok "an unknown source is a usage error" is "$(ran --source=none -- touch ran)" 2
ok "a word that is no command is an error" is "$(ran touch ran)" 2
ok "with a hint" grep -q -e '-- touch' err
ok "so it is behind options" is "$(ran -q touch ran)" 2
ok "nothing to run is an error" is "$(ran --)" 2
ok "none of them ran" test ! -e ran
cd ..

mkdir names && cd names || exit 1
echo 'echo "no interpreter $*"' >script
chmod +x script
ok "a script without #! runs" is "$("$ipctrace" -q -- ./script a b)" "no interpreter a b"
ok "the program is looked for in PATH" is "$(PATH=.:$PATH "$ipctrace" -q -- script)" "no interpreter "
ok "arguments arrive as they are" is "$("$ipctrace" -q -- printf '<%s>' -q -- '' 'a b' '*')" "<-q><--><><a b><*>"
ok "record needs no --" is "$("$ipctrace" record -q echo --json)" --json
cd ..

mkdir inherit && cd inherit || exit 1
cat >show <<'S'
umask; pwd; ulimit -a; nice
ls -l /proc/self/fd | sed -n 's/.* \([0-9]*\) -> \([^0-9]*\).*/\1 \2/p'
cut -d ' ' -f 5-8 /proc/self/stat
grep -E '^(Sig|Shd)(Blk|Ign|Cgt|Pnd)|^Seccomp|^NoNewPrivs|^Uid|^Groups' /proc/self/status
S
# Both run from one shell each, in the same place; only the process group's number differs from run to run.
same() {
	bash -c "$1"' sh show' >plain 2>&1
	bash -c "$1"' "$0" -q -o inherit.db -- sh show' "$ipctrace" >traced 2>&1
	sed -Ei 's/^[0-9]+ ([0-9]+ [0-9]+ )/group \1/; s/(plain|traced)$/output/' plain traced
	diff plain traced
}
ok "the command inherits what we have" same 'umask 027; ulimit -n 100; exec 7</etc/passwd 9>&1;'
ok "also closed descriptors" same 'exec <&- 2>&-;'
ok "also no descriptor at all but its output" same 'exec 5>&1 <&- 2>&-; exec'
ok "also ignored signals" same "trap '' HUP INT QUIT USR1 TSTP;"
# A shell never hands an ignored SIGCHLD on.
childless='$SIG{CHLD} = "IGNORE"; exec @ARGV'
ok "also an ignored SIGCHLD" is "$(perl -e "$childless" "$ipctrace" -q -- grep SigIgn /proc/self/status)" \
	"$(perl -e "$childless" grep SigIgn /proc/self/status)"
ok "also nohup's" same 'exec nohup'
ok "also niceness" same 'exec nice -n 3'
ok "also blocked signals" same "exec /usr/bin/python3 -c 'import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGTERM, signal.SIGCHLD])
os.execvp(sys.argv[1], sys.argv[1:])'"
ok "an ignored SIGCHLD does not lose the status" is \
	"$(perl -e "$childless" "$ipctrace" -q -- sh -c 'exit 7'; echo $?)" 7
env -0 | grep -zv '^_=' >plain # the shell's own: the path of what it runs
"$ipctrace" -q -- env -0 | grep -zv '^_=' >traced
ok "the environment is the same to the byte" cmp plain traced
env -i A=1 PATH="$PATH" env -0 >plain
env -i A=1 PATH="$PATH" "$ipctrace" -q -- env -0 >traced
ok "also a small one" cmp plain traced
printf 'first\nsecond\n' >input
{ "$ipctrace" -q -- head -c 6 >got; cat >>got; } <input
ok "stdin is the command's own" cmp input got
cd ..

mkdir rotate && cd rotate || exit 1
"$ipctrace" -q -- echo first >/dev/null
ok "the default file" is "$(ls)" ipctrace.db
"$ipctrace" -q -- echo second >/dev/null
ok "an older trace becomes .old" records ipctrace.db.old "echo first"
ok "the new one has its name" records ipctrace.db "echo second"
"$ipctrace" -q -- no-such-program 2>/dev/null
"$ipctrace" -q -- /etc 2>/dev/null
ok "what did not run moves nothing" records ipctrace.db "echo second"
ok "nor replaces .old" records ipctrace.db.old "echo first"
"$ipctrace" -q -- echo third >/dev/null
ok "the next replaces .old" records ipctrace.db.old "echo second"
ok "nothing else is left" is "$(ls)" "$(printf 'ipctrace.db\nipctrace.db.old')"
"$ipctrace" -q -o other -- echo a >/dev/null
"$ipctrace" -q -o other -- echo b >/dev/null
ok "-o FILE likewise" records other.old "echo a"
cd ..

mkdir busy && cd busy || exit 1
"$ipctrace" -q -- sh -c 'echo $$ >pid; exec sleep 60' &
recorder=$!
for _ in $(seq 100); do [ -s pid ] && break; sleep 0.05; done
ok "a trace that is being recorded is refused" is "$(ran -- touch ran)" 125
ok "with one line" is "$(lines err)" 1
ok "that names -o" grep -q -e ' -o$' err
ok "and the command did not run" test ! -e ran
ok "its copy is .old to nobody" is "$(ls)" "$(printf 'err\nipctrace.db\nipctrace.db-recover\nipctrace.db-shm\nipctrace.db-wal\nout\npid')"
for _ in $(seq 100); do records ipctrace.db "sleep 60" && break; sleep 0.02; done # commits are 100 ms apart
ok "the growing trace can be read" records ipctrace.db "sleep 60"
kill -9 $recorder
wait $recorder 2>/dev/null
kill "$(cat pid)"
ok "one whose recorder was killed is not refused" is "$(ran -- echo again)" 0
ok "and is kept, whole" records ipctrace.db.old "sleep 60"
ok "the new one is a trace of its own" records ipctrace.db "echo again"
mkdir together
for i in 1 2 3 4 5 6; do
	"$ipctrace" -q -o together/t.db -- sh -c 'echo $$; sleep 1' >together/out.$i 2>together/err.$i &
done
wait
ok "of six that begin at once one records" is "$(cat together/out.* | wc -l)" 1
ok "the others are refused" is "$(cat together/err.* | grep -c 'still being recorded')" 5
ok "and there is one trace" is "$(ls together/t*)" together/t.db
cd ..

mkdir foreign && cd foreign || exit 1
echo "precious text" >text
: >nothing
sqlite3 database 'CREATE TABLE meta (key, value)'
mkdir folder
ln -s text link
for file in text nothing database folder link; do
	before=$(ls -l $file; cat $file 2>/dev/null | cksum)
	ok "$file is no trace: refused" is "$(ran -o $file -- touch ran)" 125
	ok "$file stays as it is" is "$(ls -l $file; cat $file 2>/dev/null | cksum)" "$before"
	ok "and nothing can be shown of it" is "$(ran edges -i $file)" 1
done
"$ipctrace" -q -o t.db -- echo mine >/dev/null
cp text t.db.old
ok "a .old that is no trace: refused" is "$(ran -o t.db -- touch ran)" 125
ok "both stay as they are" eval 'cmp text t.db.old && records t.db "echo mine"'
sqlite3 t.db 'PRAGMA user_version = 99'
ok "a trace of a newer schema is not shown" is "$(ran edges -i t.db)" 1
ok "and says so" grep -q 'schema version 99' err
ok "a missing trace" is "$(ran edges -i missing.db)" 1
ok "is named, with what to do" is "$(cat err)" \
	"ipctrace: cannot open 'missing.db': No such file or directory (ipctrace -- COMMAND records one, -i FILE shows another)"
ok "none of them ran" test ! -e ran
cd ..

ok "-q says nothing" is "$("$ipctrace" -q -- sh -c 'ls / | cat >/dev/null' 2>&1)" ""
"$ipctrace" -- sh -c 'ls / | cat' >out 2>err
ok "the summary goes to stderr" grep -q '^ls:[0-9]* *cat:[0-9]* *pipe ' err
ok "and the command's output stays its own" is "$(cat out)" "$(ls /)"
"$ipctrace" summary >again
ok "ipctrace summary shows the same" cmp err again

# How long it takes, in milliseconds.
one() { local begin end; begin=$(date +%s%N); "$@"; end=$(date +%s%N); echo $(((end - begin) / 1000000)); }
ok "without --follow nobody is waited for" test "$(one "$ipctrace" -q -- sh -c 'sleep 2 >/dev/null 2>&1 &')" -lt 1500
ok "with --follow all are" test "$(one "$ipctrace" -q --follow -- sh -c 'sleep 2 >/dev/null 2>&1 &')" -ge 1900
"$ipctrace" -q --follow -- sh -c 'sleep 30 >/dev/null 2>&1 & exit 5' &
recorder=$!
sleep 0.7
kill $recorder
wait $recorder
ok "a signal ends --follow, with the command's status" is $? 5

if [ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null; then
	mkdir full
	unshare -m sh -c 'mount -t tmpfs -o size=512k none full &&
		exec "$0" -o full/t.db -- sh -c "dd if=/dev/zero bs=1 count=200000 status=none | wc -c; exit 3"' \
		"$ipctrace" >out 2>err
	ok "a full disk does not change the exit status" is $? 3
	ok "nor the output" is "$(cat out)" 200000
	ok "one line tells of it" is "$(grep -c 'No space left on device' err)" 1
	unshare -m sh -c 'mount -t tmpfs -o size=4k none full && "$0" -o full/t.db -- touch ran; s=$?; ls -A full; exit $s' \
		"$ipctrace" >out 2>err
	ok "a disk that is full before: 125" is $? 125
	ok "nothing is left there" is "$(cat out)" ""
	ok "and the command did not run" test ! -e ran
	unshare -m sh -c 'mount -t tmpfs -o ro none full && exec "$0" -o full/t.db -- touch ran' "$ipctrace" >out 2>err
	ok "a disk that may not be written: 125" is $? 125
	ok "with one line" is "$(lines err)" 1
else
	skip "disks" "needs root"
fi

for command in '' $("$ipctrace" --help | sed -nE 's/^  ([a-z]+) {2,}.*/\1/p'); do
	ok "ipctrace $command --help" eval '"$ipctrace" $command --help 2>err | grep -q ^usage: && [ ! -s err ]'
	[ -z "$command" ] && continue
	ok "ipctrace $command --no-such-option" is "$(ran $command --no-such-option)" 2
	ok "has a usage line" grep -q "^usage: ipctrace $command" err
done
ok "nothing at all is a usage error" is "$(ran)" 2
echo "1..$n"
exit $status
