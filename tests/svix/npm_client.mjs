// What a publisher does with Svix's library for JavaScript (1.x and 2.x), against a running engine; what arrives is verified
// with the library's own `Webhook`. Run by tests/svix/clients.sh.
//
//   node npm_client.mjs URL JWT_SECRET FOLDER_WITH_THE_LIBRARY

import assert from "node:assert/strict";
import { createHmac, generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";

import { isGenuine } from "../../src/dashboard/webhooks/snippets/ed25519.mjs";

const [url, secret, folder] = process.argv.slice(2);
const { version } = JSON.parse(readFileSync(join(folder, "node_modules/svix/package.json"), "utf8"));
const isV2 = !version.startsWith("1.");
const found = createRequire(join(folder, "package.json")).resolve("svix");
const library = await import(found);
const { Svix, Webhook } = library.Svix ? library : library.default;

const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
function token(claims) {
  const text = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
}
const svix = new Svix(token({ sub: `org_npm${version.replaceAll(".", "")}` }), { serverUrl: url });

const arrived = [];
const receiver = createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    arrived.push({ headers: request.headers, body: Buffer.concat(chunks).toString() });
    response.end("ok");
    receiver.emit("arrival");
  });
});
receiver.listen(0, "127.0.0.1");
await once(receiver, "listening");
const target = `http://127.0.0.1:${receiver.address().port}/`;
async function next() {
  while (arrived.length === 0) await once(receiver, "arrival", { signal: AbortSignal.timeout(30_000) });
  return arrived.shift();
}

async function refused(status, call) {
  await assert.rejects(call, (error) => {
    assert.equal(error.code, status, `${error.code}: ${JSON.stringify(error.body)}`);
    assert.ok(error.body?.detail, "the library has read the error");
    return true;
  });
}

const types = (names) => (isV2 ? { eventTypes: names } : { filterTypes: names });

const app = await svix.application.getOrCreate({ name: "App", uid: "app", metadata: { plan: "pro" } });
assert.equal((await svix.application.getOrCreate({ name: "Other", uid: "app" })).id, app.id);
await refused(409, () => svix.application.create({ name: "Other", uid: "app" }));
await refused(404, () => svix.application.get("missing"));
await refused(422, () => svix.application.create({ name: "" }));
assert.deepEqual((await svix.application.patch("app", { name: "Renamed" })).metadata, { plan: "pro" });
assert.equal((await svix.application.list({ limit: 1 })).done, true);

await svix.eventType.create({ name: "invoice.paid", description: "Paid" });
assert.deepEqual((await svix.eventType.list()).data.map((row) => row.name), ["invoice.paid"]);
await refused(409, () => svix.eventType.create({ name: "invoice.paid", description: "again" }));

const endpoint = await svix.endpoint.create("app", { url: target, uid: "main", ...types(["invoice.paid"]) });
assert.deepEqual(isV2 ? endpoint.eventTypes : endpoint.filterTypes, ["invoice.paid"]);
assert.ok(endpoint.createdAt instanceof Date);
const { key } = await svix.endpoint.getSecret("app", "main");
await svix.endpoint.patch("app", "main", { description: "Main" });
assert.equal((await svix.endpoint.get("app", "main")).description, "Main");
assert.equal((await svix.endpoint.list("app", { limit: 1 })).data.length, 1);

const payload = { amount: 45.2, text: "grüße" };
const message = await svix.message.create("app", { eventType: "invoice.paid", eventId: "evt_1", payload });
const { headers, body } = await next();
assert.deepEqual(JSON.parse(body), payload);
// throws unless this key has signed
new Webhook(key).verify(body, headers);
assert.throws(() => new Webhook(key).verify(`${body} `, headers));
await refused(409, () => svix.message.create("app", { eventType: "invoice.paid", eventId: "evt_1", payload }));
assert.equal((await svix.message.get("app", "evt_1")).id, message.id);
assert.equal((await svix.message.list("app")).data.length, 1);

let attempts = [];
for (const end = Date.now() + 30_000; attempts.length === 0 && Date.now() < end; ) {
  attempts = (await svix.messageAttempt.listByMsg("app", message.id)).data;
}
assert.equal(attempts[0].responseStatusCode, 200);
assert.equal((await svix.messageAttempt.listByEndpoint("app", "main")).data[0].id, attempts[0].id);
assert.equal((await svix.messageAttempt.listAttemptedMessages("app", "main")).data[0].id, message.id);
assert.equal((await svix.messageAttempt.listAttemptedDestinations("app", message.id)).data[0].id, endpoint.id);
await svix.messageAttempt.resend("app", message.id, "main");
await next();

