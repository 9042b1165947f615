//! `/v1/usage`: which organization uses how much of what all of them share, for the admin.

use std::collections::HashMap;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use super::Api;
use super::input::Errors;
use super::line::Line;
use super::pagination::QueryString;
use super::problem::Problem;
use crate::actors::fairness::shares::Resource;
use crate::actors::fairness::usage::OrganizationUsage;
use crate::domain::ids::OrganizationId;

/// The organizations that are shown. Larger: a call reads more names, of organizations that use hardly anything.
const MAX_SHOWN: usize = 100;

#[derive(Serialize)]
pub(crate) struct UsageView {
    /// The largest user first.
    pub data: Vec<OrganizationUsageView>,
    pub totals: UsageTotals,
}

/// What one organization uses.
#[derive(Serialize)]
pub(crate) struct OrganizationUsageView {
    pub organization_id: OrganizationId,
    /// `None` when it was deleted a moment ago.
    pub name: Option<String>,
    pub supervisors: usize,
    pub attempts_in_flight: usize,
    pub payload_bytes: usize,
    pub uncommitted_events: usize,
    pub body_bytes: usize,
    pub rows_per_second: f64,
    pub reads_per_second: f64,
    pub waiting_reads: usize,
    pub waiting_changes: usize,
    pub refused_per_minute: f64,
}

/// What all organizations use together, and how much there is.
#[derive(Serialize)]
pub(crate) struct UsageTotals {
    /// The number of organizations that use anything; `data` has the largest of them.
    pub organizations: usize,
    pub supervisors: ResourceUse,
    pub attempts_in_flight: ResourceUse,
    pub payload_bytes: ResourceUse,
    pub uncommitted_events: ResourceUse,
    pub body_bytes: ResourceUse,
    pub rows_per_second: f64,
    pub reads_per_second: f64,
    pub refused_per_minute: f64,
}

/// A bounded resource.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct ResourceUse {
    pub used: usize,
    pub capacity: usize,
}

/// `GET /v1/usage`.
pub(crate) async fn read(request: HttpRequest, api: web::Data<Api>) -> Result<HttpResponse, Problem> {
    let mut errors = Errors::new();
    QueryString::parse(request.query_string(), &mut errors).finish(&mut errors);
    errors.into_result()?;
    Ok(HttpResponse::Ok().json(view(&api).await?))
}

/// Who uses how much now.
pub(crate) async fn view(api: &Api) -> Result<UsageView, Problem> {
    let mut usage = api.engine.shares().usage(api.engine.now());
    let totals = totals(api, &usage);
    usage.truncate(MAX_SHOWN);
    let ids: Vec<OrganizationId> = usage.iter().map(|usage| usage.organization_id).collect();
    let names = api.read(Line::Admin, move |store| {
        let mut names = HashMap::new();
        for id in ids {
            names.extend(store.organization(id)?.map(|found| (id, found.name)));
        }
        Ok(names)
    });
    let mut names = names.await?;
    let data = usage.into_iter().map(|usage| {
        let name = names.remove(&usage.organization_id);
        OrganizationUsageView::new(api, usage, name)
    });
    Ok(UsageView { data: data.collect(), totals })
}

fn totals(api: &Api, usage: &[OrganizationUsage]) -> UsageTotals {
    let shares = api.engine.shares();
    let of = |resource| ResourceUse { used: shares.held(resource), capacity: shares.capacity(resource) };
    let sum = |rate: fn(&OrganizationUsage) -> f64| rounded(usage.iter().map(rate).sum());
    UsageTotals {
        organizations: usage.len(),
        supervisors: of(Resource::Supervisors),
        attempts_in_flight: of(Resource::Attempts),
        payload_bytes: of(Resource::PayloadBytes),
        uncommitted_events: of(Resource::UncommittedEvents),
        body_bytes: of(Resource::BodyBytes),
        rows_per_second: sum(|usage| usage.rows_per_second),
        reads_per_second: sum(|usage| usage.reads_per_second),
        refused_per_minute: sum(|usage| usage.refused_per_minute),
    }
}

impl OrganizationUsageView {
    fn new(api: &Api, usage: OrganizationUsage, name: Option<String>) -> Self {
        let OrganizationUsage {
            organization_id,
            supervisors,
            attempts_in_flight,
            payload_bytes,
            uncommitted_events,
            body_bytes,
            rows_per_second,
            reads_per_second,
            refused_per_minute,
            largest_part: _,
        } = usage;
        Self {
            organization_id,
            name,
            supervisors,
            attempts_in_flight,
            payload_bytes,
            uncommitted_events,
            body_bytes,
            rows_per_second: rounded(rows_per_second),
            reads_per_second: rounded(reads_per_second),
            waiting_reads: api.turns.reads.waiting(organization_id),
            waiting_changes: api.turns.changes.waiting(organization_id),
            refused_per_minute: rounded(refused_per_minute),
        }
    }
}

/// To a tenth: rates are averages over ten seconds.
fn rounded(rate: f64) -> f64 {
    (rate * 10.0).round() / 10.0
}
