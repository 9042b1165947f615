"""Every call that Svix's open-source server implements, through Svix's own Python library (1.x and 2.x), against a running
engine; and what arrives is verified with the library's own `Webhook`. Run by tests/svix/clients.sh.

    python_client.py URL JWT_SECRET
"""

import base64
import hmac
import http.server
import importlib.util
import json
import os
import queue
import sys
import threading
import time
from datetime import datetime, timedelta, timezone
from importlib.metadata import version
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from svix.api import Svix, SvixOptions
from svix import models
from svix.api.errors.http_error import HttpError
from svix.api.errors.http_validation_error import HTTPValidationError
from svix.webhooks import Webhook, WebhookVerificationError

from svix.api.application import ApplicationListOptions
from svix.api.background_task import BackgroundTaskListOptions
from svix.api.endpoint import EndpointListOptions
from svix.api.event_type import EventTypeDeleteOptions, EventTypeListOptions
from svix.api.message import MessageCreateOptions, MessageGetOptions, MessageListOptions
from svix.api.message_attempt import MessageAttemptListByEndpointOptions, MessageAttemptListByMsgOptions

URL, SECRET = sys.argv[1], sys.argv[2]
IS_V2 = int(version("svix").split(".")[0]) >= 2
PATIENCE = 30


def token(claims):
    """As self-hosters make it: HS256, no dates."""

    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    text = part({"alg": "HS256", "typ": "JWT"}) + b"." + part(claims)
    return (text + b"." + base64.urlsafe_b64encode(hmac.digest(SECRET.encode(), text, "sha256")).rstrip(b"=")).decode()


ENVIRONMENT = f"org_python{version('svix').replace('.', '')}"
svix = Svix(token({"sub": ENVIRONMENT}), SvixOptions(server_url=URL))
other = Svix(token({"sub": ENVIRONMENT + "other"}), SvixOptions(server_url=URL))


class Receiver:
    """Keeps what arrives; answers with the status at the end of the path."""

    def __init__(self):
        self.seen = queue.Queue()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.seen.put((self.path, dict(self.headers.items()), body))
                self.send_response(int(self.path.rsplit("/", 1)[-1]))
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def next(self):
        return self.seen.get(timeout=PATIENCE)


receiver = Receiver()
steps = 0


def step(name):
    global steps
    steps += 1
    print(f"  {steps:2} {name}")


def refused(status, call, *arguments, **named):
    """The call is answered with this status, in the shape that the library reads."""
    try:
        found = call(*arguments, **named)
    except HTTPValidationError as error:
        assert status == 422, (status, error.to_dict())
        assert error.detail and error.detail[0].loc and error.detail[0].msg, error.to_dict()
        return error
    except HttpError as error:
        assert error.status_code == status, (status, error.status_code, error.to_dict())
        assert error.code and error.detail, error.to_dict()
        return error
    raise AssertionError(f"not refused: {found}")


def until(what, ask):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = ask()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"never: {what}")


def rate(value):
    return {"throttle_rate": value} if IS_V2 else {"rate_limit": value}


def types(value):
    return {"event_types": value} if IS_V2 else {"filter_types": value}


def rate_of(model):
    return model.throttle_rate if IS_V2 else model.rate_limit


def types_of(model):
    found = model.event_types if IS_V2 else model.filter_types
    return None if found is None else sorted(found)


def all_pages(call, *arguments, options, limit=2):
    rows, iterator = [], None
    while True:
        page = call(*arguments, options(limit=limit, iterator=iterator) if iterator else options(limit=limit))
        rows += page.data
        iterator = page.iterator
        if page.done:
            return rows


