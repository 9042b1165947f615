//! What the database of Svix's server has. Only columns that are needed are named; those that older servers lack are absent.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Rows that are read at once.
const PAGE: i64 = 500;

#[derive(Deserialize)]
pub(super) struct SourceEventType {
    pub name: String,
    pub description: String,
    /// Archived, in what is said to users.
    pub deleted: bool,
    #[serde(default)]
    pub deprecated: bool,
    pub schemas: Option<Value>,
    pub feature_flag: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct SourceApplication {
    pub id: String,
    pub uid: Option<String>,
    pub name: String,
    pub rate_limit: Option<i64>,
    pub metadata: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
pub(super) struct SourceEndpoint {
    pub id: String,
    /// As PostgreSQL writes bytes: `\x` and hexadecimal digits.
    pub key: String,
    pub url: String,
    pub description: String,
    pub event_types_ids: Option<Vec<String>>,
    pub rate_limit: Option<i64>,
    pub disabled: bool,
    pub uid: Option<String>,
    pub old_keys: Option<Vec<SourceKey>>,
    pub channels: Option<Vec<String>>,
    pub headers: Option<BTreeMap<String, String>>,
    /// An expression over the payload.
    pub filter: Option<String>,
    pub metadata: Option<BTreeMap<String, String>>,
}

/// A replaced key that still signs.
#[derive(Deserialize)]
pub(super) struct SourceKey {
    #[serde(rename = "signingKey")]
    pub key: String,
    pub expiration: String,
}

/// A row, or why it can't be read, by its id.
pub(super) type Row<T> = Result<T, (String, String)>;

#[derive(QueryableByName)]
struct JsonRow {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Text)]
    row: String,
}

#[derive(QueryableByName)]
struct Texts {
    #[diesel(sql_type = Text)]
    text: String,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

#[derive(QueryableByName)]
struct Presence {
    #[diesel(sql_type = Nullable<Text>)]
    name: Option<String>,
}

/// The database. It is only read.
pub(super) struct Source {
    connection: PgConnection,
    has_application_metadata: bool,
    has_endpoint_metadata: bool,
}

impl Source {
    pub(super) fn open(url: &str) -> anyhow::Result<Self> {
        let connection = PgConnection::establish(url);
        let mut connection = connection.context("the database of Svix's server (--from) can't be opened")?;
        for setting in ["default_transaction_read_only = on", "bytea_output = 'hex'", "timezone = 'UTC'"] {
            diesel::sql_query(format!("SET {setting}")).execute(&mut connection)?;
        }
        for table in ["application", "endpoint", "eventtype"] {
            if !has_table(&mut connection, table)? {
                bail!("the database that --from names has no table `{table}`: is it that of Svix's server?");
            }
        }
        let has_application_metadata = has_table(&mut connection, "applicationmetadata")?;
        let has_endpoint_metadata = has_table(&mut connection, "endpointmetadata")?;
        Ok(Self { connection, has_application_metadata, has_endpoint_metadata })
    }

    /// The environments that have something.
    pub(super) fn environments(&mut self) -> anyhow::Result<Vec<String>> {
        let rows: Vec<Texts> = diesel::sql_query(
            "SELECT org_id AS text FROM application WHERE NOT deleted UNION SELECT org_id FROM eventtype ORDER BY 1",
        )
        .load(&mut self.connection)?;
        Ok(rows.into_iter().map(|row| row.text).collect())
    }

    /// How much there is to bring over from an environment.
    pub(super) fn count(&mut self, environment: &str) -> anyhow::Result<u64> {
        let counted: Number = diesel::sql_query(
            "SELECT (SELECT count(*) FROM eventtype WHERE org_id = $1) \
             + (SELECT count(*) FROM application WHERE org_id = $1 AND NOT deleted) \
             + (SELECT count(*) FROM endpoint e JOIN application a ON a.id = e.app_id \
                WHERE a.org_id = $1 AND NOT a.deleted AND NOT e.deleted) AS number",
        )
        .bind::<Text, _>(environment)
        .get_result(&mut self.connection)?;
        Ok(counted.number.unsigned_abs())
    }

    /// The event types of an environment behind this name, also archived ones.
    pub(super) fn event_types(
        &mut self,
        environment: &str,
        behind: &str,
    ) -> anyhow::Result<Vec<Row<SourceEventType>>> {
        let query = "SELECT name AS id, row_to_json(t)::TEXT AS row FROM eventtype t \
                     WHERE org_id = $1 AND name COLLATE \"C\" > $2 ORDER BY name COLLATE \"C\" LIMIT $3";
        self.page(query, environment, behind)
    }

    /// The applications of an environment behind this id.
    pub(super) fn applications(
        &mut self,
        environment: &str,
        behind: &str,
    ) -> anyhow::Result<Vec<Row<SourceApplication>>> {
        let metadata = metadata("applicationmetadata", self.has_application_metadata);
        let query = format!(
            "SELECT id, row_to_json(t)::TEXT AS row FROM (SELECT o.*, {metadata} FROM application o \
             WHERE org_id = $1 AND NOT deleted AND id > $2 ORDER BY id LIMIT $3) t"
        );
        self.page(&query, environment, behind)
    }

    /// The endpoints of an application behind this id.
    pub(super) fn endpoints(
        &mut self,
        application: &str,
        behind: &str,
    ) -> anyhow::Result<Vec<Row<SourceEndpoint>>> {
        let metadata = metadata("endpointmetadata", self.has_endpoint_metadata);
        let query = format!(
            "SELECT id, row_to_json(t)::TEXT AS row FROM (SELECT o.*, {metadata} FROM endpoint o \
             WHERE app_id = $1 AND NOT deleted AND id > $2 ORDER BY id LIMIT $3) t"
        );
        self.page(&query, application, behind)
    }

    fn page<T: DeserializeOwned>(
        &mut self,
        query: &str,
        owner: &str,
        behind: &str,
    ) -> anyhow::Result<Vec<Row<T>>> {
        let query = diesel::sql_query(query.to_owned()).bind::<Text, _>(owner.to_owned());
        let query = query.bind::<Text, _>(behind.to_owned()).bind::<BigInt, _>(PAGE);
        let rows: Vec<JsonRow> = query
            .load(&mut self.connection)
            .context("the tables are not those of Svix's server as it is known")?;
        let read =
            |JsonRow { id, row }: JsonRow| serde_json::from_str(&row).map_err(|error| (id, error.to_string()));
        Ok(rows.into_iter().map(read).collect())
    }
}

fn metadata(table: &str, is_there: bool) -> String {
    match is_there {
        true => format!("(SELECT m.data FROM {table} m WHERE m.id = o.id) AS metadata"),
        false => "NULL AS metadata".to_owned(),
    }
}

fn has_table(connection: &mut PgConnection, name: &str) -> anyhow::Result<bool> {
    let query = diesel::sql_query("SELECT to_regclass($1)::TEXT AS name").bind::<Text, _>(name);
    Ok(query.get_result::<Presence>(connection)?.name.is_some())
}
