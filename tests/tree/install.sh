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