def applications():
    step("applications: create, get by id and uid, get or create, upsert, patch, list, delete")
    made = svix.application.create(models.ApplicationIn(name="First", uid="first", metadata={"plan": "pro"}, **rate(70)))
    assert made.id.startswith("app_") and made.uid == "first" and made.metadata == {"plan": "pro"}
    assert rate_of(made) == 70
    for name in (made.id, "first"):
        assert svix.application.get(name) == made
    assert svix.application.get_or_create(models.ApplicationIn(name="Other", uid="first")).id == made.id
    refused(409, svix.application.create, models.ApplicationIn(name="Other", uid="first"))
    refused(422, svix.application.create, models.ApplicationIn(name="Other", uid="not a uid"))
    refused(422, svix.application.create, models.ApplicationIn(name=""))
    refused(404, svix.application.get, "missing")
    refused(404, other.application.get, made.id)
    put = svix.application.upsert if IS_V2 else svix.application.update
    replaced = put("first", models.ApplicationIn(name="Renamed", uid="first"))
    assert replaced.name == "Renamed" and replaced.metadata == {} and rate_of(replaced) is None
    assert replaced.id == made.id and replaced.updated_at >= made.updated_at
    assert put("second", models.ApplicationIn(name="Second", uid="second")).uid == "second"
    patched = svix.application.patch("first", models.ApplicationPatch(metadata={"a": "b"}, **rate(5)))
    assert patched.name == "Renamed" and patched.metadata == {"a": "b"} and rate_of(patched) == 5
    svix.application.create(models.ApplicationIn(name="Third"))
    rows = all_pages(svix.application.list, options=ApplicationListOptions)
    assert len(rows) == 3 and [row.id for row in rows] == sorted(row.id for row in rows)
    down = svix.application.list(ApplicationListOptions(order=models.Ordering.DESCENDING))
    assert [row.id for row in down.data] == [row.id for row in reversed(rows)]
    first = svix.application.list(ApplicationListOptions(limit=1))
    second = svix.application.list(ApplicationListOptions(limit=1, iterator=first.iterator))
    back = svix.application.list(ApplicationListOptions(limit=1, iterator=second.prev_iterator))
    assert back.data == first.data
    refused(422, svix.application.list, ApplicationListOptions(limit=251))
    refused(422, svix.application.list, ApplicationListOptions(iterator="nonsense"))
    svix.application.delete("second")
    refused(404, svix.application.get, "second")
    refused(404, svix.application.delete, "second")
    assert other.application.list().data == []


def event_types():
    step("event types: create, get, upsert, patch, list, archive, delete")
    schemas = {"1": {"type": "object", "examples": [{"amount": 7}]}}
    made = svix.event_type.create(models.EventTypeIn(name="invoice.paid", description="Paid", schemas=schemas))
    assert made.name == "invoice.paid" and made.schemas == schemas and not made.archived
    refused(409, svix.event_type.create, models.EventTypeIn(name="invoice.paid", description="again"))
    refused(422, svix.event_type.create, models.EventTypeIn(name="not a name", description="x"))
    svix.event_type.create(models.EventTypeIn(name="User.Signed-up_2", description="other grammar"))
    assert svix.event_type.get("invoice.paid").description == "Paid"
    patched = svix.event_type.patch("invoice.paid", models.EventTypePatch(description="Paid in full"))
    assert patched.description == "Paid in full" and patched.schemas == schemas
    put = svix.event_type.upsert if IS_V2 else svix.event_type.update
    upsert = models.EventTypeUpsertIn if IS_V2 else models.EventTypeUpdate
    assert put("invoice.sent", upsert(description="Sent")).name == "invoice.sent"
    assert [row.name for row in all_pages(svix.event_type.list, options=EventTypeListOptions)] == [
        "User.Signed-up_2",
        "invoice.paid",
        "invoice.sent",
    ]
    svix.event_type.delete("invoice.sent")
    assert len(svix.event_type.list().data) == 2
    assert len(svix.event_type.list(EventTypeListOptions(include_archived=True)).data) == 3
    svix.event_type.delete("invoice.sent", EventTypeDeleteOptions(expunge=True))
    refused(404, svix.event_type.get, "invoice.sent")
    assert svix.event_type.list(EventTypeListOptions(with_content=True)).data[1].schemas == schemas
    assert other.event_type.list().data == []


