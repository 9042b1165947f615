//! Publishes an event:
//! `RINGBACK_KEY=… cargo run --example publish call.completed '{"id": "call_42"}' call_42-completed`

use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};

const ATTEMPTS: u32 = 5;
const TIMEOUT: Duration = Duration::from_secs(15);

/// Publishes one event and returns it once it is durable. The idempotency key names what happened: publishing it again,
/// because a response got lost or this program was restarted, does not make a second event.
fn publish(engine: &str, key: &str, event: &Value, idempotency_key: &str) -> anyhow::Result<Value> {
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(TIMEOUT));
    let agent = config.build().new_agent();
    let mut wait = Duration::from_secs(1);
    for attempt in 1..=ATTEMPTS {
        let request = agent
            .post(format!("{engine}/v1/events"))
            .header("authorization", format!("Bearer {key}"))
            .header("content-type", "application/json")
            .header("idempotency-key", idempotency_key);
        match request.send(event.to_string()) {
            Ok(mut response) => {
                let text = response.body_mut().read_to_string()?;
                let status = response.status().as_u16();
                match status {
                    202 => return Ok(serde_json::from_str(&text)?),
                    // the engine is busy or cannot write; everything else would be refused again
                    429 | 503 if attempt < ATTEMPTS => {
                        let header = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
                        wait = header.and_then(|it| it.parse().ok()).map_or(wait, Duration::from_secs);
                    }
                    _ => bail!("{status}: {text}"),
                }
            }
            Err(error) if attempt == ATTEMPTS => return Err(error).context("the engine did not respond"),
            Err(_) => {}
        }
        std::thread::sleep(wait);
        wait *= 2;
    }
    unreachable!("the last attempt returns")
}

fn main() -> anyhow::Result<()> {
    let engine = std::env::var("ENGINE").unwrap_or_else(|_| String::from("http://127.0.0.1:8080"));
    let key = std::env::var("RINGBACK_KEY").context("set RINGBACK_KEY")?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [event_type, data, idempotency_key] = arguments.as_slice() else {
        bail!("usage: publish <event type> <data as JSON> <idempotency key>")
    };
    let data: Value = serde_json::from_str(data).context("the data is not JSON")?;
    let event = publish(&engine, &key, &json!({"event_type": event_type, "data": data}), idempotency_key)?;
    println!("{} for {} webhooks", event["id"].as_str().unwrap_or_default(), event["deliveries"]);
    Ok(())
}
