//! `ringback trigger`: publishes a sample event.

use anyhow::{Context, anyhow, bail};
use awc::http::Method;
use clap::Args;
use ringback::domain::event_types::{BUILT_IN, built_in};
use ringback::domain::json_text;
use ringback::domain::nearest::did_you_mean;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::client::{DEV_KEY_FILE, EngineArgs, EngineClient};
use super::resources::read_json;
use super::{print_error, print_line};

#[derive(Args)]
#[command(after_help = "\
Examples:
  ringback trigger call.completed
  ringback trigger call.completed --data '{\"id\":\"call_1\"}'
  ringback trigger invoice.paid --data @invoice.json

On another engine, with its key in RINGBACK_KEY:
  ringback trigger batch.completed --engine https://hooks.example.com
With a key of the deployment:
  ringback trigger batch.completed --organization customer-42")]
pub(crate) struct TriggerArgs {
    /// Event type, for example call.completed; without one, the types are listed
    event_type: Option<String>,
    /// Data of the event as JSON, instead of the sample; sent unchanged. `@file` reads a file, `-` standard input
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
    let given = args.data.as_deref().map(|given| read_json("--data", given)).transpose()?;
    let Some(key) = args.engine.key()? else {
        bail!(
            "no key: set --key or RINGBACK_KEY, or run this in the directory of `ringback serve --dev`, which writes \
             one to {DEV_KEY_FILE}"
        );
    };
    let engine = args.engine.client(key);
    let data = match given {
        Some(data) => data,
        None => sample(&engine, event_type).await?,
    };
    let body = serde_json::to_string(&EventRequest { event_type, data: &data })?;
    let response = engine.call(Method::POST, "/v1/events", Some(body)).await?.ok()?;
    print_line(&json_text::pretty(&response).unwrap_or_else(|| json_text::harmless(&response)));
    warn_of_no_deliveries(&response);
    Ok(())
}

/// Says so when nothing is sent.
pub(super) fn warn_of_no_deliveries(response: &str) {
    if has_no_deliveries(response) {
        print_error("no webhook subscribes to this event, so nothing is sent; `ringback listen` registers one");
    }
}

fn has_no_deliveries(response: &str) -> bool {
    #[derive(Deserialize)]
    struct AcceptedEvent {
        deliveries: usize,
    }
    serde_json::from_str::<AcceptedEvent>(response).is_ok_and(|accepted| accepted.deliveries == 0)
}

/// The type's sample as the engine has it. A key that only publishes may not ask: then that of a built-in type.
async fn sample(engine: &EngineClient, event_type: &str) -> anyhow::Result<Box<RawValue>> {
    let listed = engine.call(Method::GET, "/v1/event-types", None).await?;
    let types = match listed.status {
        200 => serde_json::from_str(&listed.body).context("the response is not that of an engine")?,
        // the same would be said of the event
        400 | 401 | 404 => return Err(listed.ok().err().unwrap_or_else(|| anyhow!("the engine did not answer"))),
        _ => EventTypes::default(),
    };
    sample_among(&types, event_type)
}

/// Those that an engine offers; none when it does not say.
#[derive(Deserialize, Default)]
struct EventTypes {
    data: Vec<OfferedType>,
}

#[derive(Deserialize)]
struct OfferedType {
    name: String,
    sample: Box<RawValue>,
}

fn sample_among(types: &EventTypes, event_type: &str) -> anyhow::Result<Box<RawValue>> {
    if let Some(offered) = types.data.iter().find(|offered| offered.name == event_type) {
        return Ok(offered.sample.clone());
    }
    if let Some(known) = built_in(event_type).filter(|_| types.data.is_empty()) {
        return Ok(RawValue::from_string(known.sample.to_owned())?);
    }
    let offered: Vec<&str> = match types.data.is_empty() {
        true => BUILT_IN.iter().map(|known| known.name).collect(),
        false => types.data.iter().map(|offered| offered.name.as_str()).collect(),
    };
    let meant = did_you_mean(event_type, offered.iter().copied());
    bail!(
        "there is no sample of `{event_type}`: {meant}give --data '{{…}}', or use one of these:\n  {}",
        json_text::harmless(&offered.join("\n  "))
    )
}

fn list() -> String {
    let width = BUILT_IN.iter().map(|event_type| event_type.name.len()).max().unwrap_or_default();
    let lines: Vec<String> =
        BUILT_IN.iter().map(|known| format!("  {:width$}  {}", known.name, known.description)).collect();
    format!("{}\nThese are built in; `ringback event-types list` shows those of an engine.", lines.join("\n"))
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
    fn the_sample_is_the_engines_and_without_its_list_that_of_a_built_in_type() {
        let types: EventTypes =
            serde_json::from_str(r#"{"data": [{"name": "invoice.paid", "sample": {"n": 1}}], "operational": []}"#)
                .unwrap();
        assert_eq!(sample_among(&types, "invoice.paid").unwrap().get(), "{\"n\": 1}");
        let error = sample_among(&types, "invoice.pai").unwrap_err().to_string();
        assert!(error.contains("did you mean invoice.paid?"), "{error}");
        // the operator has taken it away
        assert!(sample_among(&types, "call.completed").is_err());
        for known in BUILT_IN {
            assert_eq!(sample_among(&EventTypes::default(), known.name).unwrap().get(), known.sample);
        }
        let error = sample_among(&EventTypes::default(), "call.complete").unwrap_err().to_string();
        assert!(BUILT_IN.iter().all(|known| error.contains(known.name)), "{error}");
        assert!(error.contains("`call.complete`: did you mean call.completed? give --data"), "{error}");
    }
}
