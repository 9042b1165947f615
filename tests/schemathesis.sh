#!/usr/bin/env bash
# Sends thousands of made-up requests to a real engine and checks every answer against /openapi.json: no 5xx, only
# documented statuses, and bodies that follow their schemas. Needs Python 3; installs schemathesis (PyPI) into a
# virtual environment when it is missing.
#
#   tests/schemathesis.sh                  # target/release/ringback, or target/debug/ringback
#   RINGBACK_BIN=… EXAMPLES=20 SEED=7 MAX_SECONDS=60 tests/schemathesis.sh
set -euo pipefail
cd "$(dirname "$0")/.."
HERE="$PWD"

TARGET="${CARGO_TARGET_DIR:-target}"
# for each operation and phase; 40 make about 5,000 cases
EXAMPLES="${EXAMPLES:-40}"
SEED="${SEED:-20241216}"
MAX_SECONDS="${MAX_SECONDS:-100}"
LEAST_CASES="${LEAST_CASES:-2000}"
VERSION=4.32.5

BIN="${RINGBACK_BIN:-}"
for candidate in "$TARGET/release/ringback" "$TARGET/debug/ringback"; do
    if [ -z "$BIN" ] && [ -x "$candidate" ]; then BIN="$candidate"; fi
done
[ -x "$BIN" ] || { echo "no ringback binary: cargo build --release, or set RINGBACK_BIN" >&2; exit 2; }
BIN="$(realpath "$BIN")"

WORK="$(mktemp -d)"
ENGINE=
finish() {
    local code=$?
    if [ -n "$ENGINE" ]; then kill "$ENGINE" 2>/dev/null || true; wait "$ENGINE" 2>/dev/null || true; fi
    rm -rf "$WORK"
    exit "$code"
}
trap finish EXIT

ST="$(command -v schemathesis || true)"
if [ -z "$ST" ]; then
    VENV="${SCHEMATHESIS_VENV:-$TARGET/schemathesis}"
    if [ ! -x "$VENV/bin/schemathesis" ]; then
        python3 -m venv "$VENV"
        "$VENV/bin/pip" install --quiet "schemathesis==$VERSION"
    fi
    ST="$(realpath "$VENV")/bin/schemathesis"
fi

# made-up webhooks have made-up hosts: no name resolves here, so that nothing is sent to strangers
DNS=127.0.0.1:9
ADMIN="admin-of-the-schemathesis-run"
cd "$WORK"
: >out
RINGBACK_LISTEN=127.0.0.1:0 RINGBACK_DATABASE_URL="sqlite://$WORK/ringback.db" RINGBACK_ADMIN_KEY="$ADMIN" \
    RINGBACK_MASTER_KEY="$("$BIN" master-key generate --quiet)" RINGBACK_LOG=warn RINGBACK_DNS_SERVERS="$DNS" \
    "$BIN" serve >out 2>log &
ENGINE=$!
URL=
for _ in $(seq 100); do
    URL="$(sed -n 's/^ringback listening on //p' out)"
    [ -n "$URL" ] && break
    sleep 0.1
done
[ -n "$URL" ] || { echo "the engine did not start:" >&2; cat log >&2; exit 1; }

first() { python3 -c 'import json,sys; print(json.load(sys.stdin)["data"][0]["id"])'; }
field() { python3 -c 'import json,sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
post() { curl -fsS "$URL$1" -H "Authorization: Bearer $2" -d "$3"; }
ORGANIZATION="$(post /v1/organizations "$ADMIN" '{"name":"schemathesis"}' | field id)"
KEY="$(post "/v1/organizations/$ORGANIZATION/keys" "$ADMIN" '{"name":"owner","role":"owner"}' | field key)"
# something to read
post /v1/webhooks "$KEY" '{"url":"https://example.com/hook","retry":20}' >/dev/null
post /v1/events "$KEY" '{"event_type":"call.completed","data":{"id":"call_1"}}' >event
WEBHOOK="$(curl -fsS "$URL/v1/webhooks" -H "Authorization: Bearer $KEY" | first)"
DELIVERY="$(curl -fsS "$URL/v1/webhooks/logs" -H "Authorization: Bearer $KEY" | first)"
EVENT="$(field id <event)"
export ORGANIZATION WEBHOOK DELIVERY EVENT SCHEMATHESIS_HOOKS=schemathesis_hooks PYTHONPATH="$HERE/tests" PYTHONDONTWRITEBYTECODE=1

code=0
timeout --signal=INT "$((MAX_SECONDS + 30))" "$ST" run "$URL/openapi.json" \
    --header "Authorization: Bearer $KEY" \
    --phases examples,coverage,fuzzing,stateful \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,ignored_auth,documented_code \
    --max-examples "$EXAMPLES" --max-time "$MAX_SECONDS" --seed "$SEED" --workers 1 --continue-on-failure \
    --request-timeout 30 --report-junit-path "$WORK/junit.xml" --no-color 2>&1 | tee report || code=$?
if ! kill -0 "$ENGINE" 2>/dev/null; then
    echo "the engine died:" >&2
    cat log >&2
    exit 1
fi
# a client's broken request is logged by the HTTP library as its error: only ours count
if grep -qE "panicked|ERROR ringback" log; then
    echo "the engine's log has errors, $(grep -cE "panicked|ERROR ringback" log) in all; the first:" >&2
    grep -E -m 10 "panicked|ERROR ringback" log >&2
    exit 1
fi
[ "$code" -eq 0 ] || exit "$code"
CASES="$(sed -nE 's/^ *([0-9]+) generated.*/\1/p' report | tail -1)"
[ "${CASES:-0}" -ge "$LEAST_CASES" ] || { echo "only ${CASES:-0} cases, expected $LEAST_CASES" >&2; exit 1; }
echo "$CASES cases, all of them answered as documented"
