#!/usr/bin/env bash
# What docs/backup.md says, done: SQLite copied beside a running engine, the engine killed, the copy restored; PostgreSQL restored
# from a dump, and to a moment from a base backup and an archive of its write-ahead log. Each time what was pending is delivered,
# and `ringback check` finds nothing. Needs Python 3, and for the second half PostgreSQL's programs; takes about a minute.
#
#   packaging/tests/backup.sh          # target/release/ringback, or target/debug/ringback
#   RINGBACK_BIN=… packaging/tests/backup.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=packaging/tests/common.sh
. packaging/tests/common.sh
TARGET="${CARGO_TARGET_DIR:-target}"
BIN="${RINGBACK_BIN:-}"
for candidate in "$TARGET/release/ringback" "$TARGET/debug/ringback"; do
    if [ -z "$BIN" ] && [ -x "$candidate" ]; then BIN="$candidate"; fi
done
[ -x "$BIN" ] || { echo "no ringback binary: cargo build --release, or set RINGBACK_BIN" >&2; exit 2; }
BIN="$(realpath "$BIN")"

WORK="$(mktemp -d)"
chmod 755 "$WORK"
ENGINE="" RECEIVER="" SERVER=""
finish() {
    local code=$?
    for pid in $ENGINE $RECEIVER; do kill -9 "$pid" 2>/dev/null || true; done
    if [ -n "$SERVER" ]; then as_owner "$PG/pg_ctl" stop -m immediate -D "$SERVER" >/dev/null 2>&1 || true; fi
    [ "$code" -eq 0 ] || tail -n 20 "$WORK"/*.log >&2 || true
    rm -rf "$WORK"
    exit "$code"
}
trap finish EXIT
cd "$WORK"
export RINGBACK_ADMIN_KEY="admin-of-the-check-of-backups" RINGBACK_LOG=warn RINGBACK_LISTEN=127.0.0.1:0
export RINGBACK_ALLOW_HTTP=true RINGBACK_ALLOWED_NETWORKS=127.0.0.0/8
RINGBACK_MASTER_KEY="$("$BIN" master-key generate --quiet)"
export RINGBACK_MASTER_KEY

# Starts an engine on the database of $1, and waits until it is ready
start() {
    : >engine.out
    RINGBACK_DATABASE_URL="$1" "$BIN" serve >engine.out 2>>engine.log &
    ENGINE=$!
    eventually grep -q 'ringback listening on' engine.out
    RINGBACK_ENGINE="$(sed -n 's/^ringback listening on //p' engine.out)"
    export RINGBACK_ENGINE
    "$BIN" health >/dev/null
}
kill_engine() { kill -9 "$ENGINE"; wait "$ENGINE" 2>/dev/null || true; ENGINE=""; }

# A receiver that answers 503 until the file `open` exists, and writes the ids of events that it took to `taken`
cat >receiver.py <<'PYTHON'
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        is_open = os.path.exists("open")
        if is_open:
            with open("taken", "a") as taken:
                taken.write(self.headers["webhook-id"] + "\n")
        self.send_response(200 if is_open else 503)
        self.end_headers()
    def log_message(self, *arguments): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
PYTHON
python3 receiver.py >port 2>receiver.log &
RECEIVER=$!
disown "$RECEIVER"
eventually test -s port
HOOK="http://127.0.0.1:$(cat port)/"

# An organization with a webhook
prepare() {
    rm -f open taken
    : >taken
    unset RINGBACK_KEY
    "$BIN" orgs create --uid customer --name customer --get >/dev/null
    RINGBACK_KEY="$("$BIN" api-keys create --organization customer --name backend --role owner --json | field key)"
    export RINGBACK_KEY
    "$BIN" webhooks create --url "$HOOK" --events '*' --retry-policy '{"max_attempts": 10, "initial_delay_seconds": 1}' \
        >/dev/null 2>&1
}
publish() { "$BIN" trigger call.completed | grep -oE 'msg_[0-9a-z]+' | head -n 1; }
# Whether the receiver took every event that is named
took() { local id; for id in "$@"; do grep -q "$id" taken || return 1; done; }
check() { "$BIN" check --database-url "$1" >check.log || { cat check.log >&2; fail "the check of $1 ended with $?"; }; }

step "SQLite: a copy beside the engine, kill -9, a restore"
start "sqlite://$WORK/ringback.db"
prepare
before="$(publish)"
RINGBACK_DATABASE_URL="sqlite://$WORK/ringback.db" "$BIN" backup "$WORK/backup.db"
check "sqlite://$WORK/backup.db"
after="$(publish)"
kill_engine
mkdir aside
mv ringback.db* aside/
install -m 600 backup.db ringback.db
check "sqlite://$WORK/ringback.db"
touch open
start "sqlite://$WORK/ringback.db"
eventually took "$before"
! took "$after" || fail "an event from after the backup is in it"
kill_engine
check "sqlite://$WORK/ringback.db"

PG="$(dirname "$(find /usr/lib/postgresql -name initdb 2>/dev/null | sort -V | tail -n 1)" 2>/dev/null || true)"
[ -x "$PG/initdb" ] || PG="$(pg_config --bindir 2>/dev/null || true)"
[ -x "$PG/initdb" ] || { echo "PostgreSQL is not installed: its half is NOT checked" >&2; exit 0; }
# it does not run as root
as_owner() {
    if [ "$(id -u)" -ne 0 ]; then "$@"; else setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"; fi
}
PORT="$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
URL="postgres://ringback@127.0.0.1:$PORT/ringback"
mkdir pg
[ "$(id -u)" -ne 0 ] || chown nobody:nogroup pg
cd pg
start_server() {
    SERVER="$1"
    as_owner "$PG/pg_ctl" start -w -D "$1" -l "$WORK/pg/log" \
        -o "-p $PORT -c listen_addresses=127.0.0.1 -c unix_socket_directories=''" >/dev/null
}
stop_server() { as_owner "$PG/pg_ctl" stop -m "$1" -D "$SERVER" >/dev/null; SERVER=""; }
sql() { psql -X -q -t -A -v ON_ERROR_STOP=1 "$1" -c "$2"; }

step "PostgreSQL: a server with an archive of its write-ahead log"
as_owner "$PG/initdb" --username=ringback --auth=trust --encoding=UTF8 --locale=C -D "$WORK/pg/data" >/dev/null
as_owner mkdir "$WORK/pg/archive"
as_owner tee -a "$WORK/pg/data/postgresql.conf" >/dev/null <<EOF
archive_mode = on
archive_command = 'test ! -f $WORK/pg/archive/%f && cp %p $WORK/pg/archive/%f'
EOF
start_server "$WORK/pg/data"
sql "${URL%/*}/postgres" "CREATE DATABASE ringback OWNER ringback ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0"
cd "$WORK"
start "$URL"
prepare

step "PostgreSQL: a dump, restored into an empty database"
before="$(publish)"
"$PG/pg_dump" -Fc -f "$WORK/ringback.dump" "$URL"
after="$(publish)"
kill_engine
sql "${URL%/*}/postgres" "DROP DATABASE ringback WITH (FORCE)"
sql "${URL%/*}/postgres" "CREATE DATABASE ringback OWNER ringback ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0"
"$PG/pg_restore" --no-owner --exit-on-error -d "$URL" "$WORK/ringback.dump"
check "$URL"
touch open
start "$URL"
eventually took "$before"
! took "$after" || fail "an event from after the dump is in it"
rm open

step "PostgreSQL: a base backup, and the moment before a mistake"
as_owner "$PG/pg_basebackup" -h 127.0.0.1 -p "$PORT" -U ringback -X none -c fast -D "$WORK/pg/base" 2>/dev/null
"$PG/pg_verifybackup" --no-parse-wal "$WORK/pg/base" >/dev/null
before="$(publish)"
moment="$(sql "$URL" "SELECT clock_timestamp()")"
sleep 1
after="$(publish)"
sql "$URL" "DELETE FROM endpoints" # the mistake
kill_engine
sql "$URL" "SELECT pg_switch_wal()" >/dev/null
switched() { [ "$(sql "$URL" "SELECT coalesce(last_archived_wal, '') >= pg_walfile_name(pg_current_wal_lsn() - 1) FROM pg_stat_archiver")" = t ]; }
eventually switched
stop_server immediate
as_owner tee -a "$WORK/pg/base/postgresql.conf" >/dev/null <<EOF
restore_command = 'cp $WORK/pg/archive/%f %p'
recovery_target_time = '$moment'
recovery_target_action = promote
EOF
as_owner touch "$WORK/pg/base/recovery.signal"
start_server "$WORK/pg/base"
promoted() { [ "$(sql "$URL" "SELECT pg_is_in_recovery()")" = f ]; }
eventually promoted
check "$URL"
touch open
start "$URL"
eventually took "$before"
! took "$after" || fail "an event from after the moment is there"
# whichever nodes the restored rows remember, one is live
is_alone() { [ "$("$BIN" cluster --json | tee cluster.log | grep -o '"state": *"live"' | wc -l)" = 1 ]; }
eventually is_alone
kill_engine
check "$URL"
stop_server fast

step "all of it was restored"
