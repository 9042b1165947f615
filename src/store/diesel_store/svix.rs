//! What only the Svix-compatible API keeps.

use diesel::prelude::*;

use super::super::connection::AnyConnection;
use super::super::models::{EndpointRow, HealthRow, corrupt, svix_id};
use super::super::schema::{endpoint_health, endpoints, organizations, svix_answers, svix_event_types};
use super::super::{
    AnswerState, AnswerTimes, EndpointStart, KeptAnswer, NamePage, StoreError, StoreResult, SvixStore,
};
use super::{DieselStore, sql_limit, tokens};
use crate::domain::ids::{EndpointId, OrganizationId};
use crate::domain::organization::OrganizationRef;
use crate::domain::svix::{Application, EndingTokens, Environment, EnvironmentEventType, EventTypeChange};
use crate::domain::svix_id::SvixId;
use crate::domain::time::UnixMillis;

/// Of an answer that is under way.
const UNDER_WAY: i16 = 0;

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = svix_event_types)]
struct EventTypeRow {
    name: String,
    description: String,
    archived: bool,
    deprecated: bool,
    schemas: Option<String>,
    feature_flags: Option<String>,
    group_name: Option<String>,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<EventTypeRow> for EnvironmentEventType {
    type Error = StoreError;
    fn try_from(row: EventTypeRow) -> StoreResult<Self> {
        let flags = row.feature_flags.as_deref().unwrap_or("[]");
        let feature_flags =
            serde_json::from_str(flags).map_err(|error| corrupt(format!("flags of {}: {error}", row.name)))?;
        Ok(Self {
            name: row.name,
            description: row.description,
            archived: row.archived,
            deprecated: row.deprecated,
            schemas: row.schemas,
            feature_flags,
            group_name: row.group_name,
            created_at: UnixMillis(row.created_at),
            updated_at: UnixMillis(row.updated_at),
        })
    }
}

fn flags_text(flags: &[String]) -> Option<String> {
    // a list of strings always serializes
    (!flags.is_empty()).then(|| serde_json::to_string(flags).unwrap_or_default())
}

/// Every column that a change can have; `None` stays.
#[derive(AsChangeset)]
#[diesel(table_name = svix_event_types)]
struct EventTypeChangeset<'a> {
    description: Option<&'a str>,
    archived: Option<bool>,
    deprecated: Option<bool>,
    schemas: Option<Option<&'a str>>,
    feature_flags: Option<Option<String>>,
    group_name: Option<Option<&'a str>>,
    updated_at: i64,
}

impl<'a> EventTypeChangeset<'a> {
    fn of(change: &'a EventTypeChange, now: UnixMillis) -> Self {
        Self {
            description: change.description.as_deref(),
            archived: change.archived,
            deprecated: change.deprecated,
            schemas: change.schemas.as_ref().map(Option::as_deref),
            feature_flags: change.feature_flags.as_deref().map(flags_text),
            group_name: change.group_name.as_ref().map(Option::as_deref),
            updated_at: now.0,
        }
    }

    fn whole(event_type: &'a EnvironmentEventType) -> Self {
        Self {
            description: Some(&event_type.description),
            archived: Some(event_type.archived),
            deprecated: Some(event_type.deprecated),
            schemas: Some(event_type.schemas.as_deref()),
            feature_flags: Some(flags_text(&event_type.feature_flags)),
            group_name: Some(event_type.group_name.as_deref()),
            updated_at: event_type.updated_at.0,
        }
    }
}

fn read(
    connection: &mut AnyConnection,
    environment: &Environment,
    name: &str,
) -> StoreResult<Option<EnvironmentEventType>> {
    let row: Option<EventTypeRow> = svix_event_types::table
        .find((environment.stored(), name))
        .select(EventTypeRow::as_select())
        .first(connection)
        .optional()?;
    row.map(EnvironmentEventType::try_from).transpose()
}

