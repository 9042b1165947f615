#!/usr/bin/env bash
# Writes what the program is made of: ringback-VERSION-sbom.cdx.json (CycloneDX), the same for each checkout of a commit.
#
#   packaging/sbom.sh [FOLDER]      default: target/packages
#
# Needs `cargo install --locked cargo-cyclonedx`.
set -euo pipefail
cd "$(dirname "$0")/.."

OUTPUT="${1:-${CARGO_TARGET_DIR:-target}/packages}"
VERSION="$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)"
# with a time given, it leaves out the time and a random number
SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}"
export SOURCE_DATE_EPOCH
mkdir -p "$OUTPUT"
# one for each member of the workspace, beside its manifest
trap 'rm -f ringback-sbom.json tests/support/ringback-sbom.json' EXIT
cargo cyclonedx --quiet --format json --spec-version 1.5 --override-filename ringback-sbom
sed "s|file://$PWD|file:///usr/src/ringback|g" ringback-sbom.json >"$OUTPUT/ringback-$VERSION-sbom.cdx.json"
python3 -c 'import json, sys; print(len(json.load(open(sys.argv[1]))["components"]), "crates in", sys.argv[1])' \
    "$OUTPUT/ringback-$VERSION-sbom.cdx.json"
