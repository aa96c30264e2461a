#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# What `make install` puts down works from there, and `make uninstall` takes all of it away.
root=$(mktemp -d) && trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
set -e
${MAKE:-make -s} BUILD="$BUILD" DESTDIR="$root" PREFIX=/opt/ipctrace install
"$root/opt/ipctrace/bin/ipctrace" -q -o "$root/trace.db" -- sh -c 'echo hello | cat' >"$root/out"
[ "$(cat "$root/out")" = hello ]
"$root/opt/ipctrace/bin/ipctrace" query -i "$root/trace.db" \
	"SELECT bytes FROM edges WHERE mechanism = 'pipe' AND src_comm = 'sh' AND dst_comm = 'cat'" | grep -qw 6
${MAKE:-make -s} BUILD="$BUILD" DESTDIR="$root" PREFIX=/opt/ipctrace uninstall >/dev/null
[ -z "$(find "$root/opt" -type f)" ] || { find "$root/opt" -type f; exit 1; }

# For one group: its members record by eBPF without being root, what they run gets nothing of it, nobody else may
# execute it.
skip() { echo "SKIP: $1"; exit 77; }
[ "$(id -u)" = 0 ] || skip "not root"
command -v setcap setpriv >/dev/null || skip "no setcap or setpriv here"
group=54321 prefix=$root/group
${MAKE:-make -s} BUILD="$BUILD" DESTDIR="$root" PREFIX=/group GROUP=$group install 2>"$root/error" || skip "$(tail -1 "$root/error")"
[ "$(stat -c '%A %g' "$prefix/bin/ipctrace")" = "-rwxr-x--- $group" ]
member="setpriv --reuid=65534 --regid=65534 --groups=$group" other="setpriv --reuid=65534 --regid=65534 --clear-groups"
mkdir -m 777 "$root/traces"
if ! $member sh -c "'$prefix/bin/ipctrace' doctor" >"$root/doctor" && grep -q '^no  eBPF  capabilities' "$root/doctor"; then
	skip "file capabilities have no effect here"
fi
$member sh -c "'$prefix/bin/ipctrace' -q --source=bpf -o '$root/traces/t.db' -- sh -c 'grep CapPrm /proc/self/status | cat'" >"$root/out"
grep -q 'CapPrm:.0000000000000000$' "$root/out"
[ "$(stat -c '%u' "$root/traces/t.db")" = 65534 ]
"$prefix/bin/ipctrace" query -i "$root/traces/t.db" "SELECT src_comm FROM edges WHERE mechanism = 'pipe'" | grep -q grep
# What only reads a trace keeps none of them.
$member sh -c "exec '$prefix/bin/ipctrace' query -i '$root/traces/t.db' \
	'WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c'" >"$root/out" &
sleep 0.5
grep -q 'CapPrm:.0000000000000000$' /proc/$!/status
kill $!
if $other sh -c "'$prefix/bin/ipctrace' --version" 2>/dev/null; then exit 1; fi
${MAKE:-make -s} BUILD="$BUILD" DESTDIR="$root" PREFIX=/group uninstall >/dev/null