def endpoints(app):
    step("endpoints: create, get, upsert, patch, list, headers, secrets, delete")
    made = svix.endpoint.create(
        app,
        models.EndpointIn(
            url=receiver.url + "/main/200",
            description="Main",
            uid="main",
            channels=["eu", "uk"],
            metadata={"a": "b"},
            **types(["invoice.paid"]),
            **rate(500),
        ),
    )
    assert made.id.startswith("ep_") and made.uid == "main" and sorted(made.channels) == ["eu", "uk"]
    assert types_of(made) == ["invoice.paid"] and rate_of(made) == 500 and made.metadata == {"a": "b"}
    for name in (made.id, "main"):
        assert svix.endpoint.get(app, name) == made
    refused(409, svix.endpoint.create, app, models.EndpointIn(url=receiver.url, uid="main"))
    refused(422, svix.endpoint.create, app, models.EndpointIn(url=receiver.url, **types(["no.such"])))
    refused(422, svix.endpoint.create, app, models.EndpointIn(url=receiver.url, channels=[]))
    refused(422, svix.endpoint.create, app, models.EndpointIn(url="no url"))
    refused(404, svix.endpoint.get, app, "missing")
    patched = svix.endpoint.patch(app, "main", models.EndpointPatch(description="Patched"))
    assert patched.description == "Patched" and sorted(patched.channels) == ["eu", "uk"]
    put = svix.endpoint.upsert if IS_V2 else svix.endpoint.update
    upsert = models.EndpointUpsertIn if IS_V2 else models.EndpointUpdate
    replaced = put(app, "main", upsert(url=receiver.url + "/main/200", uid="main"))
    assert replaced.id == made.id and replaced.description == "" and replaced.channels is None
    assert types_of(replaced) is None and rate_of(replaced) is None and replaced.metadata == {}
    second = put(app, "second", upsert(url=receiver.url + "/second/200", uid="second", disabled=True))
    assert second.disabled
    rows = all_pages(svix.endpoint.list, app, options=EndpointListOptions, limit=1)
    assert [row.uid for row in rows] == ["second", "main"]
    up = svix.endpoint.list(app, EndpointListOptions(order=models.Ordering.ASCENDING))
    assert [row.uid for row in up.data] == ["main", "second"]

    headers = svix.endpoint
    set_headers, patch_headers = headers.set_headers if IS_V2 else headers.update_headers, headers.patch_headers
    set_headers(app, "main", models.EndpointHeadersIn(headers={"x-mine": "1", "authorization": "Bearer t"}))
    found = headers.get_headers(app, "main")
    assert found.headers == {"x-mine": "1"} and [name.lower() for name in found.sensitive] == ["authorization"]
    patch_headers(app, "main", models.EndpointHeadersPatchIn(headers={"x-other": "2"}))
    assert headers.get_headers(app, "main").headers == {"x-mine": "1", "x-other": "2"}
    refused(422, set_headers, app, "main", models.EndpointHeadersIn(headers={"svix-id": "x"}))

    secret = svix.endpoint.get_secret(app, "main").key
    assert secret.startswith("whsec_")
    new = "whsec_" + base64.b64encode(bytes(range(24))).decode()
    svix.endpoint.rotate_secret(app, "main", models.EndpointSecretRotateIn(key=new))
    assert svix.endpoint.get_secret(app, "main").key == new
    refused(422, svix.endpoint.rotate_secret, app, "main", models.EndpointSecretRotateIn(key="short"))
    svix.endpoint.delete(app, "second")
    refused(404, svix.endpoint.get, app, "second")
    return made.id, [secret, new]


