"""Uses every part of the API with the client that openapi-python-client makes (tests/generated_clients.sh).

mypy reads it first: a comment `type: ignore` that hides nothing is an error, so the calls at the end must be wrong.
"""

import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from ringback_client import AuthenticatedClient
from ringback_client.api.event_types import create_event_type, delete_event_type, list_event_types
from ringback_client.api.events import list_events, publish_event, publish_events, read_event, replay_event
from ringback_client.api.logs import list_deliveries, read_delivery, retry_delivery
from ringback_client.api.system import live, metrics, openapi, ready
from ringback_client.api.webhooks import (
    create_webhook,
    delete_webhook,
    list_webhooks,
    patch_webhook,
    read_health,
    read_webhook,
    read_webhook_health,
    read_webhook_secret,
    recover_webhook,
    rotate_webhook_secret,
    test_webhook,
    update_webhook,
)
from ringback_client.models import (
    BatchAnswer,
    BatchRefusal,
    CreatedWebhook,
    DeliveryStatus,
    ErrorCode,
    EventDetail,
    EventList,
    EventType,
    EventTypes,
    FilterOperators,
    Filters,
    LogDetail,
    LogList,
    LogRow,
    NewBatchEvent,
    NewBatchEventData,
    NewEvent,
    NewEventData,
    NewEventType,
    NewEventTypeSchemaType0,
    NewWebhook,
    NewWebhookHeadersType0,
    OpenapiResponse200,
    OrganizationHealth,
    Problem,
    PublishedEvent,
    Queued,
    RateLimit,
    Readiness,
    Recovery,
    Replay,
    RetryOn,
    RetryPolicy,
    RetryPolicyInForce,
    SecretRotation,
    Status,
    TestRequest,
    TestResult,
    Webhook,
    WebhookChange,
    WebhookHealth,
    WebhookList,
    WebhookSecret,
    WebhookState,
)

RECEIVER = os.environ["RECEIVER"]
# Of the wait for a delivery. Much longer than it takes: it ends a run that would never.
PATIENCE_SECONDS = 30
client = AuthenticatedClient(
    base_url=os.environ["ENGINE"], token=os.environ["KEY"], raise_on_unexpected_status=True
)
T = TypeVar("T")


def expect(kind: type[T], answer: object) -> T:
    assert isinstance(answer, kind), f"expected {kind.__name__}, got {answer}"
    return answer


def event(**data: object) -> NewEvent:
    return NewEvent(event_type="call.completed", data=NewEventData.from_dict(data))


def change_webhooks() -> str:
    """One with a URL alone, and one with all that there is. Says the id of the first."""
    created = expect(CreatedWebhook, create_webhook.sync(client=client, body=NewWebhook(url=RECEIVER)))
    assert created.secret.startswith("whsec_") and created.timeout == 10 and created.retry == 3, created
    everything = NewWebhook(
        url=RECEIVER,
        active=False,
        description="all of it",
        events=["call.*"],
        filters=Filters.from_dict({"direction": "outbound", "min_duration": 30, "to": ["a", 1, None], "from": {"prefix": "+1"}}),
        headers=NewWebhookHeadersType0.from_dict({"x-token": "t0ken"}),
        max_in_flight=4,
        ordered=True,
        rate_limit=RateLimit(per_second=0.5, burst=2),
        retry_on=[RetryOn.VALUE_0, RetryOn.VALUE_1],
        retry_policy=RetryPolicy(max_attempts=7, backoff_multiplier=1.5),
        secret=created.secret,
        timeout=7,
    )
    second = expect(CreatedWebhook, create_webhook.sync(client=client, body=everything))
    assert isinstance(second.retry_policy, RetryPolicyInForce) and second.retry_policy.max_attempts == 7, second
    assert second.retry_on == everything.retry_on and second.headers["x-token"] == "********", second
    assert isinstance(second.filters, Filters) and isinstance(second.filters["from"], FilterOperators), second
    assert second.secret == created.secret and second.state == WebhookState.DISABLED, second

    # what is not given stays: defaults that a client sends unasked would overwrite it
    change = WebhookChange(description=None, max_in_flight=5)
    changed = expect(Webhook, patch_webhook.sync(second.id, client=client, body=change))
    assert changed.description is None and changed.max_in_flight == 5, changed
    for field in ["url", "active", "events", "ordered", "rate_limit", "retry_on", "retry_policy", "timeout", "filters"]:
        assert getattr(changed, field) == getattr(second, field), f"{field} was changed unasked: {changed}"
    put = expect(Webhook, update_webhook.sync(second.id, client=client, body=WebhookChange(timeout=None)))
    assert put.timeout == 10 and put.max_in_flight == 5, put
    assert expect(Webhook, read_webhook.sync(second.id, client=client)) == put

    page = expect(WebhookList, list_webhooks.sync(client=client, limit=1))
    assert [row.id for row in page.data] == [second.id] and isinstance(page.next_cursor, str), page
    rest = expect(WebhookList, list_webhooks.sync(client=client, cursor=page.next_cursor))
    assert created.id in [row.id for row in rest.data] and rest.next_cursor is None, rest
    deleted = delete_webhook.sync_detailed(second.id, client=client)
    assert deleted.status_code == 204, deleted
    return created.id


