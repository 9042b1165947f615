#!/usr/bin/env bash
# Makes clients from the description of the API and uses them, as somebody who integrates would: a Python one
# (openapi-python-client) and a TypeScript one (openapi-typescript with openapi-fetch), both against a real engine.
# Fails when a generator warns, when a call is missing in a client, when the types are wrong (mypy and tsc, both
# strict), when a call does not do what it should, or when the linter (spectral) finds anything in the description.
# Needs Python 3 and Node 18 or later with npm; the tools come from PyPI and npm, in the versions that
# tests/generated_clients/ names, and stay in target/generated-clients/.
#
#   tests/generated_clients.sh             # target/release/ringback, or target/debug/ringback
#   RINGBACK_BIN=… tests/generated_clients.sh
set -euo pipefail
cd "$(dirname "$0")/.."

TARGET="${CARGO_TARGET_DIR:-target}"
PARTS="$PWD/tests/generated_clients"

BIN="${RINGBACK_BIN:-}"
for candidate in "$TARGET/release/ringback" "$TARGET/debug/ringback"; do
    if [ -z "$BIN" ] && [ -x "$candidate" ]; then BIN="$candidate"; fi
done
[ -x "$BIN" ] || { echo "no ringback binary: cargo build --release, or set RINGBACK_BIN" >&2; exit 2; }
BIN="$(realpath "$BIN")"
for tool in python3 node npm; do
    command -v "$tool" >/dev/null || { echo "$tool is missing: install it" >&2; exit 2; }
done

WORK="$(mktemp -d)"
STARTED=()
finish() {
    local code=$?
    for pid in "${STARTED[@]}"; do kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; done
    rm -rf "$WORK"
    exit "$code"
}
trap finish EXIT

# the tools, unless those of these versions are there
TOOLS="$TARGET/generated-clients"
mkdir -p "$TOOLS"
TOOLS="$(realpath "$TOOLS")"
if ! cmp -s "$PARTS/requirements.txt" "$TOOLS/requirements.txt"; then
    python3 -m venv --clear "$TOOLS/venv"
    "$TOOLS/venv/bin/pip" install --quiet --requirement "$PARTS/requirements.txt"
    cp "$PARTS/requirements.txt" "$TOOLS/"
fi
if ! cmp -s "$PARTS/package.json" "$TOOLS/package.json"; then
    rm -rf "$TOOLS/npm" && mkdir "$TOOLS/npm" && cp "$PARTS/package.json" "$TOOLS/npm/"
    (cd "$TOOLS/npm" && npm install --silent --no-audit --no-fund --no-package-lock --ignore-scripts)
    cp "$PARTS/package.json" "$TOOLS/"
fi

# an engine that may deliver to this machine, and a receiver
cd "$WORK"
cp "$PARTS"/* .
# what a program has written behind a word in its first lines, once it has
said() {
    local text=
    for _ in $(seq 100); do
        text="$(sed -n "s/^$1//p" "$2" | head -1)"
        [ -n "$text" ] && break
        sleep 0.1
    done
    [ -n "$text" ] || { echo "nothing was started:" >&2; cat "$2" log >&2; return 1; }
    echo "$text"
}
: >engine
: >receiver
RINGBACK_LISTEN=127.0.0.1:0 RINGBACK_DATABASE_URL="sqlite://$WORK/ringback.db" RINGBACK_ADMIN_KEY=admin-of-this-run \
    RINGBACK_MASTER_KEY="$("$BIN" master-key generate --quiet)" RINGBACK_LOG=warn RINGBACK_ALLOW_HTTP=true \
    RINGBACK_ALLOWED_NETWORKS=127.0.0.0/8 "$BIN" serve >engine 2>log &
STARTED+=($!)
python3 receiver.py >receiver &
STARTED+=($!)
ENGINE="$(said 'ringback listening on ' engine)"
RECEIVER="$(said '' receiver)"
field() { python3 -c 'import json,sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
# an organization for each client; prints a key of its owner
organization() {
    local id
    id="$(curl -fsS "$ENGINE/v1/organizations" -H "Authorization: Bearer admin-of-this-run" -d "{\"name\":\"$1\"}" | field id)"
    curl -fsS "$ENGINE/v1/organizations/$id/keys" -H "Authorization: Bearer admin-of-this-run" \
        -d '{"name":"owner","role":"owner"}' | field key
}
export ENGINE RECEIVER PYTHONDONTWRITEBYTECODE=1
curl -fsS "$ENGINE/openapi.json" >openapi.json

echo "-- the description, by spectral"
ln -s "$TOOLS/npm/node_modules" node_modules
NPM="$TOOLS/npm/node_modules/.bin"
"$NPM/spectral" lint openapi.json --ruleset spectral.yaml --fail-severity hint --quiet

echo "-- the Python client"
"$TOOLS/venv/bin/openapi-python-client" generate --path openapi.json --config openapi-python-client.yaml \
    --output-path python --fail-on-warning
python3 - <<'PYTHON'
import json, pathlib, re, sys

operations = [it for item in json.load(open("openapi.json"))["paths"].values() for it in item.values()]
snake = lambda name: re.sub("([A-Z])", r"_\1", name).lower()
made = {path.stem for path in pathlib.Path("python/ringback_client/api").glob("*/*.py")}
missing = [it["operationId"] for it in operations if snake(it["operationId"]) not in made]
sys.exit(f"not in the Python client: {missing}" if missing else 0)
PYTHON
MYPYPATH=python "$TOOLS/venv/bin/mypy" --strict --follow-imports=silent --cache-dir=/dev/null --no-error-summary client.py
KEY="$(organization python)" PYTHONPATH=python "$TOOLS/venv/bin/python" client.py

echo "-- the TypeScript client"
"$NPM/openapi-typescript" openapi.json --output schema.d.ts >typescript 2>&1 || { cat typescript >&2; exit 1; }
if grep -iE "warn|error" typescript; then exit 1; fi
"$NPM/tsc" --project tsconfig.json
KEY="$(organization typescript)" node out/client.js
