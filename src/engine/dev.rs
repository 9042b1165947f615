//! Additions of `serve --dev`: a master key next to the database, the organization `dev`, and its owner key.

use std::fs;
use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;

use super::EngineError;
use super::system::SystemEntropy;
use crate::actors::handle::EngineHandle;
use crate::api::key_text;
use crate::config::Settings;
use crate::dashboard::Dashboard;
use crate::domain::ids::{KeyId, OrganizationId};
use crate::domain::organization::{ApiKey, Organization, OrganizationUid, Role};
use crate::domain::random::RandomSource;
use crate::domain::secret::Secret;
use crate::domain::svix::Environment;
use crate::store::PageRequest;

const ORGANIZATION: &str = "dev";
/// Where the client commands look for a key by default, in the working folder.
pub const CLIENTS_KEY_FILE: &str = "ringback.db.dev-key";
const KEY_SUFFIX: &str = "dev-key";

/// The file `<database>.<suffix>` for SQLite, `ringback.db.<suffix>` in the working folder for PostgreSQL. Symbolic links are
/// followed: a database needs the same master key by whatever name it is opened.
fn key_file(database_url: &str, suffix: &str) -> PathBuf {
    let Some(name) = database_url.strip_prefix("sqlite://") else {
        return PathBuf::from(format!("ringback.db.{suffix}"));
    };
    let is_link = fs::symlink_metadata(name).is_ok_and(|metadata| metadata.is_symlink());
    let file = if is_link { fs::canonicalize(name).ok() } else { None };
    let mut path = file.unwrap_or_else(|| PathBuf::from(name)).into_os_string();
    path.push(format!(".{suffix}"));
    PathBuf::from(path)
}

/// The master key of a developer's machine; made if there is none.
pub(crate) fn master_key(database_url: &str) -> Result<Secret, EngineError> {
    let path = key_file(database_url, "master-key");
    if let Some(key) = read(&path)? {
        return Ok(key);
    }
    let key = Secret::new(BASE64.encode(&SystemEntropy.seed()));
    write(&path, &key)?;
    Ok(key)
}

/// Makes the organization and its key if there is none, and prints them with the next commands.
pub(crate) fn greet(
    settings: &Settings,
    engine: &EngineHandle,
    dashboard: &Dashboard,
    address: SocketAddr,
    metrics: SocketAddr,
) -> Result<(), EngineError> {
    let key_file = key_file(&settings.database_url, KEY_SUFFIX);
    let key = owner_key(engine, &key_file)?;
    let (address, metrics) = (super::reachable(address), super::reachable(metrics));
    let mut out = std::io::stdout().lock();
    writeln!(out, "development mode: http and private targets are allowed, never run this in public")?;
    writeln!(out, "  organization  {ORGANIZATION}")?;
    writeln!(out, "  owner key     {}", key.expose())?;
    let sign_in = dashboard.sign_in_once(key_text::hash_key(key.expose()), &mut engine.rng(), engine.now());
    writeln!(out, "  dashboard     http://{address}{sign_in}  (signs in once)")?;
    writeln!(out, "  API           http://{address}/v1/webhooks")?;
    writeln!(out, "  metrics       http://{metrics}/metrics")?;
    let (before, after) = client_arguments(address, &key_file);
    let prefix = match settings.signature_header_prefix == Settings::default().signature_header_prefix {
        true => String::new(),
        false => format!(" --signature-header-prefix {}", quoted(&settings.signature_header_prefix)),
    };
    let program = program();
    writeln!(out, "next, in this folder:")?;
    writeln!(out, "  {before}{program} listen{after}{prefix}    # in a second terminal")?;
    writeln!(out, "  {before}{program} trigger call.completed{after}    # in a third")?;
    Ok(())
}

