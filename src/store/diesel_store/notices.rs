//! Notices that wait to be told, in their table.

use std::collections::{BTreeMap, HashSet};

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

use super::super::connection::AnyConnection;
use super::super::models::corrupt;
use super::super::schema::{deliveries, endpoints, organizations, svix_notices};
use super::super::{Listening, Notice, NoticeStore, StoreResult, WriteBatch};
use super::endpoints::IsPending;
use super::{DieselStore, event_labels, sql_limit};
use crate::domain::endpoint::Endpoint;
use crate::domain::ids::{EventId, OrganizationId};
use crate::domain::notice::{NewNotice, NoticeKind};
use crate::domain::svix::Environment;
use crate::domain::time::UnixMillis;

/// Endpoints of an application of which the due deliveries are counted.
const ENDPOINTS_LOOKED_AT: i64 = 100;

/// Who is told about an organization's webhooks.
#[derive(QueryableByName)]
struct Listener {
    #[diesel(sql_type = BigInt)]
    application_id: i64,
    /// The organization's own.
    #[diesel(sql_type = Nullable<Text>)]
    uid: Option<String>,
}

/// Two rows by their keys, which are not locked: a notice for an application that is deleted meanwhile is removed untold. Nobody
/// listens to the management environment itself: what is told there would tell again.
const LISTENER: &str = "
    SELECT m.id AS application_id, o.uid AS uid FROM organizations o JOIN organizations m
        ON m.environment = $1 AND m.uid = CASE o.environment WHEN '' THEN $2 ELSE o.environment END
    WHERE o.id = $3 AND o.environment <> $1";

fn listener(connection: &mut AnyConnection, id: OrganizationId) -> StoreResult<Option<Listener>> {
    let query = diesel::sql_query(LISTENER)
        .bind::<Text, _>(Environment::management().to_string())
        .bind::<Text, _>(Environment::default().to_string())
        .bind::<BigInt, _>(id.0);
    Ok(query.get_result(connection).optional()?)
}

/// Writes notices about one organization, if anyone listens, in the transaction of what they tell.
pub(super) fn tell(
    connection: &mut AnyConnection,
    organization_id: OrganizationId,
    notices: impl FnOnce(&mut AnyConnection) -> StoreResult<Vec<NewNotice>>,
) -> StoreResult<()> {
    let Some(listener) = listener(connection, organization_id)? else { return Ok(()) };
    for mut notice in notices(connection)? {
        notice.facts.organization_uid.clone_from(&listener.uid);
        let row = (
            svix_notices::application_id.eq(listener.application_id),
            svix_notices::organization_id.eq(organization_id.0),
            svix_notices::cause.eq(notice.cause),
            svix_notices::event_type.eq(notice.kind.event_type()),
            svix_notices::facts.eq(serde_json::to_string(&notice.facts).map_err(corrupt)?),
        );
        let insert = diesel::insert_into(svix_notices::table).values(row);
        match connection {
            AnyConnection::Sqlite(sqlite) => insert.on_conflict_do_nothing().execute(sqlite)?,
            AnyConnection::Postgres(postgres) => insert.on_conflict_do_nothing().execute(postgres)?,
        };
    }
    Ok(())
}

/// Tells what a commit did: the endpoints that it disabled, and attempts whose outcomes it recorded.
pub(super) fn tell_commit(
    connection: &mut AnyConnection,
    batch: &WriteBatch,
    disabled: &[Endpoint],
    outcomes_recorded: &[bool],
) -> StoreResult<()> {
    for endpoint in disabled {
        tell(connection, endpoint.organization_id, |_| Ok(vec![of_disabled(batch, endpoint)]))?;
    }
    if batch.notices.is_empty() {
        return Ok(());
    }
    let recorded = batch.outcomes.iter().zip(outcomes_recorded).filter(|(_, recorded)| **recorded);
    let recorded: HashSet<(i64, u32)> =
        recorded.map(|(outcome, _)| (outcome.delivery_id.0, outcome.number)).collect();
    let is_recorded = |notice: &&NewNotice| {
        notice.facts.attempt.is_none_or(|attempt| recorded.contains(&(attempt.delivery_id, attempt.number)))
    };
    let mut by_organization: BTreeMap<OrganizationId, Vec<NewNotice>> = BTreeMap::new();
    for notice in batch.notices.iter().filter(is_recorded) {
        by_organization.entry(notice.organization_id).or_default().push(notice.clone());
    }
    for (organization_id, mut notices) in by_organization {
        tell(connection, organization_id, |connection| {
            let attempts = notices.iter().filter_map(|notice| notice.facts.attempt);
            let event_ids: Vec<i64> = attempts.map(|attempt| attempt.event_id).collect();
            let labels = event_labels::read(connection, organization_id, &event_ids)?;
            for notice in &mut notices {
                let event_id = notice.facts.attempt.map(|attempt| EventId(attempt.event_id));
                let of_event = event_id.and_then(|id| labels.get(&id));
                notice.facts.event_uid = of_event.and_then(|labels| labels.uid.clone());
            }
            Ok(notices)
        })?;
    }
    Ok(())
}

