#!/usr/bin/env bash
# Makes ringback-VERSION-MACHINE-linux-LIBC.tar.gz of a release binary, and SHA256SUMS beside it. The same binary gives the same
# bytes.
#
#   packaging/tarball.sh [BINARY [FOLDER]]      default: target/release/ringback target/packages
#
#   SOURCE_DATE_EPOCH=SECONDS       default: the time of the commit
#   CARGO_TARGET_DIR=DIR            as for cargo
#   NEWEST_GLIBC=VERSION            fails when the binary needs a newer one; see packaging/tests/glibc.sh
set -euo pipefail
cd "$(dirname "$0")/.."

TARGET="$(realpath "${CARGO_TARGET_DIR:-target}")"
BINARY="${1:-$TARGET/release/ringback}"
OUTPUT="${2:-$TARGET/packages}"
EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}"
[ -x "$BINARY" ] || { echo "no $BINARY: packaging/build.sh" >&2; exit 1; }
packaging/tests/glibc.sh "$BINARY" "${NEWEST_GLIBC:-}"

VERSION="$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)"
case "$(od -An -tx1 -j18 -N1 "$BINARY" | tr -d ' ')" in
    3e) MACHINE=x86_64 ;;
    b7) MACHINE=aarch64 ;;
    *) echo "$BINARY is for another processor" >&2; exit 1 ;;
esac
LIBC=gnu
readelf --program-headers "$BINARY" | grep -q INTERP || LIBC=musl
NAME="ringback-$VERSION-$MACHINE-linux-$LIBC"

WORK="$(mktemp -d)"
trap 'rm -rf "$WORK"' EXIT
mkdir -p "$WORK/$NAME" "$OUTPUT"
install -m 755 "$BINARY" "$WORK/$NAME/ringback"
install -m 644 README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT ringback.toml packaging/systemd/ringback.service "$WORK/$NAME/"
mkdir "$WORK/$NAME/man" "$WORK/$NAME/completions"
install -m 644 packaging/man/*.1 "$WORK/$NAME/man/"
install -m 644 packaging/completions/* "$WORK/$NAME/completions/"
tar -C "$WORK" --sort=name --mtime="@$EPOCH" --owner=0 --group=0 --numeric-owner --format=gnu -c "$NAME" |
    gzip -9 -n >"$OUTPUT/$NAME.tar.gz"
(cd "$OUTPUT" && sha256sum -- *.tar.gz | tee SHA256SUMS)
