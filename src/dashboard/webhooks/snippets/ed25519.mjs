// Verifies ed25519 signatures in Node, without packages
import { createPublicKey, verify } from "node:crypto";

// `publicKey` begins with whpk_, `body` is a Buffer with the bytes as they came, `headers` has names in lower case
export function isGenuine(publicKey, body, headers) {
  const prefix = "svix-signature" in headers ? "svix" : "webhook";
  const [id, timestamp, signatures] = ["id", "timestamp", "signature"].map((name) => headers[`${prefix}-${name}`] ?? "");
  if (!(Math.abs(Date.now() / 1000 - Number(timestamp)) <= 300)) return false; // too old, or from the future
  const x = Buffer.from(publicKey.replace(/^whpk_/, ""), "base64").toString("base64url");
  const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
  const content = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]);
  // several while a replaced key is valid; those that begin with v1, are of a secret
  const ours = signatures.split(" ").filter((signature) => signature.startsWith("v1a,"));
  return ours.some((signature) => verify(null, content, key, Buffer.from(signature.slice(4), "base64")));
}