def secrets(webhook: str) -> None:
    old = expect(WebhookSecret, read_webhook_secret.sync(webhook, client=client))
    without_body = expect(WebhookSecret, rotate_webhook_secret.sync(webhook, client=client))
    assert without_body.secret != old.secret and isinstance(without_body.previous_secret_expires_at, datetime)
    at_once = SecretRotation(secret=old.secret, overlap_seconds=0)
    back = expect(WebhookSecret, rotate_webhook_secret.sync(webhook, client=client, body=at_once))
    assert back.secret == old.secret, back


def publish(webhook: str) -> str:
    """Says the id of an event whose delivery to this webhook has succeeded."""
    first = event(id="call_1", nested={"list": [1, None, {"deep": True}]}, number=0.1)
    first.timestamp = datetime(2024, 12, 16, 10, 30, 45, tzinfo=UTC)
    published = expect(PublishedEvent, publish_event.sync(client=client, body=first, idempotency_key="python-1"))
    again = publish_event.sync_detailed(client=client, body=first, idempotency_key="python-1")
    assert again.headers["idempotent-replay"] == "true" and again.parsed == published, again
    assert published.deliveries == 1 and published.timestamp == first.timestamp, published

    second = NewBatchEvent(
        event_type="call.completed", data=NewBatchEventData.from_dict({"id": "call_2"}), idempotency_key="python-2"
    )
    unknown = NewBatchEvent(event_type="no.such", data=NewBatchEventData())
    batch = expect(BatchAnswer, publish_events.sync(client=client, body=[second, unknown]))
    assert isinstance(batch.data[0], PublishedEvent) and batch.data[0].id.startswith("msg_"), batch
    assert isinstance(batch.data[1], BatchRefusal), batch
    assert batch.data[1].error.code == ErrorCode.UNKNOWN_EVENT_TYPE and batch.data[1].error.errors, batch

    deadline = time.monotonic() + PATIENCE_SECONDS
    rows: list[LogRow] = []
    while len(rows) < 2:
        assert time.monotonic() < deadline, "what was published was not delivered"
        log = list_deliveries.sync(client=client, webhook_id=webhook, status=DeliveryStatus.SUCCESS)
        rows = expect(LogList, log).data
    return published.id


