#!/usr/bin/env bash
# Installs the Debian package into a fresh Debian, and holds it to what docs/install.md says: a first delivery, an upgrade,
# a removal, a purge. systemd is not started: the engine is started with what its unit says (program, user,
# variables, credentials), and the unit itself is checked by `systemd-analyze`.
#
#   packaging/tests/deb.sh
#
#   CARGO_TARGET_DIR=DIR  as for cargo; DIR/release/ringback is what is packaged
#   DEBIAN_ROOT=DIR       the fresh Debian; made with debootstrap, which takes a minute, where it does not exist. It stays
#                         unchanged and serves again. Default: packaging-root in the target folder
#   DEBIAN_MIRROR=URL     for debootstrap
#
# Needs root, for namespaces and a chroot, and: cargo-deb, dpkg-dev, debootstrap, lintian, iproute2, python3.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=packaging/tests/common.sh
. packaging/tests/common.sh

TARGET="$(realpath "${CARGO_TARGET_DIR:-target}")"
export CARGO_TARGET_DIR="$TARGET"
BASE="${DEBIAN_ROOT:-$TARGET/packaging-root}"
MIRROR="${DEBIAN_MIRROR:-http://deb.debian.org/debian}"
# The exposure that `systemd-analyze security` may find, times ten
EXPOSURE=25

if [ "${UNSHARED:-}" != yes ]; then
    [ "$(id -u)" -eq 0 ] || fail "needs root"
    [ -x "$TARGET/release/ringback" ] || fail "no $TARGET/release/ringback: cargo build --locked --release"
    if [ ! -e "$BASE/etc/debian_version" ]; then
        step "a fresh Debian in $BASE"
        debootstrap --variant=minbase --include=adduser,strace,systemd bookworm "$BASE" "$MIRROR" >/dev/null
    fi
    # own mounts, an own network in which port 8080 is free, and no process that outlives this one
    exec env UNSHARED=yes unshare --mount --net --pid --fork --kill-child "$0" "$@"
fi

mount --make-rprivate /
mount -t proc proc /proc
ip link set lo up
WORK="$(mktemp -d)"
mount -t tmpfs tmpfs "$WORK"
ROOT="$WORK/root"
trap 'cd /; umount -R "$WORK" 2>/dev/null || umount -l "$WORK"; rmdir "$WORK" 2>/dev/null || true' EXIT
mkdir "$WORK/changes" "$WORK/overlay" "$ROOT"
mount -t overlay overlay -o "lowerdir=$BASE,upperdir=$WORK/changes,workdir=$WORK/overlay" "$ROOT"
mount -t proc proc "$ROOT/proc"
mount --rbind /dev "$ROOT/dev"
mount -t tmpfs tmpfs "$ROOT/run"

INSIDE=(chroot "$ROOT" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive)
inside() { "${INSIDE[@]}" "$@"; }
# as an administrator does, with `sudo`
ringback() {
    inside RINGBACK_ADMIN_KEY_FILE=/etc/ringback/admin-key RINGBACK_MASTER_KEY_FILE=/etc/ringback/master-key ringback "$@"
}

UNIT="$ROOT/lib/systemd/system/ringback.service"
# The values of a setting of the unit, with what systemd puts in for `%t` and `%n`
unit() { sed -n "s/^$1=//p" "$UNIT" | sed 's|%t|/run|g; s|%n|ringback.service|g'; }

# Starts the engine as the unit says; `start strace …` runs it under strace. Its id is then in ENGINE.
start() {
    local credentials="$ROOT/run/credentials/ringback.service" credential variables command
    rm -rf "$credentials"
    mkdir -p "$credentials"
    for credential in $(unit LoadCredential); do
        install -m 400 -o "$(inside id -u ringback)" "$ROOT${credential#*:}" "$credentials/${credential%%:*}"
    done
    chown "$(inside id -u ringback)" "$credentials"
    chmod 500 "$credentials"
    mapfile -t variables < <(unit Environment)
    command="$(unit ExecStart)"
    : >"$WORK/engine.log"
    # not by the function: a signal would end the shell that it runs in
    "${INSIDE[@]}" "${variables[@]}" setpriv --reuid "$(unit User)" --regid "$(unit Group)" --clear-groups --no-new-privs \
        --bounding-set=-all --inh-caps=-all \
        sh -c "umask $(unit UMask); cd $(unit WorkingDirectory); exec $* $command" >"$WORK/engine.log" 2>&1 &
    ENGINE=$!
    if ! (eventually grep -q 'ringback listening on' "$WORK/engine.log") 2>/dev/null; then
        cat "$WORK/engine.log" >&2
        fail "the engine does not start"
    fi
}
stop() {
    local code=0
    kill -TERM "$ENGINE"
    wait "$ENGINE" || code=$?
    [ "$code" -eq 0 ] || { cat "$WORK/engine.log" >&2; fail "the engine ended with $code"; }
}

