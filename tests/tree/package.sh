#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The Debian package is built, installed by dpkg into a folder of its own, works from there, and leaves nothing when it is
# removed. Costs some 6 s.
skip() { echo "SKIP: $1"; exit 77; }
[ -r /etc/debian_version ] || skip "not Debian"
command -v dpkg dh >/dev/null || skip "no debhelper here"
status=0
check() { # $1: what, the rest: the command that shows it
	local what=$1
	shift
	if "$@"; then echo "ok - $what"; else echo "not ok - $what"; status=1; fi
}
quiet() { "$@" >"$root/log" 2>&1 || { cat "$root/log"; return 1; }; }
root=$(mktemp -d) && trap 'rm -rf "$root"' EXIT
chmod 755 "$root"

version=$(sed -n 's/^VERSION := //p' Makefile)
check "the Makefile, the changelog and NEWS name one version" [ "$version $version" = \
	"$(sed -nE '1s/.*\((.*)\).*/\1/p' debian/changelog) $(sed -nE 's/^ipctrace ([0-9.]+)$/\1/p;T;q' NEWS)" ]
quiet ${MAKE:-make -s} BUILD="$BUILD" deb || { echo "not ok - make deb"; exit 1; }
package=$(realpath "$BUILD"/deb/ipctrace_"$version"_*.deb)
check "nothing of it is left in the tree" [ -z "$(git status --porcelain debian 2>/dev/null | grep '^??')" ]

# An administration of its own: no package of this machine is touched. Of another user than root in a pretended root.
[ "$(id -u)" = 0 ] || command -v fakeroot >/dev/null || skip "neither root nor fakeroot"
dpkg="$([ "$(id -u)" = 0 ] || echo fakeroot) dpkg --root=$root/system --force-depends --force-not-root --path-include=/* --log=$root/dpkg.log"
mkdir -p "$root"/system/var/lib/dpkg/{updates,info,triggers}
touch "$root"/system/var/lib/dpkg/{status,available}
check "it installs" quiet $dpkg -i "$package"
cd "$root" || exit 1
ipctrace=$root/system/usr/bin/ipctrace
schema=$(sed -n 's/^PRAGMA user_version = \([0-9]*\);$/\1/p' "$OLDPWD/collector/schema.sql")
check "its program tells the package's version, and the schema's" \
	[ "$("$ipctrace" --version | head -1)" = "ipctrace $version (trace files of schema $schema)" ]
check "the traced pipeline is what it is untraced" [ "$("$ipctrace" -q -- sh -c 'echo hello | cat')" = hello ]
check "and what it sent is seen" [ "$("$ipctrace" query \
	"SELECT bytes FROM edges WHERE mechanism = 'pipe' AND src_comm = 'sh' AND dst_comm = 'cat'" | tail -1)" -eq 6 ]
check "man finds the pages" [ -n "$(man -M "$root/system/usr/share/man" -w ipctrace ipctrace-edges)" ]
for file in bash-completion/completions/ipctrace zsh/vendor-completions/_ipctrace fish/vendor_completions.d/ipctrace.fish; do
	check "$file" [ -s "$root/system/usr/share/$file" ]
done
if command -v lintian >/dev/null; then
	# The project has no mail address yet.
	no_address=bogus-mail-host,bogus-mail-host-in-debian-changelog
	check "lintian finds no error" lintian --no-cfg --allow-root --fail-on error --suppress-tags $no_address "$package"
else echo "ok - lintian # SKIP not installed"; fi
check "it can be purged" quiet $dpkg -P ipctrace
left=$(find "$root/system" -path "$root/system/var/lib/dpkg" -prune -o -not -type d -print)
check "nothing is left behind $left" [ -z "$left" ]
exit $status
