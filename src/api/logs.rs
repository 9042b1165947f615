//! `/v1/webhooks/logs`: the delivery log.

use std::str::FromStr;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::body::{MANAGEMENT_LIMIT_BYTES, read_body, response_body};
use super::caller::Tenant;
use super::input::{self, Errors, JsonFields};
use super::label_input::label;
use super::pagination::{List, QueryString, RequestedPage, read_instant};
use super::problem::{ErrorCode, Problem};
use super::{Api, path_id};
use crate::domain::attempt::AttemptRecord;
use crate::domain::delivery::{DeliveryFilter, DeliveryRecord, DeliveryStatus};
use crate::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId, ParseIdError};
use crate::domain::patterns::is_event_type;
use crate::domain::round::Rounds;
use crate::domain::time::UnixMillis;
use crate::store::{DeliveryDetail, LogPage, PageRequest, RequeueOutcome, StoreError, StoreResult};

#[derive(Serialize)]
pub(super) struct LogRow {
    id: DeliveryId,
    event_id: EventId,
    webhook_id: EndpointId,
    event_type: String,
    status: DeliveryStatus,
    attempt_count: u32,
    response_code: Option<u16>,
    error: Option<String>,
    created_at: UnixMillis,
    finished_at: Option<UnixMillis>,
    next_attempt_at: Option<UnixMillis>,
}

impl From<DeliveryRecord> for LogRow {
    fn from(record: DeliveryRecord) -> Self {
        Self {
            id: record.id,
            event_id: record.event_id,
            webhook_id: record.endpoint_id,
            event_type: record.event_type,
            status: record.status,
            attempt_count: record.attempt_count,
            response_code: record.response_code,
            error: record.error,
            created_at: record.created_at,
            finished_at: record.finished_at,
            next_attempt_at: record.next_attempt_at,
        }
    }
}

const WHAT: &str = "delivery";
/// How long a page that is not full continues to look for rows; one step of the store may exceed it. Smaller: rare rows
/// without an index take more pages. Larger: a page takes more than the goal of 20 ms (99 of 100), which must have room
/// for a slow step.
const LOOKS_ON_FOR: Duration = Duration::from_millis(6);

#[derive(Serialize)]
struct LogDetail<'a> {
    #[serde(flatten)]
    row: LogRow,
    /// The body verbatim, embedded and not serialized again.
    payload: Option<&'a RawValue>,
    payload_erased: bool,
    attempts: Vec<AttemptRecord>,
}

/// `GET /v1/webhooks/logs`.
pub(crate) async fn list(
    request: HttpRequest,
    Tenant(organization_id): Tenant,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let List { data, next_cursor } = page(&api, organization_id, request.query_string()).await?;
    let data: Vec<LogRow> = data.into_iter().map(LogRow::from).collect();
    Ok(HttpResponse::Ok().json(List { data, next_cursor }))
}

/// The page of the organization's log that a query string describes.
pub(crate) async fn page(
    api: &Api,
    organization_id: OrganizationId,
    query: &str,
) -> Result<List<DeliveryRecord>, Problem> {
    let (filter, page) = read_query(query)?;
    let log = api.read(organization_id, move |store| {
        let begin = Instant::now();
        let may_go_on = || begin.elapsed() < LOOKS_ON_FOR;
        look(page.request(), |request| store.deliveries(organization_id, &filter, request), may_go_on)
    });
    let log = log.await?;
    let next_before = log.next_before;
    Ok(page.list(log.rows, |row| row.id.0, |row| row).going_on_before(next_before))
}

/// Fills a page step by step until its time is up: rare rows without an index are looked for in a part of the log, and
/// the next page continues before that part.
fn look(
    page: PageRequest,
    mut step: impl FnMut(PageRequest) -> StoreResult<LogPage>,
    mut may_go_on: impl FnMut() -> bool,
) -> StoreResult<LogPage> {
    let mut log = step(page)?;
    while log.next_before.is_some() && may_go_on() {
        let rest = PageRequest { before_id: log.next_before, limit: page.limit - log.rows.len() };
        let LogPage { rows, next_before } = step(rest)?;
        log.rows.extend(rows);
        log.next_before = next_before;
    }
    Ok(log)
}

