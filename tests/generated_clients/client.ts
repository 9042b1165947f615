// Uses every part of the API with the types that openapi-typescript makes and openapi-fetch (tests/generated_clients.sh).
// What stands under `@ts-expect-error` must not compile.

import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Schemas = components["schemas"];

const RECEIVER = process.env["RECEIVER"]!;
// Of the wait for a delivery. Much longer than it takes: it ends a run that would never.
const PATIENCE_MS = 30_000;
const client = createClient<paths>({
  baseUrl: process.env["ENGINE"]!,
  headers: { authorization: `Bearer ${process.env["KEY"]}` },
});

/** The answer of a call that must succeed. */
async function ok<T>(call: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  const { data, error, response } = await call;
  assert(data !== undefined, `${response.url}: ${response.status} ${JSON.stringify(error)}`);
  return data;
}

/** The error of a call that must fail. */
async function refused(call: Promise<{ data?: unknown; error?: Schemas["Problem"] }>): Promise<Schemas["Problem"]> {
  const { data, error } = await call;
  assert(error !== undefined, `was not refused: ${JSON.stringify(data)}`);
  return error;
}

const at = (webhook_id: string) => ({ params: { path: { webhook_id } } });

/** One with a URL alone, and one with all that there is. Says the id of the first. */
async function changeWebhooks(): Promise<string> {
  const created = await ok(client.POST("/v1/webhooks", { body: { url: RECEIVER } }));
  assert(created.secret.startsWith("whsec_") && created.timeout === 10 && created.retry === 3);
  const everything: Schemas["NewWebhook"] = {
    url: RECEIVER,
    active: false,
    description: "all of it",
    events: ["call.*"],
    filters: { direction: "outbound", min_duration: 30, to: ["a", 1, null], from: { prefix: "+1" } },
    headers: { "x-token": "t0ken" },
    max_in_flight: 4,
    ordered: true,
    rate_limit: { per_second: 0.5, burst: 2 },
    retry_on: ["4xx", "3xx"],
    retry_policy: { max_attempts: 7, backoff_multiplier: 1.5 },
    secret: created.secret,
    timeout: 7,
  };
  const { secret, ...second } = await ok(client.POST("/v1/webhooks", { body: everything }));
  assert.equal(secret, created.secret);
  assert.equal(second.retry_policy?.max_attempts, 7);
  assert.equal(second.headers["x-token"], "********");
  assert.deepEqual(second.filters, everything.filters);
  assert.equal(second.state satisfies Schemas["WebhookState"], "disabled");

  const body = { description: null, max_in_flight: 5 };
  const changed = await ok(client.PATCH("/v1/webhooks/{webhook_id}", { ...at(second.id), body }));
  assert.deepEqual(changed, { ...second, ...body, updated_at: changed.updated_at });
  const put = await ok(client.PUT("/v1/webhooks/{webhook_id}", { ...at(second.id), body: { timeout: null } }));
  assert.equal(put.timeout, 10);
  assert.deepEqual(await ok(client.GET("/v1/webhooks/{webhook_id}", at(second.id))), put);

  const page = await ok(client.GET("/v1/webhooks", { params: { query: { limit: 1 } } }));
  assert.deepEqual(page.data.map((row) => row.id), [second.id]);
  assert(page.next_cursor !== null);
  const rest = await ok(client.GET("/v1/webhooks", { params: { query: { cursor: page.next_cursor } } }));
  assert(rest.data.some((row) => row.id === created.id));
  const deleted = await client.DELETE("/v1/webhooks/{webhook_id}", at(second.id));
  assert.equal(deleted.response.status, 204);
  return created.id;
}

async function secrets(webhook: string): Promise<void> {
  const rotate = "/v1/webhooks/{webhook_id}/secret/rotate";
  const { secret } = await ok(client.GET("/v1/webhooks/{webhook_id}/secret", at(webhook)));
  const withoutBody = await ok(client.POST(rotate, at(webhook)));
  assert(withoutBody.secret !== secret && withoutBody.previous_secret_expires_at !== null);
  const back = await ok(client.POST(rotate, { ...at(webhook), body: { secret, overlap_seconds: 0 } }));
  assert.equal(back.secret, secret);
}

/** Says the id of an event whose delivery to this webhook has succeeded. */
async function publish(webhook: string): Promise<string> {
  const body: Schemas["NewEvent"] = {
    event_type: "call.completed",
    timestamp: "2024-12-16T10:30:45Z",
    data: { id: "call_1", nested: { list: [1, null, { deep: true }] }, number: 0.1 },
  };
  const request = { body, params: { header: { "Idempotency-Key": "typescript-1" } } };
  const published = await ok(client.POST("/v1/events", request));
  const again = await client.POST("/v1/events", request);
  assert.equal(again.response.headers.get("idempotent-replay"), "true");
  assert.deepEqual(again.data, published);
  assert.equal(published.deliveries, 1);

  const batch = await ok(client.POST("/v1/events/batch", { body: [body, { event_type: "no.such", data: {} }] }));
  const [good, bad] = batch.data;
  assert(good !== undefined && "id" in good && good.id.startsWith("msg_"));
  assert(bad !== undefined && "error" in bad && bad.error.code === "unknown_event_type");

  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const query = { webhook_id: webhook, status: "success" as const };
    const log = await ok(client.GET("/v1/webhooks/logs", { params: { query } }));
    if (log.data.length >= 2) return published.id;
    assert(Date.now() < deadline, "what was published was not delivered");
  }
}

