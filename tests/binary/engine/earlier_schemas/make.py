#!/usr/bin/env python3
"""Makes the databases of earlier schemas beside this file, for `upgrading.rs`: rows only, for both databases.

    tests/binary/engine/earlier_schemas/make.py target/debug/ringback [0013 …]

An engine writes what it can: deliveries that succeeded, failed and wait, retries, deletions, labels, keys. What needs another
clock or another program is added by hand. Then the migrations after each schema are taken back one by one, and what is left is
written as text. A fixture that is there stays as it is unless its schema is named: it is what a version of that time wrote.
"""

import base64
import http.server
import json
import os
import pathlib
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
MIGRATIONS = HERE.parents[3] / "migrations" / "sqlite"
# before several nodes; before programs of two versions ran side by side; before the Svix-compatible API; before its notices
SCHEMAS = ["0003", "0006", "0009", "0013", "0016"]
ADMIN_KEY = "admin-key-of-the-engine-tests"
MASTER_KEY = base64.b64encode(b"m" * 32).decode()
RECEIVER = "http://receiver.example/hook"
# rows that migrations make themselves, and what no row is kept of
NOT_DUMPED = {"__diesel_schema_migrations", "oldest_reader", "sqlite_sequence"}


class Receiver(http.server.BaseHTTPRequestHandler):
    """Answers as its path says."""

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(int(self.path.strip("/").split("-")[0]))
        self.end_headers()
        self.wfile.write(b"noted")

    def log_message(self, *arguments):
        pass


class Api:
    def __init__(self, url, key):
        self.url, self.key = url, key

    def call(self, method, path, body=None, headers=None):
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url + path, data, headers or {}, method=method)
        request.add_header("authorization", f"Bearer {self.key}")
        with urllib.request.urlopen(request) as response:
            text = response.read()
            return json.loads(text) if text else None


def eventually(what, ask):
    end = time.monotonic() + 60
    while not ask():
        if time.monotonic() > end:
            sys.exit(f"not within 60 s: {what}")
        time.sleep(0.1)


def fill(api, admin, organization, receiver):
    """What an engine writes by itself."""
    api.call("POST", "/v1/event-types", {"name": "invoice.paid", "schema": {"type": "object"}})
    hook = lambda status, **fields: api.call("POST", "/v1/webhooks", {"url": f"{receiver}/{status}", **fields})
    sound = hook("200-a", headers={"x-token": "t0ken"}, description="sound")
    hook("400-b", events=["call.*"])
    deleted = hook("200-c")
    publish = lambda number, **fields: api.call(
        "POST", "/v1/events", {"event_type": "call.completed", "data": {"number": number}, **fields}
    )
    for number in range(3):
        publish(number)
    publish(4, tags=["a"])
    api.call("POST", "/v1/events", {"event_type": "invoice.paid", "data": {}}, {"idempotency-key": "paid-1"})
    logs = lambda status: api.call("GET", f"/v1/webhooks/logs?limit=1&status={status}")["data"]
    eventually("the first are delivered", lambda: not logs("pending"))
    api.call("DELETE", f"/v1/webhooks/{deleted['id']}")
    api.call("POST", f"/v1/webhooks/{sound['id']}/secret/rotate", {})
    # fails until it is restored somewhere else: retries wait, and its breaker opens
    failing = hook("503-d", retry_policy={"max_attempts": 10, "initial_delay_seconds": 3600})
    for number in range(12):
        publish(100 + number)
    has_failed = lambda: api.call("GET", f"/v1/webhooks/{failing['id']}/health")["state"] != "healthy"
    eventually("its breaker is open", has_failed)
    # what waits there has had no attempt
    paused = hook("200-e", max_in_flight=1)
    api.call("PATCH", f"/v1/webhooks/{paused['id']}", {"active": False})
    other = admin.call("POST", "/v1/organizations", {"name": "gone"})["id"]
    admin.call("DELETE", f"/v1/organizations/{other}")
    admin.call("POST", f"/v1/organizations/{organization}/sign-in-links", {"role": "viewer"})
    # counts are written every 10 s
    time.sleep(12)


