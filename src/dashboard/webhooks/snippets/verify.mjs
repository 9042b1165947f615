// A receiver in Node, without packages: WEBHOOK_SECRET=whsec_… node receiver.mjs
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const secret = process.env.WEBHOOK_SECRET;
if (!secret) throw new Error("set WEBHOOK_SECRET");
// the second is only there for a while after the secret was rotated
const signatures = ["x-callintel-signature", "x-callintel-signature-previous"];

function isGenuine(body, headers) {
  const expected = Buffer.from(createHmac("sha256", secret).update(body).digest("hex"));
  return signatures.some((name) => {
    const given = Buffer.from(headers[name] ?? "");
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
}

createServer(async (request, response) => {
  // the bytes as they came: JSON that is parsed and printed again has another signature
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  if (!isGenuine(body, request.headers)) return response.writeHead(401).end();
  response.writeHead(204).end();
  const event = JSON.parse(body);
  // the same webhook_id again is the same event again: skip it
  console.log(event.webhook_id, event.event_type, event.data);
}).listen(process.env.PORT ?? 8000);
