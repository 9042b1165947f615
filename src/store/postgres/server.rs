//! Requirements on a PostgreSQL server, database and role; each refusal says how to meet them.
//!
//! Everything that a session can set is set by ours ([`super::SESSION`]). This covers the rest: without it the
//! engine would start, and then every write would fail or be wrong, and every publish be answered with 503.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text};

use super::super::{StoreError, StoreResult};

/// `plan_cache_mode` and `tcp_user_timeout` exist since this version.
const OLDEST_VERSION: i32 = 120_000;

#[derive(QueryableByName)]
struct ServerSettings {
    #[diesel(sql_type = Integer)]
    version_number: i32,
    #[diesel(sql_type = Text)]
    version: String,
    #[diesel(sql_type = Text)]
    encoding: String,
    #[diesel(sql_type = Text)]
    fsync: String,
    #[diesel(sql_type = Bool)]
    is_standby: bool,
}

/// Encodings that can store every text. `SQL_ASCII` stores bytes unchanged, and ours are UTF-8: `initdb`
/// chooses it if there is no locale.
const USABLE_ENCODINGS: [&str; 2] = ["UTF8", "SQL_ASCII"];

const SERVER: &str = "
    SELECT current_setting('server_version_num')::INTEGER AS version_number, current_setting('server_version') AS version,
           current_setting('server_encoding') AS encoding, current_setting('fsync') AS fsync,
           pg_is_in_recovery() AS is_standby";

/// Checks the server and the database, before anything else is done with them.
pub(super) fn check(postgres: &mut PgConnection) -> StoreResult<()> {
    let server: ServerSettings = diesel::sql_query(SERVER).get_result(postgres)?;
    match server.problem() {
        Some(problem) => Err(StoreError::Refused(problem)),
        None => Ok(()),
    }
}

#[derive(QueryableByName)]
struct Backend {
    #[diesel(sql_type = Integer)]
    pid: i32,
}

/// The process of the server that serves this connection now.
pub(super) fn backend(postgres: &mut PgConnection) -> StoreResult<i32> {
    let backend: Backend = diesel::sql_query("SELECT pg_backend_pid() AS pid").get_result(postgres)?;
    Ok(backend.pid)
}

impl ServerSettings {
    fn problem(&self) -> Option<String> {
        if self.version_number < OLDEST_VERSION {
            return Some(format!("PostgreSQL {} is too old; use version 12 or newer", self.version));
        }
        if !USABLE_ENCODINGS.contains(&self.encoding.as_str()) {
            return Some(format!(
                "this PostgreSQL database is encoded in {}, which can't store every text; it must be UTF8. Create one with \
                 CREATE DATABASE ringback ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0 and name it in the database URL",
                self.encoding
            ));
        }
        if self.is_standby {
            return Some(String::from(
                "this PostgreSQL server is a standby, which takes no writes; name the primary in the database URL, or both \
                 and target_session_attrs=read-write",
            ));
        }
        // no session can override this
        (self.fsync != "on").then(|| {
            String::from(
                "this PostgreSQL server runs with fsync = off: it would lose acknowledged events; switch it on",
            )
        })
    }
}

#[derive(QueryableByName)]
struct Standbys {
    #[diesel(sql_type = BigInt)]
    connected: i64,
    #[diesel(sql_type = Text)]
    synchronous: String,
}

/// Says what an acknowledged event survives, if there are standbys.
pub(in super::super) fn note_standbys(postgres: &mut PgConnection) -> StoreResult<()> {
    // a role without rights sees the rows, with empty columns
    let Standbys { connected, synchronous } = diesel::sql_query(
        "SELECT count(*) AS connected, current_setting('synchronous_standby_names') AS synchronous \
         FROM pg_stat_replication",
    )
    .get_result(postgres)?;
    if !synchronous.is_empty() {
        tracing::info!(
            synchronous_standby_names = synchronous,
            connected,
            "an event is acknowledged when a synchronous standby has it too: a failover to that one loses nothing"
        );
    } else if connected > 0 {
        tracing::warn!(
            connected,
            "PostgreSQL has standbys, but none is synchronous: a failover can lose what was acknowledged in the last moments \
             before it; with synchronous_standby_names it loses nothing (docs/cluster.md)"
        );
    }
    Ok(())
}

#[derive(QueryableByName)]
struct SchemaRights {
    #[diesel(sql_type = Text)]
    role: String,
    #[diesel(sql_type = Nullable<Text>)]
    schema: Option<String>,
    #[diesel(sql_type = Bool)]
    may_create: bool,
}

