//! The health of a webhook and of an organization: `/v1/webhooks/{id}/health`, `/v1/health`.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use super::caller::{Caller, Tenant};
use super::health_views::{BacklogView, StatesView};
use super::input::Errors;
use super::pagination::QueryString;
use super::problem::{ErrorCode, Problem};
use super::webhooks::WHAT;
use super::{Api, all_health, path_id};
use crate::actors::statistics::CurrentStatistics;
use crate::domain::credentials::CertificateFacts;
use crate::domain::health::EndpointState;
use crate::domain::ids::{DeliveryId, EndpointId, OrganizationId};
use crate::domain::last_failure::LastFailure;
use crate::domain::statistics::{PeriodCounts, PeriodStatistics, period_start};
use crate::domain::time::UnixMillis;
use crate::store::{Store, StoreResult};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

#[derive(Serialize)]
pub(crate) struct WebhookHealthView {
    pub state: EndpointState,
    /// The circuit breaker.
    pub breaker: BreakerView,
    /// Since when it fails, with no success since.
    pub failing_since: Option<UnixMillis>,
    pub pending: u64,
    /// When the oldest pending delivery was created.
    pub oldest_pending_at: Option<UnixMillis>,
    /// The end of its client certificate.
    pub client_certificate: Option<CertificateHealthView>,
    /// The newest failed attempt, even if others succeeded after it.
    pub last_failure: Option<LastFailureView>,
    pub last_1h: PeriodView,
    pub last_24h: PeriodView,
}

/// How close the end of a certificate is.
#[derive(Serialize)]
pub(crate) struct CertificateHealthView {
    /// `valid`, `expiring` or `expired`.
    pub state: &'static str,
    /// Receivers refuse it from then on.
    pub not_after: UnixMillis,
    /// Whole days until then; `null` when it is over.
    pub days_left: Option<u64>,
}

impl CertificateHealthView {
    fn new(facts: &CertificateFacts, now: UnixMillis) -> Self {
        Self { state: facts.state(now).as_str(), not_after: facts.not_after, days_left: facts.days_left(now) }
    }
}

/// A summary of a failed attempt.
#[derive(Serialize)]
pub(crate) struct LastFailureView {
    /// When it ended.
    pub at: UnixMillis,
    /// Its delivery, which may no longer be in the log.
    pub delivery_id: DeliveryId,
    /// The status of the response.
    pub response_code: Option<u16>,
    /// Why there was no response.
    pub error: Option<String>,
    /// The beginning of the response's body: 512 bytes, with invalid UTF-8 replaced.
    pub response_excerpt: Option<String>,
}

impl From<LastFailure> for LastFailureView {
    fn from(failure: LastFailure) -> Self {
        let response_excerpt = failure.text();
        let LastFailure { at, delivery_id, response_code, error, .. } = failure;
        Self { at, delivery_id, response_code, error, response_excerpt }
    }
}

/// The breaker of a webhook.
#[derive(Serialize)]
pub(crate) struct BreakerView {
    /// `closed` or `open`.
    pub state: &'static str,
    /// While it is open: when its probe is due.
    pub probe_at: Option<UnixMillis>,
}

#[derive(Serialize)]
struct OrganizationHealthView {
    webhooks: StatesView,
    backlog: BacklogView,
    last_1h: PeriodView,
    last_24h: PeriodView,
}

/// Attempts and deliveries that ended in a period. Counted in steps of 5 minutes: the period's first step is included whole.
/// From kept counts, so that it costs the same at any number of deliveries.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct PeriodView {
    /// Attempts, including those of deliveries that are still pending.
    pub attempts: u64,
    /// The failed ones, whether or not a retry follows.
    pub failed_attempts: u64,
    /// Those that succeeded or failed.
    pub deliveries: u64,
    /// From 0 to 1; `null` when there are none.
    pub success_rate: Option<f64>,
    /// Response times of all attempts, including those without a response, with an error of at most a quarter.
    pub latency_ms: LatencyView,
}

/// Percentiles of response times.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct LatencyView {
    pub p50: Option<u64>,
    pub p95: Option<u64>,
    pub p99: Option<u64>,
}

impl From<PeriodCounts> for PeriodView {
    fn from(counts: PeriodCounts) -> Self {
        let deliveries = counts.succeeded.saturating_add(counts.failed);
        Self {
            attempts: counts.attempts(),
            failed_attempts: counts.failed_attempts(),
            deliveries,
            success_rate: (deliveries > 0).then(|| counts.succeeded as f64 / deliveries as f64),
            latency_ms: LatencyView {
                p50: counts.latency.percentile(50),
                p95: counts.latency.percentile(95),
                p99: counts.latency.percentile(99),
            },
        }
    }
}

/// The last hour and the last day of a webhook, or of the organization.
fn periods(
    store: &dyn Store,
    counted: &CurrentStatistics,
    organization_id: OrganizationId,
    endpoint_id: Option<EndpointId>,
    now: UnixMillis,
) -> StoreResult<[PeriodView; 2]> {
    let counts: Vec<PeriodStatistics> = match endpoint_id {
        None => counted.of_organization(store, organization_id, now - DAY)?,
        Some(id) => {
            let counts = counted.of_endpoints(store, organization_id, &[id], now - DAY)?;
            counts.into_iter().map(|(_, counts)| counts).collect()
        }
    };
    Ok([HOUR, DAY].map(|period| {
        let since = now - period;
        let mut sum = PeriodCounts::default();
        let within = counts.iter().filter(|period| period.period_start >= period_start(since));
        within.for_each(|period| sum.merge(&period.counts));
        PeriodView::from(sum)
    }))
}