/// Adds an event type unless one is there. Returns whether it did.
fn add(
    connection: &mut AnyConnection,
    environment: &Environment,
    event_type: &EnvironmentEventType,
) -> StoreResult<bool> {
    let row = EventTypeRow {
        name: event_type.name.clone(),
        description: event_type.description.clone(),
        archived: event_type.archived,
        deprecated: event_type.deprecated,
        schemas: event_type.schemas.clone(),
        feature_flags: flags_text(&event_type.feature_flags),
        group_name: event_type.group_name.clone(),
        created_at: event_type.created_at.0,
        updated_at: event_type.updated_at.0,
    };
    let values = (svix_event_types::environment.eq(environment.stored()), row);
    let insert = diesel::insert_into(svix_event_types::table).values(values);
    let rows = match connection {
        AnyConnection::Sqlite(sqlite) => insert.on_conflict_do_nothing().execute(sqlite)?,
        AnyConnection::Postgres(postgres) => insert.on_conflict_do_nothing().execute(postgres)?,
    };
    Ok(rows > 0)
}

/// From its id, and when its tokens end.
fn application((id, ends): (i64, tokens::Columns)) -> Application {
    Application { id: OrganizationId(id), tokens: tokens::ends(ends) }
}

/// The row of an answer: when, status, body.
type AnswerRow = (i64, i16, Vec<u8>);

fn answer_row(connection: &mut AnyConnection, key_hash: &[u8; 32]) -> StoreResult<Option<AnswerRow>> {
    let row = svix_answers::table.find(key_hash.as_slice());
    let columns = (svix_answers::created_at, svix_answers::status, svix_answers::body);
    Ok(row.select(columns).first(connection).optional()?)
}

/// In whose place an answer is encrypted: what belongs to another key does not open here.
fn place(key_hash: &[u8; 32]) -> (OrganizationId, EndpointId) {
    let part = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&key_hash[at..at + 8]);
        i64::from_be_bytes(bytes)
    };
    (OrganizationId(part(0)), EndpointId(part(8)))
}

impl DieselStore {
    fn open_answer(&self, key_hash: &[u8; 32], status: i16, body: &[u8]) -> StoreResult<AnswerState> {
        if status == UNDER_WAY {
            return Ok(AnswerState::UnderWay);
        }
        let (owner, place) = place(key_hash);
        let body =
            self.cipher.decrypt(owner, place, body).map_err(|error| corrupt(format!("an answer: {error}")))?;
        let status = u16::try_from(status).map_err(|_| corrupt(format!("status {status} of an answer")))?;
        Ok(AnswerState::Answered(KeptAnswer { status, body: body.to_vec() }))
    }
}

impl SvixStore for DieselStore {
    fn application(&self, environment: &Environment, name: &OrganizationRef) -> StoreResult<Option<Application>> {
        self.key_readers.read(|connection| {
            let query = organizations::table
                .filter(organizations::environment.eq(environment.stored()))
                .select((organizations::id, tokens::COLUMNS));
            let row: Option<(i64, tokens::Columns)> = match name {
                OrganizationRef::Id(id) => {
                    query.filter(organizations::id.eq(id.0)).first(connection).optional()?
                }
                OrganizationRef::Uid(uid) => {
                    query.filter(organizations::uid.eq(uid.as_str())).first(connection).optional()?
                }
            };
            Ok(row.map(application))
        })
    }

    fn application_by_svix_id(&self, environment: &Environment, id: &SvixId) -> StoreResult<Option<Application>> {
        self.key_readers.read(|connection| {
            let row = organizations::table
                .filter(organizations::environment.eq(environment.stored()))
                .filter(organizations::svix_id.eq(id.as_str()))
                .select((organizations::id, tokens::COLUMNS));
            Ok(row.first(connection).optional()?.map(application))
        })
    }

    fn endpoint_by_svix_id(
        &self,
        organization_id: OrganizationId,
        id: &SvixId,
    ) -> StoreResult<Option<EndpointStart>> {
        self.readers.read(|connection| {
            let row: Option<(EndpointRow, Option<HealthRow>)> = endpoints::table
                .left_join(endpoint_health::table.on(endpoint_health::endpoint_id.eq(endpoints::id)))
                .filter(endpoints::organization_id.eq(organization_id.0))
                .filter(endpoints::svix_id.eq(id.as_str()))
                .filter(endpoints::deleted_at.is_null())
                .select((EndpointRow::as_select(), Option::<HealthRow>::as_select()))
                .first(connection)
                .optional()?;
            row.map(|row| super::endpoints::start(row, &self.cipher)).transpose()
        })
    }