fn of_disabled(batch: &WriteBatch, endpoint: &Endpoint) -> NewNotice {
    let health = batch.health.iter().find(|saved| saved.health.endpoint_id == endpoint.id);
    NewNotice::of_disabled(endpoint, health.and_then(|saved| saved.health.failing_since))
}

type NoticeColumns = (i64, i64, i64, String, String, String);

fn notice((id, application_id, organization_id, cause, event_type, facts): NoticeColumns) -> StoreResult<Notice> {
    Ok(Notice {
        id,
        application_id: OrganizationId(application_id),
        organization_id: OrganizationId(organization_id),
        kind: NoticeKind::parse(&event_type),
        facts: serde_json::from_str(&facts).map_err(|error| corrupt(format!("notice {cause}: {error}")))?,
        cause,
    })
}

impl NoticeStore for DieselStore {
    fn listening(&self) -> StoreResult<Listening> {
        let management = Environment::management();
        self.engine_readers.read(|connection| {
            let applications: Vec<(i64, Option<String>)> = organizations::table
                .filter(organizations::environment.eq(management.stored()))
                .select((organizations::id, organizations::uid))
                .load(connection)?;
            if applications.is_empty() {
                return Ok(Listening::default());
            }
            // as the query of one organization says it
            let named: HashSet<&str> = applications.iter().filter_map(|(_, uid)| uid.as_deref()).collect();
            let is_told = |name: &str| named.contains(name) && name != management.stored();
            let others: Vec<(i64, String)> = organizations::table
                .filter(organizations::environment.ne(""))
                .select((organizations::id, organizations::environment))
                .load(connection)?;
            Ok(Listening {
                to_default: is_told(&Environment::default().to_string()),
                to_others: others.iter().map(|(id, name)| (OrganizationId(*id), is_told(name))).collect(),
                applications: applications.iter().map(|(id, _)| OrganizationId(*id)).collect(),
            })
        })
    }

    fn is_told(&self, organization_id: OrganizationId) -> StoreResult<bool> {
        let found = self.engine_readers.read(|connection| listener(connection, organization_id));
        Ok(found?.is_some())
    }

    fn notices(&self, behind: Option<OrganizationId>, limit: usize) -> StoreResult<Vec<Notice>> {
        let rows: Vec<NoticeColumns> = self.engine_readers.read(|connection| {
            let rest = svix_notices::table
                .filter(svix_notices::organization_id.gt(behind.map_or(i64::MIN, |id| id.0)))
                .order((svix_notices::organization_id, svix_notices::id))
                .limit(sql_limit(limit));
            Ok(rest.load(connection)?)
        })?;
        rows.into_iter().map(notice).collect()
    }

    fn remove_notices(&self, ids: &[i64]) -> StoreResult<()> {
        self.writer.write(|connection| {
            diesel::delete(svix_notices::table.filter(svix_notices::id.eq_any(ids))).execute(connection)?;
            Ok(())
        })
    }

    fn least_due(
        &self,
        application_id: OrganizationId,
        now: UnixMillis,
        most: usize,
    ) -> StoreResult<Option<usize>> {
        self.engine_readers.read(|connection| {
            let found: Option<i64> = organizations::table
                .find(application_id.0)
                .select(organizations::id)
                .first(connection)
                .optional()?;
            if found.is_none() {
                return Ok(None);
            }
            let active: Vec<i64> = endpoints::table
                .filter(endpoints::organization_id.eq(application_id.0))
                .filter(endpoints::deleted_at.is_null())
                .filter(endpoints::active.eq(true))
                .order(endpoints::id)
                .limit(ENDPOINTS_LOOKED_AT)
                .select(endpoints::id)
                .load(connection)?;
            let mut least: Option<usize> = None;
            for endpoint_id in active {
                let due = deliveries::table
                    .filter(deliveries::endpoint_id.eq(endpoint_id))
                    .filter(deliveries::queued_at.le(now.0))
                    .filter(IsPending)
                    .order((deliveries::queued_at, deliveries::id))
                    .limit(sql_limit(most))
                    .select(deliveries::id);
                let ids: Vec<i64> = due.load(connection)?;
                least = Some(least.map_or(ids.len(), |least| least.min(ids.len())));
                if ids.is_empty() {
                    break;
                }
            }
            Ok(Some(least.unwrap_or_default()))
        })
    }
}
