//! Actions on a webhook: sending a test event, resuming it, and recovering a range of deliveries.

use actix_web::rt;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::audit::Author;
use super::body::{MANAGEMENT_LIMIT_BYTES, read_body};
use super::caller::Tenant;
use super::input::{self, Errors, JsonFields};
use super::known_types::KnownTypes;
use super::line::Line;
use super::logs::read_rounds;
use super::offered_types::{offered, sample};
use super::problem::{ErrorCode, Problem};
use super::turns::{TESTS_FOR_ONE, first_step};
use super::webhooks::WHAT;
use super::{Api, Queued, path_id};
use crate::actors::fairness::shares::{Refusal, Resource};
use crate::actors::publication::{Publication, TestError, TestResult};
use crate::domain::audit::{AuditAction, AuditEntry};
use crate::domain::delivery::DeliveryStatus;
use crate::domain::ids::{DeliveryId, EndpointId, OrganizationId};
use crate::domain::time::UnixMillis;
use crate::store::{RequeueRange, Store};

/// The default type of a test event.
const DEFAULT_EVENT_TYPE: &str = "call.completed";

/// Deliveries that a preview counts one by one. Larger: a request reads for longer, about a millisecond for each thousand.
pub(crate) const COUNTED_AT_MOST: usize = 10_000;

/// The outcome of a test event.
#[derive(Serialize)]
struct TestView {
    /// `success` or `failed`: a test event is not retried.
    status: DeliveryStatus,
    response_code: Option<u16>,
    duration_ms: u64,
    /// An excerpt.
    response_body: Option<String>,
    /// Why there was no response.
    error: Option<&'static str>,
    /// The error in detail, with advice.
    error_detail: Option<String>,
    delivery_id: DeliveryId,
}

impl From<TestResult> for TestView {
    fn from(test: TestResult) -> Self {
        let TestResult { delivery_id, is_success, result } = test;
        let answer = result.response.as_ref();
        Self {
            status: if is_success { DeliveryStatus::Success } else { DeliveryStatus::Failed },
            response_code: answer.ok().map(|response| response.status),
            duration_ms: result.duration.as_millis() as u64,
            response_body: answer.ok().map(|response| String::from_utf8_lossy(&response.body).into_owned()),
            error: answer.err().map(|error| error.as_str()),
            error_detail: answer.err().and_then(|error| error.detail()),
            delivery_id,
        }
    }
}

/// `POST /v1/webhooks/{id}/test {event_type?}`: sends a real signed sample once, at once. An absent body means an empty
/// object.
pub(crate) async fn test(
    request: HttpRequest,
    payload: web::Payload,
    Tenant(organization_id): Tenant,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let id: EndpointId = path_id(&request, "webhook_id", WHAT)?;
    let body = read_body(&request, payload, MANAGEMENT_LIMIT_BYTES).await?;
    let mut errors = Errors::new();
    let mut fields = JsonFields::parse(input::or_empty_object(&body), &mut errors)?;
    let event_type = fields.read("event_type", &mut errors, input::string).into_option();
    fields.finish(&mut errors);
    let event_type = match event_type {
        Some(event_type) => event_type,
        None => default_type(&api, organization_id, id).await?,
    };
    let sample = sample(&api, organization_id, &event_type).await?;
    if sample.is_none() {
        let message = KnownTypes::new(api.engine.event_types(), organization_id).unknown(&event_type);
        errors.add_with_code(ErrorCode::UnknownEventType, "event_type", message);
    }
    errors.into_result()?;
    let result = send_test(&api, organization_id, id, event_type, sample.unwrap_or_default()).await?;
    Ok(HttpResponse::Ok().json(TestView::from(result)))
}