keys() { inside sha256sum /etc/ringback/master-key /etc/ringback/admin-key; }
is() { [ "$(inside stat -c '%a %U:%G' "$1")" = "$2" ] || fail "$1 is $(inside stat -c '%a %U:%G' "$1"), not $2"; }
there() { for path in "$@"; do [ -e "$ROOT$path" ] || fail "$path is missing"; done; }
gone() { for path in "$@"; do [ ! -e "$ROOT$path" ] || fail "$path is still there"; done; }

step "two versions of the package"
version="$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)"
cargo deb --no-build --no-strip --quiet --fast --deb-version "$version-1" --output "$WORK/old.deb" >/dev/null
cargo deb --no-build --no-strip --quiet --fast --deb-version "$version-2" --output "$WORK/new.deb" >/dev/null
# an override that names nothing any more would hide what comes later
lintian --allow-root --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs "$WORK/old.deb"
cp "$WORK"/*.deb "$ROOT/run/"

step "install"
began=$(now)
inside dpkg -i /run/old.deb
installed=$(($(now) - began))
is /etc/ringback/master-key "600 root:root"
is /etc/ringback/admin-key "600 root:root"
is /etc/ringback/ringback.toml "640 root:ringback"
is /var/lib/ringback "750 ringback:ringback"
there /usr/share/man/man1/ringback-serve.1.gz /usr/share/bash-completion/completions/ringback \
    /usr/share/zsh/vendor-completions/_ringback /usr/share/fish/vendor_completions.d/ringback.fish
[ -L "$ROOT/etc/systemd/system/multi-user.target.wants/ringback.service" ] || fail "the unit is not enabled"
! inside setpriv --reuid ringback --regid ringback --clear-groups cat /etc/ringback/master-key 2>/dev/null ||
    fail "the engine's user can read the file of the master key"
ringback config check --config /etc/ringback/ringback.toml >"$WORK/settings"
grep -q 'listen = "127.0.0.1:8080"' "$WORK/settings" || fail "it would not listen on the loopback address"

step "the unit"
inside systemd-analyze verify --man=no ringback.service
inside systemd-analyze security --no-pager --offline=true --threshold="$EXPOSURE" /lib/systemd/system/ringback.service |
    grep 'Overall exposure'

step "a first delivery"
# a receiver on this machine
printf '\nallow_http = true\nallowed_networks = ["127.0.0.0/8"]\n' >>"$ROOT/etc/ringback/ringback.toml"
began=$(now)
start
first_delivery ringback customer "$WORK/receiver.log"
delivered=$(($(now) - began))
first="$EVENT" first_key="$KEY"
before="$(keys)"

step "an upgrade"
stop
inside dpkg -i /run/new.deb
[ "$(keys)" = "$before" ] || fail "the upgrade changed a key"
is /etc/ringback/ringback.toml "640 root:ringback"
grep -q allow_http "$ROOT/etc/ringback/ringback.toml" || fail "the upgrade changed the settings"
start strace -f -qq -o /var/lib/ringback/calls
ringback events get "$first" --key "$first_key" | grep -q "$first" || fail "the event is gone"
first_delivery ringback customer "$WORK/receiver.log"
# the engine, not strace
ENGINE_ONLY="$(pgrep -x ringback | head -n 1)"
kill -TERM "$ENGINE_ONLY"
wait "$ENGINE" || fail "the engine ended with an error"

step "the unit allows every system call that was made"
calls() { inside systemd-analyze syscall-filter --no-pager "$1" | sed -n 's/^ \{4\}//p' | grep -v '^#'; }
# the names of a set, and of the sets in it
expand() {
    local name
    for name in $(calls "$1"); do
        case "$name" in @*) expand "$name" ;; *) echo "$name" ;; esac
    done
}
denied="$(for group in $(unit SystemCallFilter | sed -n 's/^~//p'); do expand "$group"; done | sort -u)"
allowed="$(for group in $(unit SystemCallFilter | grep -v '^~'); do expand "$group"; done | sort -u | comm -23 - <(echo "$denied"))"
made="$(sed -nE 's/^[0-9]+ +([a-z_0-9]+)\(.*/\1/p' "$ROOT/var/lib/ringback/calls" | sort -u)"
[ "$(wc -l <<<"$made")" -gt 30 ] || fail "the system calls were not seen"
refused="$(comm -23 <(echo "$made") <(echo "$allowed"))"
[ -z "$refused" ] || fail "the unit's SystemCallFilter= refuses $(xargs <<<"$refused")"

step "remove"
inside dpkg -r ringback
gone /usr/bin/ringback /lib/systemd/system/ringback.service
there /var/lib/ringback/ringback.db /etc/ringback/ringback.toml
[ "$(keys)" = "$before" ] || fail "the removal changed a key"
step "install again"
inside dpkg -i /run/new.deb
[ "$(keys)" = "$before" ] || fail "installing again changed a key"
start
ringback events get "$first" --key "$first_key" | grep -q "$first" || fail "the event is gone"
stop

step "purge"
inside dpkg -P ringback
gone /usr/bin/ringback /var/lib/ringback /etc/ringback

printf 'all of it holds: installed in %s ms, from the start of the engine to a delivery %s ms\n' "$installed" "$delivered"
