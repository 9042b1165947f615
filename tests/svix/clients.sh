#!/usr/bin/env bash
# Svix's own libraries against a real engine: every call that its open-source server implements. Needs Python 3, Node.js and
# npm; installs the libraries (PyPI, npm) beside the build.
#
#   tests/svix/clients.sh                                  # target/release/ringback, or target/debug/ringback
#   RINGBACK_BIN=… DATABASE_URL=postgres://… tests/svix/clients.sh
#   SVIX_URL=http://… SVIX_SECRET=… tests/svix/clients.sh   # another server, such as Svix's own
set -euo pipefail
cd "$(dirname "$0")/../.."
HERE="$PWD/tests/svix"
TARGET="${CARGO_TARGET_DIR:-target}"
# the oldest supported line and the newest
PYTHON_VERSIONS="${PYTHON_VERSIONS:-1.99.1 2.9.1}"
NPM_VERSIONS="${NPM_VERSIONS:-1.99.1 2.5.0}"

WORK="$(mktemp -d)"
ENGINE=
finish() {
    local code=$?
    if [ -n "$ENGINE" ]; then kill "$ENGINE" 2>/dev/null || true; wait "$ENGINE" 2>/dev/null || true; fi
    if [ "$code" -ne 0 ] && [ -s "$WORK/log" ]; then tail -n 20 "$WORK/log" >&2; fi
    rm -rf "$WORK"
    exit "$code"
}
trap finish EXIT

SECRET="${SVIX_SECRET:-secret-of-the-run-with-svix-libraries}"
URL="${SVIX_URL:-}"
if [ -z "$URL" ]; then
    BIN="${RINGBACK_BIN:-}"
    for candidate in "$TARGET/release/ringback" "$TARGET/debug/ringback"; do
        if [ -z "$BIN" ] && [ -x "$candidate" ]; then BIN="$candidate"; fi
    done
    [ -x "$BIN" ] || { echo "no ringback binary: cargo build --release, or set RINGBACK_BIN" >&2; exit 2; }
    BIN="$(realpath "$BIN")"
    : >"$WORK/out"
    (cd "$WORK" && RINGBACK_LISTEN=127.0.0.1:0 RINGBACK_DATABASE_URL="${DATABASE_URL:-sqlite://$WORK/ringback.db}" \
        RINGBACK_MASTER_KEY="$("$BIN" master-key generate --quiet)" RINGBACK_SVIX_JWT_SECRET="$SECRET" RINGBACK_LOG=warn \
        RINGBACK_ALLOW_HTTP=true RINGBACK_ALLOWED_NETWORKS=127.0.0.0/8 exec "$BIN" serve >out 2>log) &
    ENGINE=$!
    for _ in $(seq 100); do
        URL="$(sed -n 's/^ringback listening on //p' "$WORK/out")"
        [ -n "$URL" ] && break
        sleep 0.1
    done
    [ -n "$URL" ] || { echo "the engine did not start" >&2; exit 1; }
fi

for version in $PYTHON_VERSIONS; do
    venv="$TARGET/svix-python-$version"
    if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import svix, cryptography' 2>/dev/null; then
        python3 -m venv "$venv"
        "$venv/bin/pip" install --quiet "svix==$version" cryptography
    fi
    PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" "$HERE/python_client.py" "$URL" "$SECRET"
done
for version in $NPM_VERSIONS; do
    folder="$(mkdir -p "$TARGET/svix-npm-$version" && realpath "$TARGET/svix-npm-$version")"
    if [ ! -d "$folder/node_modules/svix" ]; then
        # its newest says that it needs Node.js 22, and works with 20
        (cd "$folder" && echo '{"private": true}' >package.json && npm install --silent --no-audit --no-fund "svix@$version" 2>&1)
    fi
    node "$HERE/npm_client.mjs" "$URL" "$SECRET" "$folder"
done
