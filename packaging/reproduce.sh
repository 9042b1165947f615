#!/usr/bin/env bash
# Builds the committed sources twice, in two folders, and compares the binaries and the tarballs. Takes two cold release builds.
#
#   packaging/reproduce.sh
set -euo pipefail
cd "$(dirname "$0")/.."

WORK="$(mktemp -d)"
trap 'rm -rf "$WORK"' EXIT
SOURCE_DATE_EPOCH="$(git log -1 --format=%ct)"
export SOURCE_DATE_EPOCH
# names of different lengths: a name that is kept would move what follows
for folder in one another-one; do
    mkdir -p "$WORK/$folder/sources"
    git archive HEAD | tar -x -C "$WORK/$folder/sources"
    CARGO_TARGET_DIR="$WORK/$folder/target" "$WORK/$folder/sources/packaging/build.sh"
    CARGO_TARGET_DIR="$WORK/$folder/target" "$WORK/$folder/sources/packaging/tarball.sh" "" "$WORK/$folder/tarball"
done
sums() { (cd "$1" && sha256sum target/release/ringback tarball/*.tar.gz); }
if ! diff <(sums "$WORK/one") <(sums "$WORK/another-one"); then
    echo "FAILED: the two builds differ" >&2
    exit 1
fi
sums "$WORK/one"
echo "both builds are the same"
