// A receiver in Node, without packages: WEBHOOK_SECRET=whsec_… node receiver.mjs
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const secret = process.env.WEBHOOK_SECRET;
if (!secret) throw new Error("set WEBHOOK_SECRET");
// the second is only there for a while after the secret was rotated
const signatures = ["x-callintel-signature", "x-callintel-signature-previous"];

// in production, a table with a unique webhook_id: then a restart loses nothing and repeats nothing
const accepted = new Set();

function isGenuine(body, headers) {
  const expected = Buffer.from(createHmac("sha256", secret).update(body).digest("hex"));
  return signatures.some((name) => {
    const given = Buffer.from(headers[name] ?? "");
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
}

function isNew(id) {
  if (accepted.has(id)) return false;
  accepted.add(id);
  // a Set keeps the order in which ids were added
  if (accepted.size > 100_000) accepted.delete(accepted.values().next().value);
  return true;
}

function work(event) {
  console.log(event.webhook_id, event.event_type, event.data);
}

const server = createServer(async (request, response) => {
  // the bytes as they came: JSON that is parsed and printed again has another signature
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  if (!isGenuine(body, request.headers)) return response.writeHead(401).end();
  const event = JSON.parse(body);
  // respond at once and work later: a slow response counts as a failure and is sent again
  response.writeHead(204).end();
  if (isNew(event.webhook_id)) setImmediate(work, event);
});
server.listen(process.env.PORT ?? 8000, () => console.log("listening on port", server.address().port));