/// The contract's, unless there is none: then the first that the webhook wants.
async fn default_type(api: &Api, organization_id: OrganizationId, id: EndpointId) -> Result<String, Problem> {
    let types = offered(api, organization_id).await?;
    if types.is_empty() || types.iter().any(|it| it.name == DEFAULT_EVENT_TYPE) {
        return Ok(DEFAULT_EVENT_TYPE.to_owned());
    }
    let endpoint = api.find_endpoint(organization_id, id).await?.endpoint;
    let wants =
        |name: &str| endpoint.events.is_empty() || endpoint.events.iter().any(|pattern| pattern.matches(name));
    let wanted = types.iter().find(|it| wants(&it.name)).or(types.first());
    Ok(wanted.map_or_else(|| DEFAULT_EVENT_TYPE.to_owned(), |it| it.name.clone()))
}

/// Sends this `data` to a webhook as an event of this type, once and at once.
pub(crate) async fn send_test(
    api: &Api,
    organization_id: OrganizationId,
    id: EndpointId,
    event_type: String,
    data: Box<RawValue>,
) -> Result<TestResult, Problem> {
    let webhook = api.find_endpoint(organization_id, id).await?;
    let now = api.engine.now();
    let publication = Publication::new(organization_id, event_type, (now.to_string(), now), data);
    let line = Line::Organization(organization_id);
    let place = api.turns.tests.enter(organization_id).await;
    let place = place.map_err(|_| {
        let detail = format!(
            "{TESTS_FOR_ONE} test events of this organization are on their way, which is as many as one may have; try \
             again when one of them has ended"
        );
        api.over_share(line, &detail)
    })?;
    let attempt = api.engine.shares().try_take(Resource::Attempts, organization_id, 1);
    let attempt = attempt.map_err(|refusal| match refusal {
        Refusal::OverShare => {
            api.over_share(line, "this organization has as many attempts in flight as its share")
        }
        Refusal::NothingFree => {
            Problem::new(ErrorCode::Overloaded, "nothing was sent: too many attempts are in flight")
        }
    })?;
    let engine = api.engine.clone();
    // a separate task: the attempt is recorded even if the client disconnects meanwhile
    let sent = rt::spawn(async move {
        let _held = (place, attempt);
        engine.send_test(&webhook, &publication).await
    });
    let result = sent.await.map_err(|error| {
        tracing::error!(webhook = %id, %error, "a test ended without a result");
        Problem::new(ErrorCode::Internal, ErrorCode::Internal.help())
    })?;
    result.map_err(|error| match error {
        TestError::NotMade(fault) if fault.is_of_proxy() => Problem::new(
            ErrorCode::Unavailable,
            "nothing was sent: the egress proxy of this deployment can't be used at the moment (GET /health/ready says more); ask its \
             operator",
        ),
        TestError::NotMade(_) => {
            Problem::new(ErrorCode::Overloaded, "nothing was sent: the engine lacks open files, memory or ports")
        }
        TestError::Store(error) => Problem::from(error),
    })
}

/// `POST /v1/webhooks/{id}/resume`: responds when all deliveries that waited for a retry are due.
pub(crate) async fn resume(
    request: HttpRequest,
    Tenant(organization_id): Tenant,
    author: Author,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let id: EndpointId = path_id(&request, "webhook_id", WHAT)?;
    let deliveries = resume_webhook(&api, &author, organization_id, id).await?;
    Ok(HttpResponse::Accepted().json(Queued { deliveries }))
}

/// Closes a webhook's circuit breaker and makes the deliveries that wait for a retry due now. Returns their number.
pub(crate) async fn resume_webhook(
    api: &web::Data<Api>,
    by: &Author,
    organization_id: OrganizationId,
    id: EndpointId,
) -> Result<usize, Problem> {
    if !api.find_endpoint(organization_id, id).await?.endpoint.active {
        return Err(Problem::new(
            ErrorCode::Conflict,
            "the webhook is disabled, so nothing is sent to it; set active to true, then what waits goes out",
        ));
    }
    let entry = by.entry(api, Some(organization_id), AuditAction::WebhookResumed, id, [None, None]);
    api.do_long_work(organization_id, resume_in_steps(web::Data::clone(api), entry, organization_id, id)).await
}

