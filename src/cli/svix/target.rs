//! The Svix-compatible API of the engine into which things are brought.

use std::time::Duration;

use anyhow::{Context, bail};
use awc::http::Method;
use ringback::domain::json_text;
use ringback::domain::secret::Secret;
use ringback::svix::BASE_PATH;
use serde_json::Value;

use super::super::client::{ApiResponse, Call, EngineClient};

/// How often a call is made when the engine says that it should be made later.
const TRIES: u32 = 20;
const USUAL_PAUSE: u64 = 1;
const LONGEST_PAUSE: u64 = 30;

/// One environment of the engine.
pub(super) struct Target {
    client: EngineClient,
}

/// What the engine answered to a change.
pub(super) enum Answer {
    Done,
    /// Why it did not.
    Refused(String),
}

impl Target {
    /// With a token of the environment.
    pub(super) fn new(address: &str, token: String) -> Self {
        Self { client: EngineClient::new(address, Secret::new(token)) }
    }

    /// What is at this path; `None` for nothing.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Option<Value>> {
        let answer = self.call(Method::GET, path, None).await?;
        match answer.status {
            200 => Ok(Some(document(&answer)?)),
            404 => Ok(None),
            _ => bail!("GET {path} was answered with {}: {}", answer.status, reason(&answer.body)),
        }
    }

    /// Makes a change. An error means that going on has no sense.
    pub(super) async fn send(&self, method: Method, path: &str, body: &Value) -> anyhow::Result<Answer> {
        let answer = self.call(method, path, Some(body.to_string())).await?;
        match answer.status {
            200..300 => Ok(Answer::Done),
            400 | 404 | 409 | 413 | 422 => Ok(Answer::Refused(reason(&answer.body))),
            status => bail!("{path} was answered with {status}: {}", reason(&answer.body)),
        }
    }

    async fn call(&self, method: Method, path: &str, body: Option<String>) -> anyhow::Result<ApiResponse> {
        let mut tries = 0;
        loop {
            let call = Call { body: body.clone(), ..Call::new(method.clone(), format!("{BASE_PATH}{path}")) };
            let answer = self.client.send(call).await?;
            tries += 1;
            match answer.status {
                401 => bail!(
                    "the engine does not accept the token: RINGBACK_SVIX_JWT_SECRET must be the same here and there"
                ),
                404 if serde_json::from_str::<Value>(&answer.body)
                    .is_ok_and(|body| body.get("status").is_some()) =>
                {
                    bail!("the engine has no Svix-compatible API: start it with RINGBACK_SVIX_JWT_SECRET")
                }
                429 | 503 if tries < TRIES => {
                    let pause = answer.retry_after.unwrap_or(USUAL_PAUSE).min(LONGEST_PAUSE);
                    actix_web::rt::time::sleep(Duration::from_secs(pause)).await;
                }
                _ => return Ok(answer),
            }
        }
    }
}

fn document(answer: &ApiResponse) -> anyhow::Result<Value> {
    serde_json::from_str(&answer.body).context("what answers is not an engine's Svix-compatible API (--to)")
}

/// What an error says, on one line.
fn reason(body: &str) -> String {
    let error: Value = serde_json::from_str(body).unwrap_or_default();
    let text = match &error["detail"] {
        Value::String(detail) => detail.clone(),
        Value::Array(fields) => fields.iter().map(field).collect::<Vec<_>>().join("; "),
        _ => body.chars().take(100).collect(),
    };
    json_text::harmless(&text).replace('\n', " ")
}

fn field(error: &Value) -> String {
    let place = error["loc"].as_array().into_iter().flatten().skip(1).filter_map(Value::as_str);
    let place: Vec<&str> = place.collect();
    format!("{}: {}", place.join("."), error["msg"].as_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_on_one_line_with_the_fields_that_are_wrong() {
        let fields = r#"{"detail":[{"loc":["body","url"],"msg":"must begin\nwith https"},{"loc":["body","headers","a"],"msg":"x"}]}"#;
        assert_eq!(reason(fields), "url: must begin with https; headers.a: x");
        assert_eq!(reason(r#"{"code":"conflict","detail":"taken"}"#), "taken");
        assert_eq!(reason("<html>"), "<html>");
    }
}