def messages(app, endpoint, secrets):
    step("messages: create, verify what arrives, eventId, channels, list, get")
    payload = {"n": 1.5, "text": "grüße", "nested": {"a": [1, 2]}}
    made = svix.message.create(app, models.MessageIn(event_type="invoice.paid", payload=payload, event_id="evt_1"))
    assert made.id.startswith("msg_") and made.event_id == "evt_1" and made.event_type == "invoice.paid"
    path, headers, body = receiver.next()
    assert path == "/main/200"
    lower = {name.lower(): value for name, value in headers.items()}
    assert lower["svix-id"] == made.id and lower["x-mine"] == "1", lower
    assert json.loads(body) == payload
    for secret in secrets:
        # raises unless this secret has signed
        Webhook(secret).verify(body, headers)
    try:
        Webhook(secrets[0]).verify(body + b" ", headers)
        raise AssertionError("a changed body was accepted")
    except WebhookVerificationError:
        pass
    refused(409, svix.message.create, app, models.MessageIn(event_type="invoice.paid", payload={}, event_id="evt_1"))
    refused(422, svix.message.create, app, models.MessageIn(event_type="not a type", payload={}))
    refused(404, svix.message.create, "missing", models.MessageIn(event_type="invoice.paid", payload={}))
    with_content = MessageGetOptions(with_content=True)
    for name in (made.id, "evt_1"):
        assert svix.message.get(app, name, with_content).payload == payload
    assert svix.message.get(app, made.id, MessageGetOptions(with_content=False)).payload == {}

    free = svix.message.create(app, models.MessageIn(event_type="never.registered", payload={"a": 1}, channels=["eu"]))
    assert free.channels == ["eu"]
    assert receiver.next()[1]  # an endpoint without channels gets everything
    key = MessageCreateOptions(idempotency_key="once")
    again = models.MessageIn(event_type="invoice.paid", payload={"b": 2})
    once = svix.message.create(app, again, key)
    assert svix.message.create(app, again, key).id == once.id
    receiver.next()
    rows = all_pages(svix.message.list, app, options=MessageListOptions)
    assert [row.id for row in rows] == [once.id, free.id, made.id]
    assert [row.id for row in svix.message.list(app, MessageListOptions(channel="eu")).data] == [free.id]
    only = svix.message.list(app, MessageListOptions(event_types=["never.registered", "invoice.sent"]))
    assert [row.id for row in only.data] == [free.id]
    soon = datetime.now(timezone.utc) + timedelta(minutes=1)
    assert len(svix.message.list(app, MessageListOptions(before=soon)).data) == 3
    return made, free, once


def attempts(app, endpoint, made):
    step("attempts: by endpoint, by message, one, attempted messages and destinations, resend")
    by_msg = until("the attempt is in the log", lambda: svix.message_attempt.list_by_msg(app, made.id).data)
    assert len(by_msg) == 1
    one = by_msg[0]
    assert one.id.startswith("atmpt_") and one.msg_id == made.id and one.endpoint_id == endpoint
    assert one.status == models.MessageStatus.SUCCESS and one.response_status_code == 200
    assert one.url == receiver.url + "/main/200" and int(one.trigger_type) == 0
    options = MessageAttemptListByMsgOptions(with_content=True)
    assert svix.message_attempt.list_by_msg(app, made.id, options).data[0].response == "ok"
    assert svix.message_attempt.get(app, made.id, one.id).id == one.id
    refused(404, svix.message_attempt.get, app, made.id, "atmpt_missing")
    until("all attempts are there", lambda: len(svix.message_attempt.list_by_endpoint(app, endpoint).data) == 3)
    rows = all_pages(svix.message_attempt.list_by_endpoint, app, endpoint, options=MessageAttemptListByEndpointOptions)
    assert len(rows) == 3 and rows[-1].id == one.id
    failed = MessageAttemptListByEndpointOptions(status=models.MessageStatus.FAIL)
    assert svix.message_attempt.list_by_endpoint(app, endpoint, failed).data == []
    messages = svix.message_attempt.list_attempted_messages(app, endpoint)
    assert len(messages.data) == 3 and messages.data[-1].id == made.id
    assert messages.data[-1].status == models.MessageStatus.SUCCESS
    destinations = svix.message_attempt.list_attempted_destinations(app, made.id)
    assert [row.id for row in destinations.data] == [endpoint]
    svix.message_attempt.resend(app, made.id, "main")
    assert receiver.next()[1]
    until("a second attempt", lambda: len(svix.message_attempt.list_by_msg(app, made.id).data) == 2)
    refused(404, svix.message_attempt.resend, app, made.id, "missing")


