// What a publisher does with Svix's library for JavaScript (1.x and 2.x), against a running engine; what arrives is verified
// with the library's own `Webhook`. Run by tests/svix/clients.sh.
//
//   node npm_client.mjs URL JWT_SECRET FOLDER_WITH_THE_LIBRARY

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";

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

const rotated = `whsec_${Buffer.alloc(24, 7).toString("base64")}`;
await svix.endpoint.rotateSecret("app", "main", { key: rotated });
assert.equal((await svix.endpoint.getSecret("app", "main")).key, rotated);

const access = await svix.authentication.appPortalAccess("app", {});
const own = new Svix(access.token, { serverUrl: url });
assert.equal((await own.endpoint.list("app")).data.length, 1);
await refused(403, () => own.application.list());
await refused(401, () => new Svix("nonsense", { serverUrl: url }).application.list());

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
  const missing = await ended(await svix.endpoint.replayMissing("app", "late", { since }));
  assert.deepEqual([missing.status, missing.task, missing.data], ["finished", "endpoint.replay", { messagesSent: 1 }]);
  assert.deepEqual(JSON.parse((await next()).body), payload);
  const again = await ended(await svix.endpoint.replayMissing("app", "late", { since }));
  assert.deepEqual(again.data, { messagesSent: 0 });
  const bulk = await ended(await svix.endpoint.bulkReplay("app", "main", { since, eventTypes: ["invoice.paid"] }));
  assert.deepEqual(bulk.data, { messagesSent: 1 });
  await next();
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