def read_the_log(webhook: str, event_id: str) -> None:
    since = datetime(2024, 1, 1, tzinfo=UTC)
    page = list_deliveries.sync(client=client, event_type="call.completed", response_code="2xx", from_=since)
    row = next(row for row in expect(LogList, page).data if row.event_id == event_id)
    assert row.webhook_id == webhook and row.error is None and isinstance(row.finished_at, datetime), row
    detail = expect(LogDetail, read_delivery.sync(row.id, client=client))
    assert detail.payload is not None and not detail.payload_erased, detail
    assert detail.payload.data["nested"] == {"list": [1, None, {"deep": True}]}, detail
    assert detail.payload.data["number"] == 0.1, detail
    attempt = detail.attempts[0]
    assert (attempt.number, attempt.response_code, attempt.error, attempt.response_body) == (1, 200, None, "ok"), attempt
    assert attempt.request_headers["webhook-id"] == event_id, attempt
    assert attempt.response_headers is not None and attempt.response_headers["content-length"] == "2", attempt

    events = expect(EventList, list_events.sync(client=client, event_type="call.completed"))
    assert event_id in [row.id for row in events.data], events
    read = expect(EventDetail, read_event.sync(event_id, client=client))
    assert read.payload == detail.payload and read.deliveries[0].id == row.id, read
    assert expect(LogRow, retry_delivery.sync(row.id, client=client)).status == DeliveryStatus.PENDING
    expect(Queued, replay_event.sync(event_id, client=client, body=Replay(webhook_id=webhook)))
    expect(Queued, replay_event.sync(event_id, client=client))
    expect(Queued, recover_webhook.sync(webhook, client=client, body=Recovery(since=since)))


def health(webhook: str) -> None:
    tested = expect(TestResult, test_webhook.sync(webhook, client=client))
    assert tested.response_code == 200 and tested.error is None, tested
    missed = TestRequest(event_type="call.missed")
    expect(TestResult, test_webhook.sync(webhook, client=client, body=missed))
    assert expect(WebhookHealth, read_webhook_health.sync(webhook, client=client)).state == WebhookState.HEALTHY
    assert expect(OrganizationHealth, read_health.sync(client=client)).webhooks.healthy >= 1
    expect(Status, live.sync(client=client))
    expect(Readiness, ready.sync(client=client))
    assert "ringback_deliveries_pending" in expect(str, metrics.sync(client=client))
    assert expect(OpenapiResponse200, openapi.sync(client=client))["openapi"] == "3.1.0"


def event_types() -> None:
    schema = NewEventTypeSchemaType0.from_dict({"type": "object", "required": ["amount"], "examples": [{"amount": 1}]})
    made = expect(EventType, create_event_type.sync(client=client, body=NewEventType(name="python.paid", schema=schema)))
    assert made.sample is not None and made.sample["amount"] == 1, made
    listed = expect(EventTypes, list_event_types.sync(client=client))
    assert "python.paid" in [one.name for one in listed.data] and listed.operational, listed
    refused = publish_event.sync(client=client, body=NewEvent(event_type="python.paid", data=NewEventData()))
    assert expect(Problem, refused).code == ErrorCode.SCHEMA_VIOLATION
    assert delete_event_type.sync_detailed("python.paid", client=client).status_code == 204


def problems(webhook: str) -> None:
    refused = create_webhook.sync_detailed(client=client, body=NewWebhook(url=RECEIVER, timeout=99, events=["No"]))
    problem = expect(Problem, refused.parsed)
    assert refused.status_code == 422 and problem.code == ErrorCode.VALIDATION_FAILED, problem
    assert isinstance(problem.errors, list), problem
    assert {error.field for error in problem.errors} == {"timeout", "events[0]"}, problem
    assert delete_webhook.sync_detailed(webhook, client=client).status_code == 204
    assert expect(Problem, read_webhook.sync(webhook, client=client)).code == ErrorCode.NOT_FOUND


if TYPE_CHECKING:
    NewWebhook()  # type: ignore[call-arg]
    NewWebhook(url=RECEIVER, ulr=RECEIVER)  # type: ignore[call-arg]
    NewWebhook(url=RECEIVER, timeout="10")  # type: ignore[arg-type]
    NewEvent(event_type="call.completed", data=7)  # type: ignore[arg-type]
    Problem.no_such_field  # type: ignore[attr-defined]

webhook = change_webhooks()
secrets(webhook)
event_types()
read_the_log(webhook, publish(webhook))
health(webhook)
problems(webhook)
print("the generated Python client works")