async function readTheLog(webhook: string, event: string): Promise<void> {
  const query = { event_type: "call.completed", response_code: "2xx", from: "2024-01-01T00:00:00+02:00" };
  const page = await ok(client.GET("/v1/webhooks/logs", { params: { query } }));
  const row = page.data.find((row) => row.event_id === event);
  assert(row !== undefined && row.webhook_id === webhook && row.error === null && row.finished_at !== null);
  const delivery = { params: { path: { delivery_id: row.id } } };
  const detail = await ok(client.GET("/v1/webhooks/logs/{delivery_id}", delivery));
  assert.deepEqual(detail.payload?.data["nested"], { list: [1, null, { deep: true }] });
  const attempt = detail.attempts[0];
  assert(attempt !== undefined && attempt.response_code === 200 && attempt.response_body === "ok");
  assert.equal(attempt.request_headers["webhook-id"], event);
  assert.equal(attempt.response_headers?.["content-length"], "2");

  const events = await ok(client.GET("/v1/events", { params: { query: { event_type: "call.completed" } } }));
  assert(events.data.some((row) => row.id === event));
  const path = { params: { path: { event_id: event } } };
  const read = await ok(client.GET("/v1/events/{event_id}", path));
  assert.deepEqual(read.payload, detail.payload);
  const retried = await ok(client.POST("/v1/webhooks/logs/{delivery_id}/retry", delivery));
  assert.equal(retried.status, "pending");
  await ok(client.POST("/v1/events/{event_id}/replay", { ...path, body: { webhook_id: webhook } }));
  await ok(client.POST("/v1/events/{event_id}/replay", path));
  const since = "2024-01-01T00:00:00Z";
  await ok(client.POST("/v1/webhooks/{webhook_id}/recover", { ...at(webhook), body: { since } }));
}

async function health(webhook: string): Promise<void> {
  const test = "/v1/webhooks/{webhook_id}/test";
  const tested = await ok(client.POST(test, at(webhook)));
  assert(tested.response_code === 200 && tested.error === null);
  await ok(client.POST(test, { ...at(webhook), body: { event_type: "call.missed" } }));
  assert.equal((await ok(client.GET("/v1/webhooks/{webhook_id}/health", at(webhook)))).state, "healthy");
  const own = await ok(client.GET("/v1/health"));
  // of all organizations it would be a list
  assert("webhooks" in own && own.webhooks.healthy >= 1);
  await ok(client.GET("/health/live"));
  await ok(client.GET("/health/ready"));
  assert((await ok(client.GET("/metrics", { parseAs: "text" }))).includes("ringback_deliveries_pending"));
  assert.equal((await ok(client.GET("/openapi.json")))["openapi"], "3.1.0");
}

async function eventTypes(): Promise<void> {
  const schema = { type: "object", required: ["amount"], examples: [{ amount: 1 }] };
  const made = await ok(client.POST("/v1/event-types", { body: { name: "typescript.paid", schema } }));
  assert.equal(made.sample?.["amount"], 1);
  const listed = await ok(client.GET("/v1/event-types"));
  assert(listed.data.some((one) => one.name === made.name) && listed.operational.length > 0);
  const misfit = await refused(client.POST("/v1/events", { body: { event_type: made.name, data: {} } }));
  assert.equal(misfit.code satisfies Schemas["ErrorCode"], "schema_violation");
  const deleted = await client.DELETE("/v1/event-types/{event_type}", { params: { path: { event_type: made.name } } });
  assert.equal(deleted.response.status, 204);
}

async function problems(webhook: string): Promise<void> {
  const problem = await refused(client.POST("/v1/webhooks", { body: { url: RECEIVER, timeout: 99, events: ["No"] } }));
  assert(problem.status === 422 && problem.code === "validation_failed");
  assert.deepEqual(problem.errors?.map((error) => error.field).sort(), ["events[0]", "timeout"]);
  const deleted = await client.DELETE("/v1/webhooks/{webhook_id}", at(webhook));
  assert.equal(deleted.response.status, 204);
  assert.equal((await refused(client.GET("/v1/webhooks/{webhook_id}", at(webhook)))).code, "not_found");
}

/** Is compiled and never called. */
export function mistakes(row: Schemas["LogRow"], problem: Schemas["Problem"]): void {
  // @ts-expect-error the URL is missing
  void client.POST("/v1/webhooks", { body: {} });
  // openapi-fetch takes its body as a type parameter, which may have more fields; so the type itself is asked
  // @ts-expect-error no such field
  void ({ url: RECEIVER, ulr: RECEIVER } satisfies Schemas["NewWebhook"]);
  // @ts-expect-error a number
  void client.PATCH("/v1/webhooks/{webhook_id}", { ...at("wh_1"), body: { timeout: "10" } });
  // @ts-expect-error an object
  void client.POST("/v1/events", { body: { event_type: "call.completed", data: 7 } });
  // @ts-expect-error an array
  void client.POST("/v1/events/batch", { body: "no array" });
  // @ts-expect-error no such status
  void client.GET("/v1/webhooks/logs", { params: { query: { status: "done" } } });
  // @ts-expect-error no such call
  void client.GET("/v1/webhook");
  // @ts-expect-error can be null
  void row.finished_at.length;
  // @ts-expect-error no such field
  void row.no_such_field;
  // @ts-expect-error no such code
  void (problem.code === "no_such_code");
}

const webhook = await changeWebhooks();
await secrets(webhook);
await eventTypes();
await readTheLog(webhook, await publish(webhook));
await health(webhook);
await problems(webhook);
console.log("the generated TypeScript client works");