    fn svix_ids_of_endpoints(&self, organization_id: OrganizationId) -> StoreResult<Vec<(EndpointId, SvixId)>> {
        let rows: Vec<(i64, Option<String>)> = self.readers.read(|connection| {
            let named = endpoints::table
                .filter(endpoints::organization_id.eq(organization_id.0))
                .filter(endpoints::svix_id.is_not_null());
            Ok(named.select((endpoints::id, endpoints::svix_id)).load(connection)?)
        })?;
        let named = rows.iter().filter_map(|(id, text)| Some((EndpointId(*id), text.as_deref()?)));
        named.map(|(id, text)| Ok((id, svix_id(text)?))).collect()
    }

    fn environment_of(&self, id: OrganizationId) -> StoreResult<Option<Environment>> {
        let stored = self.key_readers.read(|connection| {
            let row = organizations::table.find(id.0).select(organizations::environment);
            Ok(row.first::<String>(connection).optional()?)
        })?;
        match stored.as_deref() {
            None => Ok(None),
            Some("") => Ok(Some(Environment::default())),
            Some(name) => name.parse().map(Some).map_err(|()| corrupt(format!("environment {name} of {id}"))),
        }
    }

    fn end_tokens(&self, id: OrganizationId, ends: EndingTokens, now: UnixMillis) -> StoreResult<bool> {
        self.end_tokens_of(id, ends, now)
    }

    fn environment_event_types(
        &self,
        environment: &Environment,
        page: &NamePage,
    ) -> StoreResult<Vec<EnvironmentEventType>> {
        self.readers.read(|connection| {
            let mut query = svix_event_types::table
                .filter(svix_event_types::environment.eq(environment.stored()))
                .limit(sql_limit(page.limit))
                .select(EventTypeRow::as_select())
                .into_boxed();
            if !page.with_archived {
                query = query.filter(svix_event_types::archived.eq(false));
            }
            if let Some(beyond) = &page.beyond {
                query = match page.is_descending {
                    true => query.filter(svix_event_types::name.lt(beyond)),
                    false => query.filter(svix_event_types::name.gt(beyond)),
                };
            }
            query = match page.is_descending {
                true => query.order(svix_event_types::name.desc()),
                false => query.order(svix_event_types::name.asc()),
            };
            let rows: Vec<EventTypeRow> = query.load(connection)?;
            rows.into_iter().map(EnvironmentEventType::try_from).collect()
        })
    }

    fn environment_event_type(
        &self,
        environment: &Environment,
        name: &str,
    ) -> StoreResult<Option<EnvironmentEventType>> {
        self.readers.read(|connection| read(connection, environment, name))
    }

    fn create_environment_event_type(
        &self,
        environment: &Environment,
        event_type: &EnvironmentEventType,
    ) -> StoreResult<Option<EnvironmentEventType>> {
        self.writer.write(|connection| {
            let archived = svix_event_types::table
                .find((environment.stored(), &event_type.name))
                .filter(svix_event_types::archived.eq(true));
            let replaced =
                diesel::update(archived).set(EventTypeChangeset::whole(event_type)).execute(connection)?;
            if replaced == 0 && !add(connection, environment, event_type)? {
                return Ok(None);
            }
            read(connection, environment, &event_type.name)
        })
    }

    fn put_environment_event_type(
        &self,
        environment: &Environment,
        event_type: &EnvironmentEventType,
    ) -> StoreResult<(EnvironmentEventType, bool)> {
        self.writer.write(|connection| {
            let is_new = add(connection, environment, event_type)?;
            if !is_new {
                diesel::update(svix_event_types::table.find((environment.stored(), &event_type.name)))
                    .set(EventTypeChangeset::whole(event_type))
                    .execute(connection)?;
            }
            // removed at the same moment by another node
            let stored = read(connection, environment, &event_type.name)?.ok_or(StoreError::Conflict)?;
            Ok((stored, is_new))
        })
    }