/// A delivery of the organization with its body and attempts.
pub(crate) async fn detail(
    api: &Api,
    organization_id: OrganizationId,
    id: DeliveryId,
) -> Result<DeliveryDetail, Problem> {
    let detail = api.read(organization_id, move |store| store.delivery(organization_id, id)).await?;
    detail.ok_or_else(|| Problem::no_such(WHAT))
}

/// A stored body as it is shown, and whether it was erased.
pub(super) fn payload(body: &[u8]) -> serde_json::Result<(Option<&RawValue>, bool)> {
    match body.is_empty() {
        true => Ok((None, true)),
        false => Ok((Some(serde_json::from_slice(body)?), false)),
    }
}

/// `GET /v1/webhooks/logs/{id}`: the row with the body and every attempt.
pub(crate) async fn read(
    request: HttpRequest,
    Tenant(organization_id): Tenant,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let id: DeliveryId = path_id(&request, "delivery_id", WHAT)?;
    let detail = detail(&api, organization_id, id).await?;
    // up to 10 MiB of body are read and copied
    let body = api.parse(organization_id, move || {
        let (payload, payload_erased) = payload(&detail.body)?;
        let (row, attempts) = (detail.record.into(), detail.attempts);
        serde_json::to_vec(&LogDetail { row, payload, payload_erased, attempts })
    });
    let body = body.await?.map_err(|error| {
        tracing::error!(delivery = %id, %error, "a stored body is not JSON");
        Problem::new(ErrorCode::Internal, ErrorCode::Internal.help())
    })?;
    Ok(HttpResponse::Ok().content_type("application/json").body(response_body(&api, organization_id, body)?))
}

/// `POST /v1/webhooks/logs/{id}/retry {rounds?}`: pending again, with a new round of its retry schedule or with one attempt. An
/// absent body means an empty object.
pub(crate) async fn retry(
    request: HttpRequest,
    payload: web::Payload,
    Tenant(organization_id): Tenant,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let id: DeliveryId = path_id(&request, "delivery_id", WHAT)?;
    let body = read_body(&request, payload, MANAGEMENT_LIMIT_BYTES).await?;
    let mut errors = Errors::new();
    let mut fields = JsonFields::parse(input::or_empty_object(&body), &mut errors)?;
    let rounds = read_rounds(&mut fields, &mut errors);
    fields.finish(&mut errors);
    errors.into_result()?;
    let row = retry_delivery(&api, organization_id, id, rounds).await?;
    Ok(HttpResponse::Accepted().json(LogRow::from(row)))
}

/// The field `rounds` of a resend.
pub(super) fn read_rounds(fields: &mut JsonFields<'_>, errors: &mut Errors) -> Rounds {
    let read = |value: &RawValue, path: &str, errors: &mut Errors| {
        let rounds = Rounds::parse(&input::string(value, path, errors)?);
        if rounds.is_none() {
            errors.add(path, "must be schedule or once");
        }
        rounds
    };
    fields.read("rounds", errors, read).into_option().unwrap_or_default()
}

/// Why a delivery was not made pending again.
#[derive(Debug)]
pub(crate) enum NotRetried {
    /// It is pending already.
    StillPending,
    /// Its webhook was deleted.
    WebhookGone,
    /// Its event can't be sent any more.
    PayloadErased,
    /// It does not exist, or the database failed.
    Problem(Problem),
}

impl From<Problem> for NotRetried {
    fn from(problem: Problem) -> Self {
        match problem.code() {
            ErrorCode::PayloadErased => Self::PayloadErased,
            _ => Self::Problem(problem),
        }
    }
}

