#!/usr/bin/env bash
# Builds the release binary so that whoever builds the same commit with the same toolchain gets the same bytes.
#
#   packaging/build.sh              target/release/ringback, which needs the glibc of this system
#   packaging/build.sh --static     target/MACHINE-unknown-linux-musl/release/ringback, which needs nothing. Wants musl-tools
#                                   and `rustup target add MACHINE-unknown-linux-musl`
#
#   SOURCE_DATE_EPOCH=SECONDS       default: the time of the commit
#   CARGO_TARGET_DIR=DIR            as for cargo
#
# The bundled OpenSSL keeps the folder that it was built in, and the time. So the build sees the sources in
# /usr/src/ringback, the target folder in /usr/src/target and cargo's in /usr/src/cargo, wherever they are: in a mount namespace
# of its own, which needs root or a system that lets users make namespaces.
set -euo pipefail
cd "$(dirname "$0")/.."

TARGET="${CARGO_TARGET_DIR:-$PWD/target}"
mkdir -p "$TARGET"
TARGET="$(realpath "$TARGET")"
STATIC="$(uname -m)-unknown-linux-musl"
case "${1:-}" in
    "") TRIPLE="" BINARY="$TARGET/release/ringback" ;;
    --static) TRIPLE="$STATIC" BINARY="$TARGET/$STATIC/release/ringback" ;;
    *) echo "usage: packaging/build.sh [--static]" >&2; exit 2 ;;
esac
HOME_OF_CARGO="${CARGO_HOME:-$HOME/.cargo}"
EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}"
TOOLCHAIN="$(rustc --print sysroot)"

# what is set here for a developer's machine would change the bytes
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS CFLAGS CXXFLAGS CARGO_INCREMENTAL
export "CC_${STATIC//-/_}=musl-gcc" SOURCE_DATE_EPOCH="$EPOCH" TRIPLE TARGET HOME_OF_CARGO TOOLCHAIN SOURCES="$PWD" LC_ALL=C TZ=UTC

NAMESPACE=(unshare --mount)
[ "$(id -u)" -eq 0 ] || NAMESPACE+=(--map-root-user)
# shellcheck disable=SC2016 # expanded in there
"${NAMESPACE[@]}" bash -euo pipefail -c '
    # the folders keep a name that the new /usr/src does not hide
    exec 3<"$SOURCES" 4<"$TARGET" 5<"$HOME_OF_CARGO"
    mount -t tmpfs tmpfs /usr/src
    mkdir /usr/src/ringback /usr/src/target /usr/src/cargo
    mount --no-canonicalize --bind /proc/self/fd/3 /usr/src/ringback
    mount --no-canonicalize --bind /proc/self/fd/4 /usr/src/target
    mount --no-canonicalize --bind /proc/self/fd/5 /usr/src/cargo
    cd /usr/src/ringback
    export CARGO_HOME=/usr/src/cargo CARGO_TARGET_DIR=/usr/src/target PATH="$TOOLCHAIN/bin:$PATH"
    export RUSTFLAGS="--remap-path-prefix=/usr/src/cargo/registry/src=registry --remap-path-prefix=/usr/src/ringback=ringback"
    nice -n 19 cargo build --locked --release --bin ringback ${TRIPLE:+--target "$TRIPLE"}
'
sha256sum "$BINARY"