    fn change_environment_event_type(
        &self,
        environment: &Environment,
        name: &str,
        change: &EventTypeChange,
        now: UnixMillis,
    ) -> StoreResult<Option<EnvironmentEventType>> {
        self.writer.write(|connection| {
            diesel::update(svix_event_types::table.find((environment.stored(), name)))
                .set(EventTypeChangeset::of(change, now))
                .execute(connection)?;
            read(connection, environment, name)
        })
    }

    fn remove_environment_event_type(&self, environment: &Environment, name: &str) -> StoreResult<bool> {
        self.writer.write(|connection| {
            let row = svix_event_types::table.find((environment.stored(), name));
            Ok(diesel::delete(row).execute(connection)? > 0)
        })
    }

    fn begin_answer(&self, key_hash: &[u8; 32], times: AnswerTimes) -> StoreResult<AnswerState> {
        let known = self.writer.write(|connection| {
            // of two that begin at once one waits here for the other
            let claim = (
                svix_answers::key_hash.eq(key_hash.as_slice()),
                svix_answers::created_at.eq(times.now.0),
                svix_answers::status.eq(UNDER_WAY),
                svix_answers::body.eq(&[][..]),
            );
            let insert = diesel::insert_into(svix_answers::table).values(claim);
            let inserted = match connection {
                AnyConnection::Sqlite(sqlite) => insert.on_conflict_do_nothing().execute(sqlite)?,
                AnyConnection::Postgres(postgres) => insert.on_conflict_do_nothing().execute(postgres)?,
            };
            if inserted > 0 {
                return Ok(None);
            }
            let row = svix_answers::table.find(key_hash.as_slice());
            let is_abandoned =
                svix_answers::status.eq(UNDER_WAY).and(svix_answers::created_at.lt(times.abandoned_before.0));
            let is_forgotten =
                svix_answers::status.ne(UNDER_WAY).and(svix_answers::created_at.lt(times.kept_since.0));
            let taken_over = diesel::update(row.filter(is_abandoned.or(is_forgotten)))
                .set((svix_answers::created_at.eq(times.now.0), svix_answers::status.eq(UNDER_WAY)))
                .execute(connection)?;
            match taken_over {
                0 => answer_row(connection, key_hash),
                _ => Ok(None),
            }
        })?;
        match known {
            None => Ok(AnswerState::Begun),
            Some((_, status, body)) => self.open_answer(key_hash, status, &body),
        }
    }

    fn answer(&self, key_hash: &[u8; 32]) -> StoreResult<Option<AnswerState>> {
        let row = self.key_readers.read(|connection| answer_row(connection, key_hash))?;
        row.map(|(_, status, body)| self.open_answer(key_hash, status, &body)).transpose()
    }

    fn keep_answer(&self, key_hash: &[u8; 32], answer: Option<&KeptAnswer>, now: UnixMillis) -> StoreResult<()> {
        let row = svix_answers::table.find(key_hash.as_slice());
        let Some(answer) = answer else {
            return self.writer.write(|connection| {
                diesel::delete(row.filter(svix_answers::status.eq(UNDER_WAY))).execute(connection)?;
                Ok(())
            });
        };
        let (owner, place) = place(key_hash);
        let body = self.cipher.encrypt(owner, place, &answer.body)?;
        let status = i16::try_from(answer.status).map_err(|_| corrupt(format!("status {}", answer.status)))?;
        self.writer.write(|connection| {
            let kept = (
                svix_answers::created_at.eq(now.0),
                svix_answers::status.eq(status),
                svix_answers::body.eq(&body),
            );
            diesel::update(row).set(kept).execute(connection)?;
            Ok(())
        })
    }

    fn prune_answers(&self, before: UnixMillis, limit: usize) -> StoreResult<bool> {
        self.writer.write(|connection| {
            let old: Vec<Vec<u8>> = svix_answers::table
                .filter(svix_answers::created_at.lt(before.0))
                .order(svix_answers::created_at)
                .limit(sql_limit(limit))
                .select(svix_answers::key_hash)
                .load(connection)?;
            for key_hash in &old {
                diesel::delete(svix_answers::table.find(key_hash)).execute(connection)?;
            }
            Ok(old.len() >= limit)
        })
    }
}
