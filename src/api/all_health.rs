//! The health of all organizations, for whoever operates the deployment.

use std::collections::HashSet;

use serde::Serialize;

use super::Api;
use super::health_views::{BacklogView, StatesView};
use super::line::Line;
use super::pagination::{List, RequestedPage};
use super::problem::Problem;
use crate::domain::event::EventFilter;
use crate::domain::health::OrganizationInTrouble;
use crate::domain::ids::OrganizationId;
use crate::domain::organization::{Organization, OrganizationUid};
use crate::domain::time::UnixMillis;
use crate::store::{PageRequest, Store, StoreResult};

/// Organizations that come first because they have trouble; if there are more, the others stand among those without. Larger:
/// each page sorts more of them.
const MOST_IN_TROUBLE: usize = 1_000;

/// An organization with its health.
#[derive(Debug, Serialize)]
pub(crate) struct OrganizationSummary {
    pub organization_id: OrganizationId,
    pub uid: Option<OrganizationUid>,
    pub name: String,
    pub webhooks: StatesView,
    /// Since when the longest failing of them fails.
    pub failing_since: Option<UnixMillis>,
    pub backlog: BacklogView,
    /// When its newest event was accepted, of those that are still kept.
    pub last_event_at: Option<UnixMillis>,
}

/// A page: first those whose webhooks fail or fall behind, who have for longest first, then the others, newest first.
pub(crate) async fn of_query(api: &Api, query: &str) -> Result<List<OrganizationSummary>, Problem> {
    page(api, RequestedPage::of_query(query)?).await
}

/// The same, once the page is known.
pub(crate) async fn page(api: &Api, page: RequestedPage) -> Result<List<OrganizationSummary>, Problem> {
    let PageRequest { before_id, limit } = page.request();
    let limit = limit - 1;
    api.read(Line::Admin, move |store| {
        let troubled = store.organizations_in_trouble(MOST_IN_TROUBLE)?;
        let (rows, next) = choose(store, &troubled, before_id, limit)?;
        let data = rows.into_iter().map(|(organization, trouble)| summary(store, organization, trouble));
        let data = data.collect::<StoreResult<Vec<_>>>()?;
        Ok(List { data, next_cursor: None }.going_on_before(next))
    })
    .await
}

type Row = (Organization, Option<OrganizationInTrouble>);

/// The rows of a page, and where the next one begins. A place among those in trouble is a number from 1 to
/// [`MOST_IN_TROUBLE`], which no id is; behind them it is the id of the last organization.
fn choose(
    store: &dyn Store,
    troubled: &[OrganizationInTrouble],
    begin: Option<i64>,
    limit: usize,
) -> StoreResult<(Vec<Row>, Option<i64>)> {
    let place = |number: i64| usize::try_from(number).ok().filter(|place| *place <= MOST_IN_TROUBLE);
    let skipped = begin.map_or(Some(0), place);
    let mut rows: Vec<Row> = Vec::new();
    if let Some(skipped) = skipped {
        for (number, trouble) in troubled.iter().enumerate().skip(skipped) {
            if rows.len() == limit {
                return Ok((rows, i64::try_from(number).ok()));
            }
            // one that was deleted meanwhile is left out
            if let Some(organization) = store.organization(trouble.organization_id)? {
                rows.push((organization, Some(*trouble)));
            }
        }
    }
    let shown: HashSet<OrganizationId> = troubled.iter().map(|trouble| trouble.organization_id).collect();
    let mut before_id = begin.filter(|_| skipped.is_none());
    loop {
        let found = store.organizations(PageRequest { before_id, limit: limit + 1 })?;
        let is_end = found.len() <= limit;
        for organization in found {
            if rows.len() == limit {
                return Ok((rows, before_id.or(Some(i64::MAX))));
            }
            before_id = Some(organization.id.0);
            if !shown.contains(&organization.id) {
                rows.push((organization, None));
            }
        }
        if is_end {
            return Ok((rows, None));
        }
    }
}

fn summary(
    store: &dyn Store,
    organization: Organization,
    trouble: Option<OrganizationInTrouble>,
) -> StoreResult<OrganizationSummary> {
    let Organization { id, uid, name, .. } = organization;
    let newest = store.events(id, &EventFilter::default(), PageRequest { before_id: None, limit: 1 })?;
    Ok(OrganizationSummary {
        organization_id: id,
        uid,
        name,
        webhooks: store.endpoint_states(id)?.into(),
        failing_since: trouble.and_then(|trouble| trouble.failing_since),
        backlog: store.pending(id, None)?.into(),
        last_event_at: newest.first().map(|event| event.accepted_at),
    })
}