def code_for_receivers():
    """What the dashboard gives to whoever has a public key."""
    path = Path(__file__).parent / "../../src/dashboard/webhooks/snippets/ed25519.py"
    spec = importlib.util.spec_from_file_location("ed25519", path.resolve())
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def private_keys(app):
    step("private keys: create, the public key, verify what arrives, rotate to a secret and back")
    is_genuine = code_for_receivers().is_genuine

    def encoded(prefix, key):
        return prefix + base64.b64encode(key).decode()

    key, uid = Ed25519PrivateKey.generate(), "with-key"
    public_bytes = key.public_key().public_bytes_raw()
    private, public = encoded("whsk_", key.private_bytes_raw() + public_bytes), encoded("whpk_", public_bytes)
    svix.endpoint.create(app, models.EndpointIn(url=receiver.url + "/with-key/200", uid=uid, secret=private))
    assert svix.endpoint.get_secret(app, uid).key == public

    def deliver():
        svix.message.create(app, models.MessageIn(event_type="invoice.paid", payload={"text": "grüße"}))
        found = until("it arrives", lambda: [seen for seen in [receiver.next()] if seen[0] == "/with-key/200"])
        _, headers, body = found[0]
        return {name.lower(): value for name, value in headers.items()}, body

    headers, body = deliver()
    assert headers["svix-signature"].startswith("v1a,"), headers
    assert is_genuine(public, body, headers)
    assert not is_genuine(public, body + b" ", headers)
    assert not is_genuine(public, body, {**headers, "svix-id": "msg_other"})
    secret = encoded("whsec_", bytes(range(32)))
    svix.endpoint.rotate_secret(app, uid, models.EndpointSecretRotateIn(key=secret))
    assert svix.endpoint.get_secret(app, uid).key == secret
    headers, body = deliver()
    assert [one.split(",")[0] for one in headers["svix-signature"].split(" ")] == ["v1", "v1a"], headers
    Webhook(secret).verify(body, headers)
    assert is_genuine(public, body, headers)
    svix.endpoint.rotate_secret(app, uid, models.EndpointSecretRotateIn(key=private))
    assert svix.endpoint.get_secret(app, uid).key == public
    headers, body = deliver()
    Webhook(secret).verify(body, headers)
    assert is_genuine(public, body, headers)
    for wrong in (public, encoded("whsk_", public_bytes * 2), encoded("whsk_", key.private_bytes_raw())):
        refused(422, svix.endpoint.rotate_secret, app, uid, models.EndpointSecretRotateIn(key=wrong))
    svix.endpoint.delete(app, uid)


def failures(app):
    step("an endpoint that fails: retries, status, recover, stats")
    svix.endpoint.delete(app, "main")
    failing = svix.endpoint.create(app, models.EndpointIn(url=receiver.url + "/fails/500", uid="fails"))
    since = datetime.now(timezone.utc) - timedelta(minutes=1)
    made = svix.message.create(app, models.MessageIn(event_type="invoice.paid", payload={"a": 1}))
    receiver.next()
    row = until("it failed", lambda: svix.message_attempt.list_by_endpoint(app, failing.id).data)[0]
    assert row.status == models.MessageStatus.FAIL and row.response_status_code == 500
    message = svix.message_attempt.list_attempted_messages(app, failing.id).data[0]
    assert message.id == made.id and message.next_attempt is not None
    assert message.status in (models.MessageStatus.SENDING, models.MessageStatus.PENDING), message.status
    task = svix.endpoint.recover(app, failing.id, models.RecoverIn(since=since))
    assert task.id.startswith("qtask_") and finished(task).data == {"messagesSent": 0}
    stats = svix.endpoint.get_stats(app, failing.id) if hasattr(svix.endpoint, "get_stats") else None
    assert stats is None or stats.fail >= 1
    example = svix.endpoint.send_example(app, failing.id, models.EventExampleIn(event_type="invoice.paid"))
    assert example.event_type == "invoice.paid"
    found = until("the example", lambda: [seen for seen in [receiver.next()] if b"amount" in seen[2]])
    assert json.loads(found[0][2]) == {"amount": 7}


def finished(task):
    """A background task once it has ended; what is recovered while it waits for a retry is left alone."""
    if not hasattr(svix, "background_task"):
        return task

    def ended():
        now = svix.background_task.get(task.id)
        return now if now.status != models.BackgroundTaskStatus.RUNNING else None

    ended = until("the task ends", ended)
    assert ended.status == models.BackgroundTaskStatus.FINISHED and ended.task == task.task, ended
    return ended


