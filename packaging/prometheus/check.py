"""Publishes to a running engine, whose receivers accept, fail and recover, and evaluates what watches it in a running Prometheus:
every panel of the dashboard and every rule. Called by check.sh.

    check.py URL_OF_THE_ENGINE URL_OF_PROMETHEUS DASHBOARD
"""

import http.server
import json
import math
import os
import re
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

ENGINE, PROMETHEUS, DASHBOARD = sys.argv[1:4]
MAX_SECONDS = 240
# What a healthy engine alone on a SQLite file leaves at 0, or without a value
MAY_BE_ZERO = {
    "Processors in use": "the process tells whole seconds, and an engine at rest uses none for longer than this check takes",
    "Retention is behind by": "nothing is old yet",
    "Attempts in flight": "receivers respond at once",
    "Partitions that moved": "there is one node",
    "Nodes that lost their rights": "it keeps them",
    "Silence before a takeover, longest of an hour": "nobody died",
    "Messages between nodes": "there is one node",
    "The database's clock minus the node's": "they are the same",
    "Client certificates by their end": "no webhook has one",
    "Attempts that this machine could not make": "it lacks nothing",
    "Spans for the collector of traces": "nobody collects them",
}
DEADLINE = time.monotonic() + MAX_SECONDS


class Receiver(http.server.BaseHTTPRequestHandler):
    """/accepts says 200, /rejects 400, /fails 500, /recovers 500 to each first attempt."""

    seen = set()

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        event = self.headers["webhook-id"]
        is_first = event not in self.seen
        if self.path == "/recovers":
            self.seen.add(event)
        fails = self.path == "/fails" or (self.path == "/recovers" and is_first)
        self.send_response(500 if fails else 400 if self.path == "/rejects" else 200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def call(path, body=None, key=os.environ["RINGBACK_ADMIN_KEY"]):
    data = None if body is None else json.dumps(body).encode()
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(ENGINE + path, data, headers), timeout=10) as response:
        return json.load(response)


def prometheus(path, **parameters):
    url = f"{PROMETHEUS}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return json.load(response)["data"]
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{parameters}: {error.read().decode()}")


def values(expression):
    return [float(series["value"][1]) for series in prometheus("query", query=expression)["result"]]


def until(what, is_done):
    while True:
        try:
            if is_done():
                return
        except (OSError, KeyError):
            # Prometheus is not there yet
            pass
        if time.monotonic() > DEADLINE:
            raise SystemExit(f"not after {MAX_SECONDS} s: {what}")
        time.sleep(0.2)


def publish(key):
    """Keeps the engine at work while its rates are looked at."""
    while True:
        call("/v1/events", {"event_type": "call.completed", "data": {}}, key)
        # one that is refused
        try:
            call("/v1/events", {"event_type": "call.completed"}, key)
        except urllib.error.HTTPError as error:
            assert error.code == 422, error
        time.sleep(0.1)


def prepare():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    organization = call("/v1/organizations", {"name": "check"})["id"]
    key = call(f"/v1/organizations/{organization}/keys", {"name": "check", "role": "owner"})["key"]
    for path in ["accepts", "rejects", "fails", "recovers"]:
        call("/v1/webhooks", {"url": f"http://127.0.0.1:{server.server_port}/{path}", "retry_schedule": [1]}, key)
    threading.Thread(target=publish, args=(key,), daemon=True).start()


def check_panels():
    panels = [panel for panel in json.load(open(DASHBOARD))["panels"] if panel["type"] != "row"]
    wrong, queries = [], 0
    for panel in panels:
        for target in panel["targets"]:
            expression = target["expr"].replace("$__rate_interval", "10s")
            expression = expression.replace("$job", "ringback").replace("$instance", ".*")
            found = [value for value in values(expression) if not math.isnan(value)]
            queries += 1
            if panel["title"] in MAY_BE_ZERO:
                continue
            if not any(value > 0 for value in found):
                wrong.append(f"{panel['title']}: {expression} is {found}")
    unknown = set(MAY_BE_ZERO) - {panel["title"] for panel in panels}
    assert not unknown, f"no such panels: {unknown}"
    assert not wrong, "panels without data:\n" + "\n".join(wrong)
    return queries


def rules():
    return [rule for group in prometheus("rules")["groups"] for rule in group["rules"]]


def check_rules():
    """Each was evaluated without an error, has what it is made of, and no alert fires over a healthy engine."""
    for rule in rules():
        name, expression = rule["name"], rule["query"]
        assert rule["health"] == "ok", f"{name}: {rule['health']} {rule.get('lastError')}"
        for metric in re.findall(r"\b(?:job\w*:ringback\w+:\w+|ringback_\w+|process_\w+|up)\b", expression):
            assert values(f"count({metric})"), f"{name}: there is no {metric}"
        found = values(expression)
        if rule["type"] == "recording":
            assert values(rule["name"]) and found, f"{name} has no value"
        else:
            assert not found, f"{name} fires: {expression} is {found}"
    return len(rules())


prepare()
until("deliveries succeed, fail and are retried", lambda: all(
    values(f'sum(ringback_deliveries_total{{outcome="{outcome}"}}) > 10') for outcome in ["success", "failed"]
) and values('sum(ringback_attempts_total{outcome="success"}) > 20') and values("ringback_deliveries_pending > 0"))
until("what is looked at from time to time is there", lambda: values('sum(ringback_webhooks{state!="healthy"}) > 0')
      and values("ringback_oldest_pending_age_seconds > 0"))
until("all rules were evaluated", lambda: rules() and all(
    rule["health"] == "ok" and (rule["type"] == "alerting" or values(rule["name"])) for rule in rules()))
print(f"{check_panels()} queries of panels and {check_rules()} rules hold over a real engine")
