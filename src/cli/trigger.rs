//! `ringback trigger`: publishes a sample event.

use anyhow::{Context, bail};
use awc::http::Method;
use clap::Args;
use ringback::domain::event_types::{BUILT_IN, built_in};
use ringback::domain::json_text;
use ringback::domain::nearest::did_you_mean;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::client::{DEV_KEY_FILE, EngineArgs, EngineClient};
use super::{print_error, print_line};

#[derive(Args)]
#[command(after_help = "\
Examples:
  ringback trigger call.completed
  ringback trigger call.completed --data '{\"id\":\"call_1\"}'

On another engine, with its key in RINGBACK_KEY:
  ringback trigger batch.completed --engine https://hooks.example.com")]
pub(crate) struct TriggerArgs {
    /// Event type, for example call.completed; without one, the types are listed
    event_type: Option<String>,
    /// Data of the event as JSON, instead of the sample; sent unchanged
    #[arg(long, value_name = "JSON")]
    data: Option<String>,
    #[command(flatten)]
    engine: EngineArgs,
}

#[derive(Serialize)]
struct EventRequest<'a> {
    event_type: &'a str,
    data: &'a RawValue,
}

pub(crate) async fn run(args: TriggerArgs) -> anyhow::Result<()> {
    let Some(event_type) = &args.event_type else {
        print_line(&list());
        return Ok(());
    };
    let body = body(event_type, args.data.as_deref())?;
    let Some(key) = args.engine.key()? else {
        bail!(
            "no key: set --key or RINGBACK_KEY, or run this in the directory of `ringback serve --dev`, which writes \
             one to {DEV_KEY_FILE}"
        );
    };
    let engine = EngineClient::new(&args.engine.engine, key);
    let response = engine.call(Method::POST, "/v1/events", Some(body)).await?.ok()?;
    print_line(&json_text::pretty(&response).unwrap_or_else(|| json_text::harmless(&response)));
    if has_no_deliveries(&response) {
        print_error("no webhook subscribes to this event, so nothing is sent; `ringback listen` registers one");
    }
    Ok(())
}

fn has_no_deliveries(response: &str) -> bool {
    #[derive(Deserialize)]
    struct AcceptedEvent {
        deliveries: usize,
    }
    serde_json::from_str::<AcceptedEvent>(response).is_ok_and(|accepted| accepted.deliveries == 0)
}

fn body(event_type: &str, data: Option<&str>) -> anyhow::Result<String> {
    let data = match (data, built_in(event_type)) {
        (Some(data), _) => data,
        (None, Some(known)) => known.sample,
        (None, None) => {
            let meant = did_you_mean(event_type, BUILT_IN.iter().map(|known| known.name));
            bail!(
                "there is no sample of `{event_type}`: {meant}give --data '{{…}}', or use one of these:\n{}",
                list()
            )
        }
    };
    let data = serde_json::from_str::<&RawValue>(data).context("--data is not JSON")?;
    Ok(serde_json::to_string(&EventRequest { event_type, data })?)
}

fn list() -> String {
    let width = BUILT_IN.iter().map(|event_type| event_type.name.len()).max().unwrap_or_default();
    let lines: Vec<String> =
        BUILT_IN.iter().map(|known| format!("  {:width$}  {}", known.name, known.description)).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_without_deliveries_is_noticed() {
        assert!(has_no_deliveries("{\"id\":\"msg_1\",\"deliveries\":0}"));
        assert!(!has_no_deliveries("{\"id\":\"msg_1\",\"deliveries\":2}"));
    }

    #[test]
    fn data_is_sent_unchanged() {
        let body = body("acme.thing", Some("{\"n\": 1e400}")).unwrap();
        assert_eq!(body, "{\"event_type\":\"acme.thing\",\"data\":{\"n\": 1e400}}");
    }

    #[test]
    fn every_built_in_type_has_a_sample() {
        for known in BUILT_IN {
            assert!(body(known.name, None).is_ok(), "{}", known.name);
        }
    }

    #[test]
    fn an_unknown_type_without_data_lists_those_with_a_sample() {
        let error = body("call.complete", None).unwrap_err().to_string();
        assert!(BUILT_IN.iter().all(|known| error.contains(known.name)), "{error}");
        assert!(error.contains("`call.complete`: did you mean call.completed? give --data"), "{error}");
        assert!(body("call.complete", Some("nope")).is_err());
    }
}