def background_tasks(app):
    if not hasattr(svix, "background_task") or not hasattr(svix.endpoint, "bulk_replay"):
        return
    step("an endpoint gets what it never got, and again what it got: background tasks")
    since = datetime.now(timezone.utc) - timedelta(minutes=1)
    svix.message.create(app, models.MessageIn(event_type="invoice.paid", payload={"missing": 1}, tags=["late"]))
    late = svix.endpoint.create(app, models.EndpointIn(url=receiver.url + "/late/200", uid="late"))
    verifier = Webhook(svix.endpoint.get_secret(app, late.id).key)

    def arrival():
        while True:
            path, headers, body = receiver.next()
            if path.startswith("/late/"):
                verifier.verify(body, headers)
                return json.loads(body)

    sent = finished(svix.endpoint.replay_missing(app, late.id, models.ReplayIn(since=since))).data["messagesSent"]
    bodies = [arrival() for _ in range(sent)]
    assert {"missing": 1} in bodies
    again = svix.endpoint.replay_missing(app, late.id, models.ReplayIn(since=since))
    assert finished(again).data == {"messagesSent": 0}
    until("it succeeded", lambda: len(svix.message_attempt.list_by_endpoint(app, late.id).data) == sent)
    selected = models.BulkReplayIn(since=since, event_types=["invoice.paid"], tag="late", status=models.MessageStatus.SUCCESS)
    assert finished(svix.endpoint.bulk_replay(app, late.id, selected)).data == {"messagesSent": 1}
    assert arrival() == {"missing": 1}
    options = BackgroundTaskListOptions(task=models.BackgroundTaskType.ENDPOINT_REPLAY, limit=1, order=models.Ordering.ASCENDING)
    listed = svix.background_task.list(options)
    assert len(listed.data) == 1 and not listed.done and listed.data[0].task == models.BackgroundTaskType.ENDPOINT_REPLAY
    assert other.background_task.list().data == []
    refused(404, other.background_task.get, again.id)
    refused(404, svix.background_task.get, "qtask_missing")


def erasure(app, made):
    step("erasure of a payload")
    svix.message.expunge_content(app, made.id)
    assert svix.message.get(app, made.id, MessageGetOptions(with_content=True)).payload == {"expired": True}


def later(app):
    step("messages for a later time, a precheck, payloads that are kept for less, several erased at once")
    if "deliver_at" not in models.MessageIn.model_fields or os.environ.get("SVIX_URL"):
        return  # an older library, or a server that has none of it
    at = datetime.now(timezone.utc) + timedelta(hours=2)
    endpoint = svix.endpoint.create(app, models.EndpointIn(url=receiver.url + "/later/200", uid="later", channels=["l"]))
    message = {"event_type": "invoice.paid", "payload": {"a": 1}, "channels": ["l"]}
    late = svix.message.create(app, models.MessageIn(**message, deliver_at=at, payload_retention_hours=3))
    assert abs(late.deliver_at - at) < timedelta(milliseconds=1), late.deliver_at
    row = svix.message_attempt.list_attempted_messages(app, endpoint.id).data[0]
    assert row.id == late.id and row.status == models.MessageStatus.PENDING and row.next_attempt == late.deliver_at
    soon = datetime.now(timezone.utc) + timedelta(seconds=2)
    sent = svix.message.create(app, models.MessageIn(**message, deliver_at=soon))
    while True:
        path, headers, _ = receiver.next()
        if path == "/later/200":
            break
    assert datetime.now(timezone.utc) >= soon - timedelta(milliseconds=1)
    assert {name.lower(): value for name, value in headers.items()}["svix-id"] == sent.id
    too_late = datetime.now(timezone.utc) + timedelta(days=2)
    refused(422, svix.message.create, app, models.MessageIn(**message, deliver_at=too_late))
    refused(422, svix.message.create, app, models.MessageIn(**message, deliver_at=at, payload_retention_hours=1))
    refused(422, svix.message.create, app, models.MessageIn(**message, payload_retention_period=91))
    if hasattr(svix.message, "precheck"):
        check = lambda channels: svix.message.precheck(app, models.MessagePrecheckIn(event_type="a", channels=channels))
        assert check(["l"]).active
        svix.endpoint.delete(app, "fails")
        assert not check(["other"]).active and check(["l"]).active
        refused(404, svix.message.precheck, "missing", models.MessagePrecheckIn(event_type="a"))
    if hasattr(svix.message, "bulk_expunge_content"):
        found = svix.message.bulk_expunge_content(app, models.BulkExpungeContentsIn(ids=[late.id, "missing"])).results
        assert {name: str(status) for name, status in found.items()} == {late.id: "expunged", "missing": "not-found"}
    else:
        svix.message.expunge_content(app, late.id)
    row = svix.message_attempt.list_attempted_messages(app, endpoint.id).data[-1]
    assert row.id == late.id and row.next_attempt is None, row