/// Checks that the role may create tables, and use existing ones, which another role can have created.
pub(super) fn check_rights(postgres: &mut PgConnection) -> StoreResult<()> {
    check_schema(postgres)?;
    check_tables(postgres)
}

/// Checked even if there is nothing to create: Diesel's look for migrations needs the right too.
fn check_schema(postgres: &mut PgConnection) -> StoreResult<()> {
    let SchemaRights { role, schema, may_create } = diesel::sql_query(
        "SELECT current_user::TEXT AS role, current_schema()::TEXT AS schema, \
         COALESCE(has_schema_privilege(current_schema()::TEXT, 'CREATE'), false) AS may_create",
    )
    .get_result(postgres)?;
    match schema {
        None => Err(StoreError::Refused(format!(
            "the search path of the PostgreSQL role {role} has no existing schema; create one, or set another path with \
             ALTER ROLE {role} SET search_path = public"
        ))),
        Some(schema) if !may_create => Err(StoreError::Refused(format!(
            "the PostgreSQL role {role} may not create tables in the schema {schema}; as its owner run \
             GRANT CREATE, USAGE ON SCHEMA {schema} TO {role}, or make {role} the owner of the database"
        ))),
        Some(_) => Ok(()),
    }
}

#[derive(QueryableByName)]
struct ForbiddenTable {
    #[diesel(sql_type = Text)]
    schema: String,
    #[diesel(sql_type = Text)]
    table: String,
    #[diesel(sql_type = Text)]
    role: String,
}

fn check_tables(postgres: &mut PgConnection) -> StoreResult<()> {
    let forbidden: Option<ForbiddenTable> = diesel::sql_query(
        "SELECT schemaname::TEXT AS schema, tablename::TEXT AS table, current_user::TEXT AS role FROM pg_tables \
         WHERE schemaname = current_schema() AND tablename IN ('__diesel_schema_migrations', 'organizations', 'deleted_organizations', 'api_keys', \
         'counters', 'setting_changes', 'dashboard_sessions', 'sign_in_links', 'master_key', 'oldest_reader', 'cluster_nodes', 'cluster_fences', 'cluster_partitions', 'cluster_pins', 'endpoints', 'endpoint_health', 'events', 'event_labels', 'audit_log', 'deliveries', 'attempts', 'idempotency_keys', 'id_leads', 'event_types', \
         'delivery_statistics', 'endpoint_failures', 'svix_event_types', 'svix_answers', 'svix_tasks', \
         'svix_notices') AND NOT (\
         has_table_privilege(quote_ident(schemaname) || '.' || quote_ident(tablename), 'SELECT') \
         AND has_table_privilege(quote_ident(schemaname) || '.' || quote_ident(tablename), 'INSERT') \
         AND has_table_privilege(quote_ident(schemaname) || '.' || quote_ident(tablename), 'UPDATE') \
         AND has_table_privilege(quote_ident(schemaname) || '.' || quote_ident(tablename), 'DELETE')) LIMIT 1",
    )
    .get_result(postgres)
    .optional()?;
    match forbidden {
        None => Ok(()),
        Some(ForbiddenTable { schema, table, role }) => Err(StoreError::Refused(format!(
            "the PostgreSQL role {role} may not read and write the table {table}; connect as its owner, or run as the owner \
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usable() -> ServerSettings {
        let (version, encoding, fsync) = (String::from("15.4"), String::from("UTF8"), String::from("on"));
        ServerSettings { version_number: 150_004, version, encoding, fsync, is_standby: false }
    }

    #[test]
    fn a_server_that_would_lose_or_refuse_writes_is_refused_with_a_remedy() {
        assert_eq!(usable().problem(), None);
        let old = ServerSettings { version_number: 110_022, version: String::from("11.22"), ..usable() };
        for (server, hint) in [
            (old, "11.22 is too old; use version 12"),
            (ServerSettings { encoding: String::from("LATIN1"), ..usable() }, "ENCODING 'UTF8'"),
            (ServerSettings { encoding: String::from("EUC_JP"), ..usable() }, "TEMPLATE template0"),
            (ServerSettings { is_standby: true, ..usable() }, "name the primary"),
            (ServerSettings { fsync: String::from("off"), ..usable() }, "switch it on"),
        ] {
            let problem = server.problem().unwrap_or_default();
            assert!(problem.contains(hint), "{problem}");
        }
    }
}
