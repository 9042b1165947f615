//! What `serve --dev` adds: a master key beside the database, the organization `dev`, and its owner key.

use std::fs;
use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;

use super::EngineError;
use super::system::SystemEntropy;
use crate::actors::handle::EngineHandle;
use crate::api::auth;
use crate::config::Settings;
use crate::dashboard::Dashboard;
use crate::domain::entropy::Entropy;
use crate::domain::ids::{KeyId, OrganizationId};
use crate::domain::organization::{ApiKey, Organization, Role};
use crate::domain::secret::Secret;
use crate::store::PageRequest;

const ORGANIZATION: &str = "dev";

/// The file `<database>.<suffix>` for SQLite, `ringback.db.<suffix>` in the working folder for PostgreSQL.
fn beside(database_url: &str, suffix: &str) -> PathBuf {
    let database = database_url.strip_prefix("sqlite://").unwrap_or("ringback.db");
    PathBuf::from(format!("{database}.{suffix}"))
}

/// The master key of a developer's machine: read, or made the first time.
pub fn master_key(database_url: &str) -> Result<Secret, EngineError> {
    let path = beside(database_url, "master-key");
    if let Some(key) = read(&path)? {
        return Ok(key);
    }
    let key = Secret::new(BASE64.encode(&SystemEntropy.seed()));
    write(&path, &key)?;
    Ok(key)
}

/// Makes the organization and its key when there is none, and prints what to do next.
pub fn greet(
    settings: &Settings,
    engine: &EngineHandle,
    dashboard: &Dashboard,
    address: SocketAddr,
    metrics: SocketAddr,
) -> Result<(), EngineError> {
    let key = owner_key(engine, &beside(&settings.database_url, "dev-key"))?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "development mode: http and private targets are allowed, never run this in public")?;
    writeln!(out, "  organization  {ORGANIZATION}")?;
    writeln!(out, "  owner key     {}", key.expose())?;
    let sign_in = dashboard.sign_in_once(auth::hash_key(key.expose()), &mut engine.rng(), engine.now());
    writeln!(out, "  dashboard     http://{address}{sign_in}  (signs in once)")?;
    writeln!(out, "  API           http://{address}/v1/webhooks")?;
    writeln!(out, "  metrics       http://{metrics}/metrics")?;
    writeln!(out, "next, in a second terminal: ringback listen, and in a third: ringback trigger call.completed")?;
    Ok(())
}

fn owner_key(engine: &EngineHandle, path: &Path) -> Result<Secret, EngineError> {
    if let Some(key) = read(path)? {
        let found = engine.store().key_by_hash(&auth::hash_key(key.expose()))?;
        if found.is_some_and(|key| !key.is_expired(engine.now())) {
            return Ok(key);
        }
    }
    let (key, prefix) = auth::generate_key(&mut engine.rng());
    let record = ApiKey {
        id: KeyId(engine.next_id()),
        organization_id: organization(engine)?,
        name: "made by serve --dev".to_owned(),
        role: Role::Owner,
        hash: auth::hash_key(key.expose()),
        prefix,
        created_at: engine.now(),
        expires_at: None,
    };
    engine.store().create_key(&record)?;
    write(path, &key)?;
    Ok(key)
}

fn organization(engine: &EngineHandle) -> Result<OrganizationId, EngineError> {
    let mut before_id = None;
    loop {
        let page = engine.store().organizations(PageRequest { before_id, limit: 200 })?;
        if let Some(found) = page.iter().find(|organization| organization.name == ORGANIZATION) {
            return Ok(found.id);
        }
        match page.last() {
            Some(last) => before_id = Some(last.id.0),
            None => break,
        }
    }
    let id = OrganizationId(engine.next_id());
    let organization = Organization { id, name: ORGANIZATION.to_owned(), created_at: engine.now() };
    engine.store().create_organization(&organization)?;
    Ok(id)
}

fn read(path: &Path) -> Result<Option<Secret>, EngineError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(Secret::new(text.trim().to_owned()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(dev_file(path, error)),
    }
}

fn write(path: &Path, secret: &Secret) -> Result<(), EngineError> {
    let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| writeln!(file, "{}", secret.expose())).map_err(|error| dev_file(path, error))
}

fn dev_file(path: &Path, error: std::io::Error) -> EngineError {
    EngineError::DevFile { path: path.display().to_string(), error }
}
