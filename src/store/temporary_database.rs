//! Databases for one run of the load-testing harness.

use std::path::Path;

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel::{PgConnection, SqliteConnection, sql_query};

use super::{StoreError, StoreResult};

/// A database that is dropped with this handle.
pub struct TemporaryDatabase {
    url: String,
    /// The URL of the PostgreSQL server, and the name of the database there.
    server: Option<(String, String)>,
}

#[derive(QueryableByName)]
struct Size {
    #[diesel(sql_type = BigInt)]
    bytes: i64,
}

impl TemporaryDatabase {
    /// A file; the owner of its folder removes it.
    pub fn sqlite(path: &Path) -> Self {
        Self { url: format!("sqlite://{}", path.display()), server: None }
    }

    /// A new database on the server of `url`, created as `url`'s user, who needs the right to. `name`
    /// distinguishes it from others: lower case letters and digits.
    pub fn postgres(url: &str, name: &str) -> StoreResult<Self> {
        let unusable = |reason: String| StoreError::Unavailable(reason);
        let name = format!("ringback_load_{name}");
        let mut own = url::Url::parse(url).map_err(|error| unusable(format!("not a database's URL: {error}")))?;
        own.set_path(&name);
        let mut connection = PgConnection::establish(url).map_err(|error| unusable(error.to_string()))?;
        sql_query(format!("CREATE DATABASE \"{name}\"")).execute(&mut connection)?;
        Ok(Self { url: own.to_string(), server: Some((url.to_owned(), name)) })
    }

    /// For `serve`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `sqlite` or `postgres`.
    pub fn kind(&self) -> &'static str {
        if self.server.is_some() { "postgres" } else { "sqlite" }
    }

    /// Its size on disk without the write-ahead log; `None` if it can't be queried.
    pub fn size_bytes(&self) -> Option<u64> {
        let size: Size = match (&self.server, self.url.strip_prefix("sqlite://")) {
            (Some(_), _) | (None, None) => sql_query("SELECT pg_database_size(current_database()) AS bytes")
                .get_result(&mut PgConnection::establish(&self.url).ok()?)
                .ok()?,
            (None, Some(path)) => {
                sql_query("SELECT page_count * page_size AS bytes FROM pragma_page_count(), pragma_page_size()")
                    .get_result(&mut SqliteConnection::establish(path).ok()?)
                    .ok()?
            }
        };
        u64::try_from(size.bytes).ok()
    }
}

impl Drop for TemporaryDatabase {
    fn drop(&mut self) {
        let Some((server, name)) = &self.server else { return };
        // the run is over: a database that remains is reported, and does no harm
        let dropped =
            PgConnection::establish(server).map_err(|error| error.to_string()).and_then(|mut connection| {
                sql_query(format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)"))
                    .execute(&mut connection)
                    .map_err(|error| error.to_string())
            });
        if let Err(error) = dropped {
            eprintln!("the database {name} could not be dropped: {error}");
        }
    }
}