/// The text before and after a client command that makes it reach this engine with its key; empty where the command's
/// defaults do.
fn client_arguments(address: SocketAddr, key_file: &Path) -> (String, String) {
    let is_default = address == Settings::default().listen;
    let engine = if is_default { String::new() } else { format!(" --engine http://{address}") };
    if key_file == Path::new(CLIENTS_KEY_FILE) {
        return (String::new(), engine);
    }
    // the name of the file instead of the key: no secret in a list of processes or in a shell's history
    let path = fs::canonicalize(key_file).unwrap_or_else(|_| key_file.to_owned());
    (format!("RINGBACK_KEY=$(cat {}) ", quoted(&path.display().to_string())), engine)
}

/// This program as it was called: by its path if it is not in a folder of `PATH`.
fn program() -> String {
    quoted(&std::env::args().next().unwrap_or_else(|| "ringback".to_owned()))
}

/// Quoted for a shell if it needs to be.
fn quoted(text: &str) -> String {
    let is_plain = |symbol: char| symbol.is_ascii_alphanumeric() || "/._-+:@%,=".contains(symbol);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

fn owner_key(engine: &EngineHandle, path: &Path) -> Result<Secret, EngineError> {
    if let Some(key) = read(path)? {
        let found = engine.store().key_by_hash(&key_text::hash_key(key.expose()))?;
        if found.is_some_and(|key| !key.is_expired(engine.now())) {
            return Ok(key);
        }
    }
    let (key, prefix) = key_text::generate_key(&mut engine.rng());
    let record = ApiKey {
        id: KeyId(engine.next_id()),
        organization_id: Some(organization(engine)?),
        name: "made by serve --dev".to_owned(),
        role: Role::Owner,
        hash: key_text::hash_key(key.expose()),
        prefix,
        created_at: engine.now(),
        expires_at: None,
        last_used_at: None,
    };
    engine.store().create_key(&record)?;
    write(path, &key)?;
    Ok(key)
}

fn organization(engine: &EngineHandle) -> Result<OrganizationId, EngineError> {
    let uid: Option<OrganizationUid> = ORGANIZATION.parse().ok();
    let named =
        |uid: &OrganizationUid| engine.store().organization_by_uid(&Environment::default(), uid).transpose();
    if let Some(found) = uid.as_ref().and_then(named).transpose()? {
        return Ok(found.id);
    }
    // made by an earlier version
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
    let organization = Organization { uid, ..Organization::named(id, ORGANIZATION, engine.now()) };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_next_to_the_file_that_a_link_to_the_database_points_to() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("x.db"), folder.path().join("link.db"));
        fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let of = |path: &Path| {
            fs::canonicalize(folder.path()).unwrap().join(key_file(&format!("sqlite://{}", path.display()), "k"))
        };
        assert_eq!(of(&link), fs::canonicalize(folder.path()).unwrap().join("x.db.k"));
        assert_eq!(of(&file).file_name(), of(&link).file_name());
    }

    #[test]
    fn the_printed_commands_reach_this_engine_wherever_it_listens_and_keeps_its_key() {
        let next = |address: &str, database_url: &str| {
            let address = super::super::reachable(address.parse().unwrap());
            let (before, after) = client_arguments(address, &key_file(database_url, KEY_SUFFIX));
            format!("{before}ringback listen{after}")
        };
        for (address, database_url, expected) in [
            ("127.0.0.1:8080", "sqlite://ringback.db", "ringback listen"),
            ("0.0.0.0:8080", "postgres://u@h/d", "ringback listen"),
            ("127.0.0.1:8081", "sqlite://ringback.db", "ringback listen --engine http://127.0.0.1:8081"),
            ("[::]:8081", "sqlite://ringback.db", "ringback listen --engine http://[::1]:8081"),
            ("10.0.0.1:8080", "sqlite://ringback.db", "ringback listen --engine http://10.0.0.1:8080"),
            ("127.0.0.1:8080", "sqlite:///no/x.db", "RINGBACK_KEY=$(cat /no/x.db.dev-key) ringback listen"),
            (
                "127.0.0.1:81",
                "sqlite:///no/it's a/x.db",
                r"RINGBACK_KEY=$(cat '/no/it'\''s a/x.db.dev-key') ringback listen --engine http://127.0.0.1:81",
            ),
        ] {
            assert_eq!(next(address, database_url), expected);
        }
    }
}