/// Step by step, like a recovery. The breaker first: the deliveries that become due must not wait for its probe.
async fn resume_in_steps(
    api: web::Data<Api>,
    entry: AuditEntry,
    organization_id: OrganizationId,
    id: EndpointId,
) -> Result<usize, Problem> {
    let now = api.engine.now();
    let mut deliveries = 0;
    let close = move |store: &dyn Store| store.recording(entry).close_breaker(organization_id, id);
    let mut size = first_step();
    let mut ended = api.next_step(organization_id, &mut size, close).await.map(|()| None);
    while let Ok(after) = ended {
        let rows = size.rows();
        let step = move |store: &dyn Store| store.make_due(organization_id, id, after, rows, now);
        ended = match api.next_step(organization_id, &mut size, step).await {
            Ok(step) => {
                deliveries += step.deliveries;
                if step.next.is_none() {
                    break;
                }
                Ok(step.next)
            }
            Err(problem) => Err(problem),
        };
    }
    // also when it ended halfway: another call handles the remaining deliveries
    api.engine.endpoint_resumed(organization_id, id);
    ended.map(|_| deliveries)
}

/// `POST /v1/webhooks/{id}/recover {since, until?, status?, rounds?}`: responds when the last of them is enqueued.
pub(crate) async fn recover(
    request: HttpRequest,
    payload: web::Payload,
    Tenant(organization_id): Tenant,
    author: Author,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let id: EndpointId = path_id(&request, "webhook_id", WHAT)?;
    let body = read_body(&request, payload, MANAGEMENT_LIMIT_BYTES).await?;
    let deliveries = recover_from(&api, &author, organization_id, id, &body).await?;
    Ok(HttpResponse::Accepted().json(Queued { deliveries }))
}

/// The number of deliveries that [`recover_from`] would enqueue, or [`COUNTED_AT_MOST`] + 1 if it is larger than that.
pub(crate) async fn count_recoverable(
    api: &Api,
    organization_id: OrganizationId,
    id: EndpointId,
    body: &[u8],
) -> Result<usize, Problem> {
    let range = read_range(body, api.engine.now())?;
    api.find_endpoint(organization_id, id).await?;
    api.read(organization_id, move |store| store.count_range(organization_id, id, &range, COUNTED_AT_MOST + 1))
        .await
}

/// Enqueues the deliveries that the body describes. Returns their number.
pub(crate) async fn recover_from(
    api: &web::Data<Api>,
    by: &Author,
    organization_id: OrganizationId,
    id: EndpointId,
    body: &[u8],
) -> Result<usize, Problem> {
    let range = read_range(body, api.engine.now())?;
    recover_all(api, by, organization_id, id, range).await
}

/// Enqueues the deliveries of a range. Returns their number.
async fn recover_all(
    api: &web::Data<Api>,
    by: &Author,
    organization_id: OrganizationId,
    id: EndpointId,
    range: RequeueRange,
) -> Result<usize, Problem> {
    let now = api.engine.now();
    api.find_endpoint(organization_id, id).await?;
    let RequeueRange { since, until, status, rounds } = range;
    let shown = json!({"since": since, "until": until, "status": status, "rounds": rounds});
    let entry = by.entry(api, Some(organization_id), AuditAction::WebhookRecovered, id, [None, Some(shown)]);
    let recovery = Recovery { organization_id, id, range, now };
    api.do_long_work(organization_id, recover_range(web::Data::clone(api), recovery, entry)).await
}

fn read_range(body: &[u8], now: UnixMillis) -> Result<RequeueRange, Problem> {
    let mut errors = Errors::new();
    let mut fields = JsonFields::parse(body, &mut errors)?;
    let since = fields.require("since", &mut errors, input::instant);
    let until = fields.read("until", &mut errors, input::instant).into_option().unwrap_or(now);
    let status = fields.read("status", &mut errors, read_status).into_option();
    let rounds = read_rounds(&mut fields, &mut errors);
    fields.finish(&mut errors);
    if since.is_some_and(|since| since >= until) {
        errors.add("since", format!("must be before until, which is {until}"));
    }
    errors.into_result()?;
    // an instant that is missing is among the errors
    let since = since.ok_or_else(|| Problem::input(Vec::new()))?;
    Ok(RequeueRange { since, until, status: status.unwrap_or(DeliveryStatus::Failed), rounds })
}