fn no_parameters(request: &HttpRequest) -> Result<(), Problem> {
    let mut errors = Errors::new();
    QueryString::parse(request.query_string(), &mut errors).finish(&mut errors);
    errors.into_result()
}

/// `GET /v1/webhooks/{id}/health`.
pub(crate) async fn webhook(
    request: HttpRequest,
    Tenant(organization_id): Tenant,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let id: EndpointId = path_id(&request, "webhook_id", WHAT)?;
    no_parameters(&request)?;
    Ok(HttpResponse::Ok().json(of_webhook(&api, organization_id, id).await?))
}

/// The health of one of the organization's webhooks.
pub(crate) async fn of_webhook(
    api: &Api,
    organization_id: OrganizationId,
    id: EndpointId,
) -> Result<WebhookHealthView, Problem> {
    let (now, counted) = (api.engine.now(), api.engine.statistics());
    let view = api.read(organization_id, move |store| {
        let Some(found) = store.find_endpoint(organization_id, id)? else { return Ok(None) };
        let pending = store.pending(organization_id, Some(id))?;
        let [last_1h, last_24h] = periods(store, &counted, organization_id, Some(id), now)?;
        let last_failure = counted.last_failure(store, organization_id, id)?;
        let probe_at = found.health.probe_at;
        let certificate = found.endpoint.credentials.client_certificate.as_deref();
        Ok(Some(WebhookHealthView {
            state: EndpointState::of(&found.endpoint, Some(&found.health)),
            breaker: BreakerView { state: if probe_at.is_some() { "open" } else { "closed" }, probe_at },
            failing_since: found.health.failing_since,
            pending: pending.pending,
            oldest_pending_at: pending.oldest_pending_at,
            client_certificate: certificate.map(|shown| CertificateHealthView::new(shown.facts(), now)),
            last_failure: last_failure.map(LastFailureView::from),
            last_1h,
            last_24h,
        }))
    });
    view.await?.ok_or_else(|| Problem::no_such(WHAT))
}

/// `GET /v1/health`, and with `?all=true` that of all organizations for the admin.
pub(crate) async fn read(
    request: HttpRequest,
    caller: web::ReqData<Caller>,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let mut errors = Errors::new();
    let mut query = QueryString::parse(request.query_string(), &mut errors);
    let of_all = query.read("all", &mut errors, |text| match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(String::from("must be true or false")),
    });
    if of_all == Some(true) {
        if !caller.is_admin() {
            let detail = "the health of all organizations is for the admin key, or a key of the deployment with the role admin, \
                          without the header Ringback-Organization";
            return Err(Problem::new(ErrorCode::Forbidden, detail));
        }
        let page = query.page(&mut errors);
        query.finish(&mut errors);
        errors.into_result()?;
        return Ok(HttpResponse::Ok().json(all_health::page(&api, page).await?));
    }
    query.finish(&mut errors);
    errors.into_result()?;
    let organization_id = caller.organization_id().ok_or_else(|| {
        let detail =
            "send the header Ringback-Organization with an id or uid, or ask for all organizations with ?all=true";
        Problem::new(ErrorCode::OrganizationRequired, detail)
    })?;
    Ok(HttpResponse::Ok().json(of_organization(&api, organization_id).await?))
}

async fn of_organization(api: &Api, organization_id: OrganizationId) -> Result<OrganizationHealthView, Problem> {
    let (now, counted) = (api.engine.now(), api.engine.statistics());
    let view = api.read(organization_id, move |store| {
        let [last_1h, last_24h] = periods(store, &counted, organization_id, None, now)?;
        Ok(OrganizationHealthView {
            webhooks: store.endpoint_states(organization_id)?.into(),
            backlog: store.pending(organization_id, None)?.into(),
            last_1h,
            last_24h,
        })
    });
    view.await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::statistics::LatencyCounts;

    #[test]
    fn nothing_delivered_has_no_rate_and_no_latency() {
        let view = PeriodView::from(PeriodCounts::default());
        assert_eq!((view.deliveries, view.success_rate), (0, None));
        assert_eq!(view.latency_ms, LatencyView { p50: None, p95: None, p99: None });
    }

    #[test]
    fn the_rate_counts_successes_among_all_that_ended() {
        let mut latency = LatencyCounts::default();
        [5, 5, 5, 5, 7].into_iter().for_each(|milliseconds| latency.record(milliseconds));
        let view = PeriodView::from(PeriodCounts { succeeded: 1, failed: 3, retried: 1, latency });
        assert_eq!((view.deliveries, view.success_rate), (4, Some(0.25)));
        assert_eq!((view.attempts, view.failed_attempts), (5, 4));
        assert_eq!(view.latency_ms, LatencyView { p50: Some(5), p95: Some(7), p99: Some(7) });
    }
}