def portal(app):
    step("authentication: portal access, application tokens")
    access = svix.authentication.app_portal_access(app, models.AppPortalAccessIn())
    assert access.url.startswith("http") and access.token
    own = Svix(access.token, SvixOptions(server_url=URL))
    assert own.endpoint.list(app).data is not None
    refused(403, own.application.list)
    refused(404, own.endpoint.list, "third")
    refused(401, Svix("nonsense", SvixOptions(server_url=URL)).application.list)
    if hasattr(svix.authentication, "expire_all"):
        svix.authentication.expire_all(app, models.ApplicationTokenExpireIn())
        until("the token has ended", lambda: is_refused(own.endpoint.list, app))
        access = svix.authentication.app_portal_access(app, models.AppPortalAccessIn())
        assert Svix(access.token, SvixOptions(server_url=URL)).endpoint.list(app).data is not None


def is_refused(call, *arguments):
    try:
        call(*arguments)
    except HttpError as error:
        assert error.status_code == 401, error
        return True
    return False


def operational_webhooks(app):
    if os.environ.get("SVIX_URL"):
        # Svix's open-source server has the second way only, and that if it is configured
        return
    step("operational webhooks: by the environment itself, and by the management environment")
    management = Svix(token({"sub": "org_00000000000SvixManagement00"}), SvixOptions(server_url=URL))
    kinds = ["endpoint.created", "message.attempt.exhausted"]
    if IS_V2:
        calls = svix.operational_webhook.endpoint
        made = calls.create(models.OperationalWebhookEndpointIn(url=receiver.url + "/operations/200", uid="ops", event_types=kinds))
        assert made.event_types == kinds and calls.get("ops").id == made.id
        assert [row.id for row in calls.list().data] == [made.id]
        calls.upsert("ops", models.OperationalWebhookEndpointUpsertIn(url=made.url, uid="ops", event_types=kinds[:1]))
        calls.set_headers("ops", models.OperationalWebhookEndpointHeadersIn(headers={"x-ops": "yes"}))
        assert calls.get_headers("ops").headers == {"x-ops": "yes"}
        before = calls.get_secret("ops").key
        calls.rotate_secret("ops", models.OperationalWebhookEndpointSecretIn())
        key = calls.get_secret("ops").key
        assert key != before
        assert other.operational_webhook.endpoint.list().data == []
    else:
        management.application.create(models.ApplicationIn(name="Operations", uid=ENVIRONMENT))
        management.endpoint.create(ENVIRONMENT, models.EndpointIn(url=receiver.url + "/operations/200", uid="ops", **types(kinds[:1])))
        key = management.endpoint.get_secret(ENVIRONMENT, "ops").key
    watched = svix.endpoint.create(app, models.EndpointIn(url=receiver.url + "/watched/200", uid="watched"))
    path, headers, body = until("it is told", lambda: next((seen for seen in [receiver.next()] if seen[0].startswith("/operations")), None))
    Webhook(key).verify(body, headers)
    told = json.loads(body)
    assert told["type"] == "endpoint.created" and told["data"]["endpointId"] == watched.id, told
    assert told["data"]["endpointUid"] == "watched" and told["data"]["appId"] == svix.application.get(app).id, told
    listed = until("it is listed", lambda: management.message.list(ENVIRONMENT).data)
    assert listed[0].event_type == "endpoint.created"
    svix.endpoint.delete(app, "watched")
    if IS_V2:
        svix.operational_webhook.endpoint.delete("ops")
    management.application.delete(ENVIRONMENT)


def missing():
    step("what only the hosted service has is a 404 that the library can read")
    if hasattr(svix, "streaming"):
        error = refused(404, svix.streaming.stream.get, "missing")
        assert isinstance(error, HttpError)


applications()
event_types()
endpoint, secrets = endpoints("first")
made, free, once = messages("first", endpoint, secrets)
attempts("first", endpoint, made)
erasure("first", once)
private_keys("first")
failures("first")
later("first")
background_tasks("first")
portal("first")
operational_webhooks("first")
missing()
print(f"svix {version('svix')} for Python: {steps} parts, all as expected")
