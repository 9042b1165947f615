#!/usr/bin/env bash
# Svix's own libraries against a real engine: every call that its open-source server implements. Needs Python 3, Node.js and
# npm; installs the libraries (PyPI, npm, crates.io) beside the build.
#
#   tests/svix/clients.sh                                  # target/release/ringback, or target/debug/ringback: on SQLite,
#                                                          # and on a PostgreSQL that it starts, if one is installed
#   RINGBACK_BIN=… DATABASE_URL=postgres://… tests/svix/clients.sh
#   SVIX_URL=http://… SVIX_SECRET=… tests/svix/clients.sh   # another server, such as Svix's own
set -euo pipefail
cd "$(dirname "$0")/../.."
HERE="$PWD/tests/svix"
TARGET="${CARGO_TARGET_DIR:-target}"
mkdir -p "$TARGET"
TARGET="$(realpath "$TARGET")"
# the oldest supported line and the newest
PYTHON_VERSIONS="${PYTHON_VERSIONS:-1.99.1 2.9.1}"
NPM_VERSIONS="${NPM_VERSIONS:-1.99.1 2.5.0}"
SECRET="${SVIX_SECRET:-secret-of-the-run-with-svix-libraries}"

WORK="$(mktemp -d)"
ENGINE=
POSTGRES=
# PostgreSQL does not run as root
AS_OWNER=()
stop_engine() {
    if [ -n "$ENGINE" ]; then kill "$ENGINE" 2>/dev/null || true; wait "$ENGINE" 2>/dev/null || true; fi
    ENGINE=
}
finish() {
    local code=$?
    stop_engine
    if [ -n "$POSTGRES" ]; then "${AS_OWNER[@]}" "$POSTGRES/pg_ctl" stop -m immediate -D "$WORK/pg/data" >/dev/null || true; fi
    if [ "$code" -ne 0 ]; then tail -n 20 "$WORK"/engine-*/log >&2 2>/dev/null || true; fi
    rm -rf "$WORK"
    exit "$code"
}
trap finish EXIT

# Each library against the server at $1
libraries() {
    local url="$1" version venv folder
    for version in $PYTHON_VERSIONS; do
        venv="$TARGET/svix-python-$version"
        if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import svix, cryptography' 2>/dev/null; then
            python3 -m venv "$venv"
            "$venv/bin/pip" install --quiet "svix==$version" cryptography
        fi
        PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" "$HERE/python_client.py" "$url" "$SECRET"
    done
    for version in $NPM_VERSIONS; do
        folder="$TARGET/svix-npm-$version"
        mkdir -p "$folder"
        if [ ! -d "$folder/node_modules/svix" ]; then
            # its newest says that it needs Node.js 22, and works with 20
            (cd "$folder" && echo '{"private": true}' >package.json && npm install --silent --no-audit --no-fund "svix@$version" 2>&1)
        fi
        node "$HERE/npm_client.mjs" "$url" "$SECRET" "$folder"
    done
    # a folder of its own: with other features, it would make the next build of the engine a cold one
    CARGO_TARGET_DIR="$TARGET/svix-rust" cargo run --quiet --locked --manifest-path "$HERE/rust/Cargo.toml" -- "$url" "$SECRET"
}

# The same against an engine on the database with this URL
on_database() {
    local name="$1" database="$2" folder="$WORK/engine-$1" url=
    echo "on $name"
    mkdir "$folder"
    : >"$folder/out"
    (cd "$folder" && RINGBACK_LISTEN=127.0.0.1:0 RINGBACK_DATABASE_URL="$database" \
        RINGBACK_MASTER_KEY="$("$BIN" master-key generate --quiet)" RINGBACK_SVIX_JWT_SECRET="$SECRET" RINGBACK_LOG=warn \
        RINGBACK_ALLOW_HTTP=true RINGBACK_ALLOWED_NETWORKS=127.0.0.0/8 exec "$BIN" serve >out 2>log) &
    ENGINE=$!
    for _ in $(seq 100); do
        url="$(sed -n 's/^ringback listening on //p' "$folder/out")"
        [ -n "$url" ] && break
        sleep 0.1
    done
    [ -n "$url" ] || { echo "the engine did not start" >&2; exit 1; }
    libraries "$url"
    stop_engine
}

# Starts a PostgreSQL with an empty database, whose URL is then in POSTGRES_URL; false when none is installed
start_postgres() {
    local bin port
    bin="$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)"
    if [ -z "$bin" ]; then bin="$(dirname "$(command -v initdb)" 2>/dev/null)"; fi
    [ -x "$bin/initdb" ] || return 1
    mkdir "$WORK/pg"
    if [ "$(id -u)" -eq 0 ]; then
        AS_OWNER=(setpriv --reuid nobody --regid "$(id -g nobody)" --clear-groups)
        chmod 711 "$WORK"
        chown nobody "$WORK/pg"
    fi
    port="$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
    (cd "$WORK/pg" && "${AS_OWNER[@]}" "$bin/initdb" --username=ringback --auth=trust --no-sync --encoding=UTF8 --locale=C -D data >/dev/null &&
        "${AS_OWNER[@]}" "$bin/pg_ctl" start -w -t 60 -D data -l log \
            -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=''" >/dev/null)
    POSTGRES="$bin"
    POSTGRES_URL="postgres://ringback@127.0.0.1:$port/postgres"
}

if [ -n "${SVIX_URL:-}" ]; then
    libraries "$SVIX_URL"
    exit
fi
BIN="${RINGBACK_BIN:-}"
for candidate in "$TARGET/release/ringback" "$TARGET/debug/ringback"; do
    if [ -z "$BIN" ] && [ -x "$candidate" ]; then BIN="$candidate"; fi
done
[ -x "$BIN" ] || { echo "no ringback binary: cargo build --release, or set RINGBACK_BIN" >&2; exit 2; }
BIN="$(realpath "$BIN")"
if [ -n "${DATABASE_URL:-}" ]; then
    on_database "${DATABASE_URL%%:*}" "$DATABASE_URL"
    exit
fi
on_database sqlite "sqlite://$WORK/ringback.db"
if start_postgres; then
    on_database postgres "$POSTGRES_URL"
elif [ -n "${RINGBACK_REQUIRE_POSTGRES:-}" ]; then
    echo "PostgreSQL is missing: the libraries were not run on it" >&2
    exit 1
else
    echo "SKIPPED: no PostgreSQL is installed" >&2
fi
