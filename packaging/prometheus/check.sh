#!/usr/bin/env bash
# Checks rules.yml and alerts.yml with promtool, runs their tests, and lets a real Prometheus scrape a real engine that delivers,
# fails and retries: every panel of the dashboard for Grafana and every rule is evaluated there. Needs Prometheus with promtool
# (Debian: prometheus) and Python 3; takes about 40 s.
#
#   packaging/prometheus/check.sh          # target/release/ringback, or target/debug/ringback
#   RINGBACK_BIN=… packaging/prometheus/check.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
HERE="$PWD/packaging/prometheus"
TARGET="${CARGO_TARGET_DIR:-target}"

BIN="${RINGBACK_BIN:-}"
for candidate in "$TARGET/release/ringback" "$TARGET/debug/ringback"; do
    if [ -z "$BIN" ] && [ -x "$candidate" ]; then BIN="$candidate"; fi
done
[ -x "$BIN" ] || { echo "no ringback binary: cargo build --release, or set RINGBACK_BIN" >&2; exit 2; }
BIN="$(realpath "$BIN")"
for tool in prometheus promtool python3; do
    command -v "$tool" >/dev/null || { echo "$tool is missing: install it (Debian: prometheus, python3)" >&2; exit 2; }
done

promtool check rules "$HERE/rules.yml" "$HERE/alerts.yml"
promtool test rules "$HERE/tests.yml"

WORK="$(mktemp -d)"
STARTED=()
finish() {
    local code=$? pid
    for pid in "${STARTED[@]}"; do kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; done
    if [ "$code" -ne 0 ] && [ -f "$WORK/prometheus.log" ]; then
        { tail -n 20 "$WORK/engine.log"; grep -E 'level=(warn|error)' "$WORK/prometheus.log" | tail -n 20; } >&2 || true
    fi
    rm -rf "$WORK"
    exit "$code"
}
trap finish EXIT

# an engine that may deliver to this machine
cd "$WORK"
: >out
export RINGBACK_ADMIN_KEY="admin-of-the-check-of-prometheus"
RINGBACK_LISTEN=127.0.0.1:0 RINGBACK_DATABASE_URL="sqlite://$WORK/ringback.db" RINGBACK_LOG=warn \
    RINGBACK_MASTER_KEY="$("$BIN" master-key generate --quiet)" \
    RINGBACK_ALLOW_HTTP=true RINGBACK_ALLOWED_NETWORKS=127.0.0.0/8 "$BIN" serve >out 2>engine.log &
STARTED+=("$!")
URL=
for _ in $(seq 100); do
    URL="$(sed -n 's/^ringback listening on //p' out)"
    [ -n "$URL" ] && break
    sleep 0.1
done
[ -n "$URL" ] || { echo "the engine did not start" >&2; exit 1; }

PORT="$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
cat >prometheus.yml <<EOF
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: ["$HERE/rules.yml", "$HERE/alerts.yml"]
scrape_configs:
  - job_name: ringback
    static_configs: [{targets: ["${URL#http://}"]}]
EOF
prometheus --config.file=prometheus.yml --storage.tsdb.path="$WORK/data" --web.listen-address="127.0.0.1:$PORT" \
    >prometheus.log 2>&1 &
STARTED+=("$!")

python3 "$HERE/check.py" "$URL" "http://127.0.0.1:$PORT" "$HERE/../grafana/ringback.json"