def add_by_hand(database, organization):
    """What another program, or another clock, would have written."""
    endpoint = database.execute("SELECT max(id) FROM endpoints").fetchone()[0]
    new = "INSERT INTO"
    database.executescript(f"""
        {new} dashboard_sessions (token_hash, organization_id, key_hash, expires_at) VALUES (x'{'01' * 32}', 0, x'{'02' * 32}', 1);
        {new} id_leads VALUES (1, 2, 1);
        {new} deleted_organizations VALUES (5, 1);
        {new} svix_event_types (environment, name, description, archived, deprecated, created_at, updated_at)
            VALUES ('org_x', 'a.b', '', 0, 0, 1, 1);
        {new} svix_answers VALUES (x'{'03' * 32}', 1, 200, x'00');
        {new} svix_tasks (id, environment, organization_id, endpoint_id, kind, status, since, until, sent, version, created_at,
            updated_at) VALUES (9, '', {organization}, {endpoint}, 0, 1, 1, 2, 0, 1, 1, 1);
    """)
    for (table,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
        rows = database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        if not rows and table not in NOT_DUMPED | {"svix_notices"}:
            sys.exit(f"no row in {table}")


def literal(value, declared):
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"X'{value.hex()}'"
    if declared.upper() == "BOOLEAN":
        return "TRUE" if value else "FALSE"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(value)


def dump(database, schema, key):
    lines = [
        f"-- Rows of a database with the schema {schema}; made by make.py. {RECEIVER} is where its webhooks lead.",
        f"-- key: {key}",
        "DELETE FROM counters WHERE name = 'setting_changes';" if schema >= "0006" else "",
    ]
    tables = database.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").fetchall()
    for (table,) in tables:
        if table in NOT_DUMPED:
            continue
        columns = database.execute(f"PRAGMA table_info({table})").fetchall()
        names = ", ".join(column[1] for column in columns)
        for row in database.execute(f"SELECT {names} FROM {table}"):
            values = ", ".join(literal(value, column[2]) for value, column in zip(row, columns))
            lines.append(f"INSERT INTO {table} ({names}) VALUES ({values});")
    return "\n".join(line for line in lines if line) + "\n"


def main():
    binary, wanted = os.path.abspath(sys.argv[1]), sys.argv[2:]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    receiver = f"http://127.0.0.1:{server.server_port}"
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "ringback.db")
        environment = {
            "RINGBACK_LISTEN": "127.0.0.1:0",
            "RINGBACK_DATABASE_URL": f"sqlite://{path}",
            "RINGBACK_ADMIN_KEY": ADMIN_KEY,
            "RINGBACK_MASTER_KEY": MASTER_KEY,
            "RINGBACK_ALLOW_HTTP": "true",
            "RINGBACK_ALLOWED_NETWORKS": "127.0.0.0/8",
            "RINGBACK_PORTAL_PUBLIC_URL": "http://127.0.0.1:8080",
            "RINGBACK_LOG": "warn",
        }
        engine = subprocess.Popen([binary, "serve"], env=environment, cwd=folder, stdout=subprocess.PIPE, text=True)
        try:
            url = re.search(r"http://\S+", engine.stdout.readline()).group()
            admin = Api(url, ADMIN_KEY)
            organization = admin.call("POST", "/v1/organizations", {"name": "acme"})["id"]
            keys = f"/v1/organizations/{organization}/keys"
            key = admin.call("POST", keys, {"name": "tests", "role": "owner"})["key"]
            fill(Api(url, key), admin, organization, receiver)
        except urllib.error.HTTPError as error:
            sys.exit(f"{error.url}: {error.code} {error.read().decode()}")
        finally:
            engine.send_signal(signal.SIGKILL)
            engine.wait()
        database = sqlite3.connect(path)
        number = database.execute("SELECT id FROM organizations WHERE name = 'acme'").fetchone()[0]
        add_by_hand(database, number)
        # an hour later: everything that waits is due
        database.execute("UPDATE deliveries SET due_at = created_at, queued_at = created_at WHERE status = 0")
        database.execute("UPDATE endpoint_health SET probe_at = failing_since WHERE probe_at IS NOT NULL")
        # wherever they led, they lead to the test's receiver
        database.execute("UPDATE endpoints SET url = ? WHERE url <> ''", (RECEIVER,))
        database.commit()
        migrations = sorted(path.name for path in MIGRATIONS.iterdir())
        for name in reversed(migrations):
            schema = name.split("_")[0]
            target = HERE / f"{schema}.sql"
            if schema in wanted or (not wanted and schema in SCHEMAS and not target.exists()):
                target.write_text(dump(database, schema, key))
                print(target)
            database.executescript((MIGRATIONS / name / "down.sql").read_text())


main()