impl From<NotRetried> for Problem {
    fn from(reason: NotRetried) -> Self {
        let detail = match reason {
            NotRetried::StillPending => "the delivery is pending: next_attempt_at says when it is tried",
            NotRetried::WebhookGone => "the delivery's webhook was deleted; replay the event to another one",
            NotRetried::PayloadErased => return StoreError::PayloadErased.into(),
            NotRetried::Problem(problem) => return problem,
        };
        Self::new(ErrorCode::Conflict, detail)
    }
}

/// Makes a delivery pending again. Returns its row afterwards.
pub(crate) async fn retry_delivery(
    api: &Api,
    organization_id: OrganizationId,
    id: DeliveryId,
    rounds: Rounds,
) -> Result<DeliveryRecord, NotRetried> {
    let now = api.engine.now();
    let engine = api.engine.clone();
    // all of it happens even if the client disconnects meanwhile
    let requeued = api.step(organization_id, move |store| {
        let requeued = store.requeue_delivery(organization_id, id, rounds, now)?;
        let RequeueOutcome::Requeued { endpoint_id } = requeued else { return Ok((requeued, None)) };
        // before the engine is notified, so that the row is as this call left it
        let page = PageRequest { before_id: Some(id.0.saturating_add(1)), limit: 1 };
        let rows = store.deliveries(organization_id, &DeliveryFilter::default(), page);
        engine.work_added(organization_id, vec![endpoint_id]);
        Ok((requeued, rows?.rows.pop().filter(|row| row.id == id)))
    });
    match requeued.await? {
        (RequeueOutcome::StillPending, _) => Err(NotRetried::StillPending),
        (RequeueOutcome::WebhookGone, _) => Err(NotRetried::WebhookGone),
        (RequeueOutcome::Requeued { .. }, Some(row)) => Ok(row),
        // deleted concurrently
        (RequeueOutcome::NotFound | RequeueOutcome::Requeued { .. }, _) => Err(Problem::no_such(WHAT).into()),
    }
}

fn read_query(query: &str) -> Result<(DeliveryFilter, RequestedPage), Problem> {
    let mut errors = Errors::new();
    let mut query = QueryString::parse(query, &mut errors);
    let page = query.page(&mut errors);
    let filter = DeliveryFilter {
        endpoint_id: query.read("webhook_id", &mut errors, read_id),
        event_id: query.read("event_id", &mut errors, read_id),
        event_type: query.read("event_type", &mut errors, read_event_type),
        tag: query.read("tag", &mut errors, label),
        status: query.read("status", &mut errors, |text| {
            DeliveryStatus::parse(text)
                .ok_or_else(|| "must be one of pending, success, failed, cancelled".to_owned())
        }),
        response_code: query.read("response_code", &mut errors, |text| {
            response_codes(text).ok_or_else(|| "must be a code such as 503 or a class such as 5xx".to_owned())
        }),
        from: query.read("from", &mut errors, read_instant),
        to: query.read("to", &mut errors, read_instant),
    };
    check_order(filter.from, filter.to, &mut errors);
    query.finish(&mut errors);
    errors.into_result()?;
    Ok((filter, page))
}

fn read_id<Id: FromStr<Err = ParseIdError>>(text: &str) -> Result<Id, String> {
    text.parse().map_err(|error: ParseIdError| error.to_string())
}

/// The parameter `event_type`.
pub(super) fn read_event_type(text: &str) -> Result<String, String> {
    match is_event_type(text) {
        true => Ok(text.to_owned()),
        false => Err("must be an event type, for example call.completed".to_owned()),
    }
}

/// Reports a range that ends before it begins.
pub(super) fn check_order(from: Option<UnixMillis>, to: Option<UnixMillis>, errors: &mut Errors) {
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        errors.add("from", "must not be after to");
    }
}

