//! What can be done with an endpoint: sending it an example, and counting what became of its messages.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::access::Access;
use super::endpoints::of_path;
use super::error::SvixError;
use super::input::{Invalid, read_json};
use super::messages::publish_example;
use super::page::Query;
use super::tasks::TOLERANCE;
use crate::api::Api;
use crate::api::pagination::read_instant;
use crate::domain::time::UnixMillis;
use crate::store::{Store, StoreResult};

/// A type that exists everywhere.
const PING: &str = "svix.ping";
const PING_EXAMPLE: &str = r#"{"success":true}"#;
/// The version of a type's schemas whose example is sent.
const EXAMPLE_VERSION: &str = "1";
/// How far back attempts can be counted, and are when a query does not say, as with Svix's server; those that are kept are of the
/// last days.
const LONGEST_STATISTICS: Duration = Duration::from_secs(28 * 86_400);
/// Of periods that can't be counted.
const INVALID_RANGE: &str = "invalid_range";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExampleIn {
    event_type: String,
    example_index: Option<usize>,
}

/// `POST /api/v1/app/{app}/endpoint/{endpoint}/send-example`: publishes the type's example, to this endpoint alone.
pub(super) async fn send_example(
    request: HttpRequest,
    payload: web::Payload,
    access: Access,
    api: web::Data<Api>,
) -> Result<HttpResponse, SvixError> {
    let (owner, found) = of_path(&request, &api, &access).await?;
    let ExampleIn { event_type, example_index } = read_json(&request, payload).await?;
    let mut invalid = Invalid::of_body();
    invalid.check_name("eventType", &event_type);
    invalid.into_result()?;
    let example = match event_type == PING {
        true => RawValue::from_string(PING_EXAMPLE.to_owned()).ok(),
        false => {
            let (environment, name) = (access.environment.clone(), event_type.clone());
            let known = api.read(access.line, move |store| store.environment_event_type(&environment, &name));
            let known = known.await?.ok_or_else(SvixError::not_found)?;
            known.schemas.as_deref().and_then(|schemas| example_of(schemas, example_index.unwrap_or_default()))
        }
    };
    let no_example = || {
        let detail = "the event type has no example: add `examples` to version 1 of its schemas";
        SvixError::bad_request("invalid_scheme", detail)
    };
    let example = example.ok_or_else(no_example)?;
    publish_example(&api, owner, found.endpoint.id, event_type, example).await
}

fn example_of(schemas: &str, index: usize) -> Option<Box<RawValue>> {
    let schemas: Value = serde_json::from_str(schemas).ok()?;
    let schema = schemas.get(EXAMPLE_VERSION)?;
    let example =
        schema.get("examples").and_then(|examples| examples.get(index)).or_else(|| schema.get("example"))?;
    RawValue::from_string(example.to_string()).ok()
}

/// Attempts of a period by their outcomes, and what waits.
#[derive(Default, Serialize)]
struct StatsOut {
    success: u64,
    pending: u64,
    sending: u64,
    fail: u64,
    canceled: u64,
}

/// `GET /api/v1/app/{app}/endpoint/{endpoint}/stats`, with `?since=` and `?until=`: as far back as statistics are kept.
pub(super) async fn stats(
    request: HttpRequest,
    access: Access,
    api: web::Data<Api>,
) -> Result<HttpResponse, SvixError> {
    let (owner, found) = of_path(&request, &api, &access).await?;
    let (since, until) = period(&request, api.engine().now())?;
    let (id, recent) = (found.endpoint.id, api.engine().statistics());
    let counted = api.read(access.line, move |store: &dyn Store| -> StoreResult<StatsOut> {
        let mut stats = StatsOut { pending: store.pending(owner, Some(id))?.pending, ..StatsOut::default() };
        for (_, period) in recent.of_endpoints(store, owner, &[id], since)? {
            if period.period_start < until {
                stats.success += period.counts.succeeded;
                stats.fail += period.counts.failed + period.counts.retried;
            }
        }
        Ok(stats)
    });
    Ok(HttpResponse::Ok().json(counted.await?))
}

/// The period that a query asks for.
fn period(request: &HttpRequest, now: UnixMillis) -> Result<(UnixMillis, UnixMillis), SvixError> {
    let refused = |detail: String| SvixError::bad_request(INVALID_RANGE, detail);
    let query = Query::parse(request.query_string());
    let instant = |name: &str| {
        let read = query.text(name).map(read_instant).transpose();
        read.map_err(|message| SvixError::unreadable_query(format!("{name}: {message}")))
    };
    let until = instant("until")?.unwrap_or(now);
    let since = instant("since")?.unwrap_or(until - LONGEST_STATISTICS);
    if until > now {
        return Err(refused(String::from("until can't be in the future")));
    }
    if since < until - LONGEST_STATISTICS - TOLERANCE {
        return Err(refused(String::from("since can't be more than 28 days before until")));
    }
    Ok((since, until))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_a_type_is_one_of_those_of_its_first_version() {
        let schemas = r#"{"1":{"examples":[{"a":1},{"a":2}]},"2":{"example":{"a":3}}}"#;
        let text = |index| example_of(schemas, index).map(|example| example.get().to_owned());
        assert_eq!(text(0).as_deref(), Some(r#"{"a":1}"#));
        assert_eq!(text(1).as_deref(), Some(r#"{"a":2}"#));
        assert_eq!(text(2), None);
        assert_eq!(example_of(r#"{"1":{"example":{"b":1}}}"#, 0).unwrap().get(), r#"{"b":1}"#);
        assert!(example_of("[]", 0).is_none() && example_of("{}", 0).is_none());
    }
}
