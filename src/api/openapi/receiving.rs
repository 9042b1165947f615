//! The requests to receivers, as a webhook of the OpenAPI document.

use serde_json::{Value, json};

use super::operation::reference;
use super::schemas;

/// Its section.
pub(crate) const TAG: &str = "Receiving";

/// An example of a signature of the document's kind.
const HEX: &str = "0f6d3b1d9c2e4a5b8f7061524334f5e6d7c8b9aa0b1c2d3e4f5061728394a5b6";

/// The request that receivers get. `prefix` is what the deployment's own headers begin with.
pub(crate) fn delivered(prefix: &str) -> Value {
    json!({"post": {
        "operationId": "receiveEvent",
        "tags": [TAG],
        "summary": "The request to your receiver",
        "description": "Respond with any 2xx within the webhook's timeout. 408, 425, 429, 5xx and no response are retried; 410 disables \
            the webhook; any other response is final. The same event can arrive more than once: ignore a `webhook-id` that \
            you have seen. The signature is over the bytes of the body. A webhook that was given a private key, through the \
            Svix-compatible API, has `v1a,` and an ed25519 signature in `webhook-signature`, and the hexadecimal one only while a replaced \
            secret is valid.",
        "security": [],
        "parameters": headers(prefix),
        "requestBody": {"required": true, "content": {"application/json": {
            "schema": reference("schemas", "DeliveredEvent"), "example": schemas::delivered_example(),
        }}},
        "responses": {"2XX": {"description": "Delivered"}},
    }})
}

fn headers(prefix: &str) -> Vec<Value> {
    let header = |name: &str, required: bool, text: &str, example: &str| {
        let schema = json!({"type": "string"});
        json!({"name": name, "in": "header", "required": required, "description": text, "schema": schema, "example": example})
    };
    let own = |name: &str, required: bool, text: &str, example: &str| {
        header(&format!("{prefix}-{name}"), required, text, example)
    };
    vec![
        header("webhook-id", true, "The event's id, the same on every retry", "msg_01jf7k2m3n4p7"),
        header("webhook-timestamp", true, "Unix seconds of this attempt", "1734345045"),
        header(
            "webhook-signature",
            true,
            "Standard Webhooks 1.0.0: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`, keyed with the decoded \
                secret; several, separated by spaces, while a rotated secret is valid",
            "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
        ),
        own("signature", true, "Hex of HMAC-SHA256 over the body, keyed with the secret's text", HEX),
        own(
            "signature-previous",
            false,
            "The same with another valid secret; only while a rotated secret is valid",
            HEX,
        ),
        own("delivery", true, "The delivery's id, as in the logs", "dlv_01jf7k2m3n4p6"),
        own("attempt", true, "Counted from 1", "1"),
    ]
}