// what only the hosted service has besides, and its libraries of some versions
if (svix.message.precheck && !process.env.SVIX_URL) {
  const deliverAt = new Date(Date.now() + 2 * 3_600_000);
  const later = { eventType: "invoice.paid", payload, deliverAt, payloadRetentionHours: 3 };
  const late = await svix.message.create("app", later);
  assert.equal(late.deliverAt.getTime(), deliverAt.getTime());
  assert.equal((await svix.messageAttempt.listAttemptedMessages("app", "main")).data[0].nextAttempt.getTime(), deliverAt.getTime());
  await refused(422, () => svix.message.create("app", { ...later, payloadRetentionHours: 1 }));
  assert.equal((await svix.message.precheck("app", { eventType: "invoice.paid" })).active, true);
  assert.equal((await svix.message.precheck("app", { eventType: "invoice.sent" })).active, false);
  if (svix.message.bulkExpungeContent) {
    const { results } = await svix.message.bulkExpungeContent("app", { ids: [late.id, "missing"] });
    assert.deepEqual(results, { [late.id]: "expunged", missing: "not-found" });
  }
}

const rotated = `whsec_${Buffer.alloc(24, 7).toString("base64")}`;
await svix.endpoint.rotateSecret("app", "main", { key: rotated });
assert.equal((await svix.endpoint.getSecret("app", "main")).key, rotated);

const { privateKey } = generateKeyPairSync("ed25519");
const { d, x } = privateKey.export({ format: "jwk" });
const [seed, publicBytes] = [d, x].map((half) => Buffer.from(half, "base64url"));
const publicKey = `whpk_${publicBytes.toString("base64")}`;
await svix.endpoint.rotateSecret("app", "main", { key: `whsk_${Buffer.concat([seed, publicBytes]).toString("base64")}` });
assert.equal((await svix.endpoint.getSecret("app", "main")).key, publicKey);
await svix.message.create("app", { eventType: "invoice.paid", payload });
const signed = await next();
// those that were replaced today sign along
assert.deepEqual(signed.headers["svix-signature"].split(" ").map((one) => one.split(",")[0]), ["v1a", "v1", "v1"]);
assert.ok(isGenuine(publicKey, Buffer.from(signed.body), signed.headers));
assert.ok(!isGenuine(publicKey, Buffer.from(`${signed.body} `), signed.headers));
for (const replaced of [key, rotated]) new Webhook(replaced).verify(signed.body, signed.headers);
await refused(422, () => svix.endpoint.rotateSecret("app", "main", { key: publicKey }));

const access = await svix.authentication.appPortalAccess("app", {});
const own = new Svix(access.token, { serverUrl: url });
assert.equal((await own.endpoint.list("app")).data.length, 1);
await refused(403, () => own.application.list());
await refused(401, () => new Svix("nonsense", { serverUrl: url }).application.list());

// not in Svix's open-source server
if (svix.operationalWebhook?.endpoint && !process.env.SVIX_URL) {
  const calls = svix.operationalWebhook.endpoint;
  const names = isV2 ? { eventTypes: ["endpoint.created"] } : { filterTypes: ["endpoint.created"] };
  const operations = await calls.create({ url: target, uid: "ops", ...names });
  assert.equal((await calls.get("ops")).id, operations.id);
  assert.deepEqual((await calls.list()).data.map((row) => row.id), [operations.id]);
  const { key: of } = await calls.getSecret("ops");
  arrived.length = 0;
  const watched = await svix.endpoint.create("app", { url: target, uid: "watched" });
  const told = await next();
  new Webhook(of).verify(told.body, told.headers);
  const content = JSON.parse(told.body);
  assert.deepEqual([content.type, content.data.endpointId], ["endpoint.created", watched.id]);
  await calls.delete("ops");
}

if (svix.backgroundTask && svix.endpoint.bulkReplay) {
  const since = new Date(Date.now() - 60_000);
  const ended = async (task) => {
    for (const end = Date.now() + 30_000; Date.now() < end; ) {
      const now = await svix.backgroundTask.get(task.id);
      if (now.status !== "running") return now;
    }
    assert.fail(`${task.id} has not ended`);
  };
  await svix.endpoint.create("app", { url: target, uid: "late" });
  // as many as the steps before have published
  const allArrive = async ({ messagesSent }) => {
    assert(messagesSent >= 1);
    for (let left = messagesSent; left > 0; left -= 1) assert.deepEqual(JSON.parse((await next()).body), payload);
  };
  arrived.length = 0;
  const missing = await ended(await svix.endpoint.replayMissing("app", "late", { since }));
  assert.deepEqual([missing.status, missing.task], ["finished", "endpoint.replay"]);
  await allArrive(missing.data);
  const again = await ended(await svix.endpoint.replayMissing("app", "late", { since }));
  assert.deepEqual(again.data, { messagesSent: 0 });
  const bulk = await ended(await svix.endpoint.bulkReplay("app", "main", { since, eventTypes: ["invoice.paid"] }));
  await allArrive(bulk.data);
  assert.equal((await svix.backgroundTask.list({ task: "endpoint.bulk-replay" })).data[0].id, bulk.id);
}

if (svix.authentication.expireAll) {
  await svix.authentication.expireAll("app", {});
  await refused(401, () => own.endpoint.list("app"));
}

await svix.endpoint.delete("app", "main");
await svix.application.delete("app");
await refused(404, () => svix.application.get("app"));
receiver.close();
console.log(`svix ${version} for JavaScript: all as expected`);