/// `503` or `5xx` as a range, both ends included.
fn response_codes(text: &str) -> Option<(u16, u16)> {
    let &[class @ b'1'..=b'5', tens, ones] = text.as_bytes() else { return None };
    let hundreds = u16::from(class - b'0') * 100;
    if tens.eq_ignore_ascii_case(&b'x') && ones.eq_ignore_ascii_case(&b'x') {
        return Some((hundreds, hundreds + 99));
    }
    let code = text.parse().ok()?;
    Some((code, code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: i64) -> DeliveryRecord {
        DeliveryRecord {
            id: DeliveryId(id),
            organization_id: OrganizationId(1),
            event_id: EventId(id),
            endpoint_id: EndpointId(2),
            event_type: String::new(),
            status: DeliveryStatus::Success,
            attempt_count: 1,
            response_code: Some(200),
            error: None,
            created_at: UnixMillis(id),
            finished_at: None,
            next_attempt_at: None,
        }
    }

    /// A log of 100 deliveries of which every tenth matches, and 30 are read in a step.
    fn step(page: PageRequest) -> StoreResult<LogPage> {
        let before = page.before_id.unwrap_or(100);
        let floor = (before - 30).max(0);
        let rows: Vec<_> = (floor..before).rev().filter(|id| id % 10 == 0).take(page.limit).map(row).collect();
        let next_before = Some(floor).filter(|floor| *floor > 0 && rows.len() < page.limit);
        Ok(LogPage { rows, next_before })
    }

    #[test]
    fn a_page_is_filled_until_its_time_is_up_and_says_where_the_next_one_begins() {
        for (limit, steps, rows, next_before) in [
            (2, 9, 2, None),
            (5, 9, 5, None),
            (50, 9, 10, None),
            (50, 0, 3, Some(70)),
            (50, 1, 6, Some(40)),
            (6, 1, 6, None),
        ] {
            let mut left = steps;
            let may_go_on = || {
                left -= 1;
                left >= 0
            };
            let log = look(PageRequest { before_id: None, limit }, step, may_go_on).unwrap();
            let ids: Vec<i64> = log.rows.iter().map(|row| row.id.0).collect();
            assert_eq!(ids, (0..10).rev().map(|ten| ten * 10).take(rows).collect::<Vec<_>>());
            assert_eq!(log.next_before, next_before, "{limit} rows in {steps} more steps");
        }
    }

    #[test]
    fn a_code_or_a_class_of_codes_is_a_range() {
        assert_eq!(response_codes("503"), Some((503, 503)));
        assert_eq!(response_codes("5xx"), Some((500, 599)));
        assert_eq!(response_codes("2XX"), Some((200, 299)));
        for bad in ["", "5x", "5x3", "600", "099", "6xx", "+50", "5xxx", "50é"] {
            assert_eq!(response_codes(bad), None, "{bad}");
        }
    }

    #[test]
    fn all_bad_parameters_are_named_at_once() {
        let query =
            "webhook_id=msg_1&event_type=A&status=done&response_code=9xx&from=x&to=y&limit=0&cursor=!&colour=red";
        let problem = read_query(query).unwrap_err();
        let mut fields: Vec<&str> = problem.errors().iter().map(|error| error.field.as_str()).collect();
        fields.sort_unstable();
        let expected =
            ["colour", "cursor", "event_type", "from", "limit", "response_code", "status", "to", "webhook_id"];
        assert_eq!(fields, expected);
        assert!(read_query("from=2024-12-16T10:30:45Z&to=2024-12-16T10:30:44Z").is_err());
    }

    #[test]
    fn an_instant_with_an_offset_is_read() {
        let (filter, _) = read_query("from=2024-12-16T12:30:45%2B02:00&status=failed").unwrap();
        assert_eq!(filter.from, Some(UnixMillis(1_734_345_045_000)));
        assert_eq!(filter.status, Some(DeliveryStatus::Failed));
    }
}