fn read_status(value: &RawValue, path: &str, errors: &mut Errors) -> Option<DeliveryStatus> {
    let text = input::string(value, path, errors)?;
    let status = DeliveryStatus::parse(&text);
    let status = status.filter(|status| matches!(status, DeliveryStatus::Failed | DeliveryStatus::Success));
    if status.is_none() {
        errors.add(path, "must be failed or success");
    }
    status
}

/// What is enqueued again.
#[derive(Clone, Copy)]
struct Recovery {
    organization_id: OrganizationId,
    id: EndpointId,
    range: RequeueRange,
    now: UnixMillis,
}

/// Step by step, so that other writes come in between. The engine is notified of the deliveries that were enqueued even
/// if the database fails halfway.
async fn recover_range(api: web::Data<Api>, recovery: Recovery, entry: AuditEntry) -> Result<usize, Problem> {
    let Recovery { organization_id, id, .. } = recovery;
    let mut deliveries = 0;
    let ended = requeue(&api, recovery, entry, &mut deliveries).await;
    if deliveries > 0 {
        api.engine.work_added(organization_id, vec![id]);
    }
    match ended {
        Err(problem) if deliveries > 0 => {
            tracing::warn!(webhook = %id, %problem, deliveries, "a recovery ended halfway");
            let detail = format!(
                "the database is not available; {deliveries} deliveries are queued again, ask once more for the rest"
            );
            Err(Problem::new(ErrorCode::Unavailable, detail))
        }
        ended => ended.map(|()| deliveries),
    }
}

/// The step that enqueues the first of them writes the entry.
async fn requeue(api: &Api, recovery: Recovery, entry: AuditEntry, deliveries: &mut usize) -> Result<(), Problem> {
    let Recovery { organization_id, id, range, now } = recovery;
    let mut after = None;
    let mut size = first_step();
    loop {
        let rows = size.rows();
        let entry = (*deliveries == 0).then(|| entry.clone());
        let step = move |store: &dyn Store| match entry {
            Some(entry) => store.recording(entry).requeue_range(organization_id, id, &range, after, rows, now),
            None => store.requeue_range(organization_id, id, &range, after, rows, now),
        };
        let page = api.next_step(organization_id, &mut size, step).await?;
        *deliveries += page.deliveries;
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::domain::round::Rounds;

    const NOW: UnixMillis = UnixMillis(1_734_345_045_007);

    #[test]
    fn a_recovery_covers_failed_deliveries_until_now_by_default() {
        let range = read_range(br#"{"since":"2024-12-16T10:00:00Z"}"#, NOW).unwrap();
        assert_eq!((range.until, range.status, range.rounds), (NOW, DeliveryStatus::Failed, Rounds::Schedule));
        let body =
            br#"{"since":"2024-12-16T10:00:00Z","until":"2024-12-16T10:30:00Z","status":"success","rounds":"once"}"#;
        let range = read_range(body, NOW).unwrap();
        assert_eq!((range.until, range.status), (UnixMillis(1_734_345_000_000), DeliveryStatus::Success));
        assert_eq!(range.rounds, Rounds::Once);
    }

    #[test]
    fn every_bad_field_of_a_range_is_named_at_once() {
        let problem =
            read_range(br#"{"since":1,"until":"x","status":"pending","rounds":"twice","dry_run":true}"#, NOW)
                .unwrap_err();
        let fields: Vec<&str> = problem.errors().iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["since", "until", "status", "rounds", "dry_run"]);
        for body in [
            r#"{"since":"2024-12-16T10:30:46Z"}"#,
            r#"{"since":"2024-12-16T10:00:00Z","until":"2024-12-16T10:00:00Z"}"#,
            "{}",
        ] {
            assert_eq!(read_range(body.as_bytes(), NOW).unwrap_err().errors()[0].field, "since", "{body}");
        }
    }
}
