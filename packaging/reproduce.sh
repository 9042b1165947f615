#!/usr/bin/env bash
# Builds the committed sources twice, in two folders, and compares the binaries and the tarballs. Takes two cold release builds.
# When they differ it says in which of what they are made of, and keeps the folders.
#
#   packaging/reproduce.sh             the program that needs the glibc of this system
#   packaging/reproduce.sh --static    the program that needs nothing (what packaging/build.sh wants for it)
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
    "") OUTPUT=target/release ;;
    --static) OUTPUT="target/$(uname -m)-unknown-linux-musl/release" ;;
    *) echo "usage: packaging/reproduce.sh [--static]" >&2; exit 2 ;;
esac
WORK="$(mktemp -d)"
trap 'rm -rf "$WORK"' EXIT
COMMIT="$(git rev-parse HEAD)"
SOURCE_DATE_EPOCH="$(git log -1 --format=%ct "$COMMIT")"
export SOURCE_DATE_EPOCH
# names of different lengths: a name that is kept would move what follows
for folder in one another-one; do
    mkdir -p "$WORK/$folder/sources"
    git archive "$COMMIT" | tar -x -C "$WORK/$folder/sources"
    CARGO_TARGET_DIR="$WORK/$folder/target" "$WORK/$folder/sources/packaging/build.sh" "$@"
    CARGO_TARGET_DIR="$WORK/$folder/target" "$WORK/$folder/sources/packaging/tarball.sh" "$WORK/$folder/$OUTPUT/ringback" "$WORK/$folder/tarball"
done
sums() { (cd "$1" && sha256sum "$OUTPUT/ringback" tarball/*.tar.gz); }
if ! diff <(sums "$WORK/one") <(sums "$WORK/another-one"); then
    parts() { (cd "$1/$OUTPUT" && find deps build \( -name '*.rlib' -o -name '*.a' -o -name '*.o' \) -print0 | sort -z | xargs -0 sha256sum); }
    diff <(parts "$WORK/one") <(parts "$WORK/another-one") | sed -n 's/^[<>] [0-9a-f]*  //p' | sort -u >&2 || true
    trap - EXIT
    echo "FAILED: the two builds differ, in what is listed above; they are kept in $WORK" >&2
    exit 1
fi
sums "$WORK/one"
echo "both builds are the same"
