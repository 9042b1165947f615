//! The change of the master key.

use std::sync::Arc;

use data_encoding::BASE64;
use ringback::domain::endpoint::Endpoint;
use ringback::domain::ids::{EndpointId, OrganizationId};
use ringback::domain::random::CountingRandomSource;
use ringback::domain::secret::Secret;
use ringback::store::cipher::Cipher;
use ringback::store::{Store, StoreError, StoreResult, open, reencrypt};
use test_support::postgres;

use crate::fixture::{Fixture, at, cipher, full_endpoint, plain_endpoint, sqlite_url};

fn key(byte: u8) -> Cipher {
    let key = Secret::new(BASE64.encode(&[byte; 32]));
    Cipher::from_master_key(&key, Arc::new(CountingRandomSource::default()))
        .unwrap_or_else(|error| panic!("{error}"))
}

fn store(url: &str, cipher: Cipher) -> Arc<dyn Store> {
    open(url, cipher).unwrap_or_else(|error| panic!("{error}"))
}

/// A database with endpoints, one of them deleted, and one with every secret that an endpoint can have.
fn fill(url: &str, plain: usize) -> (OrganizationId, Vec<Endpoint>) {
    let f = Fixture::over(store(url, cipher()));
    let organization_id = f.organization();
    let deleted = f.endpoint(organization_id);
    f.store.delete_endpoint(organization_id, deleted, at(1)).unwrap();
    let mut endpoints = vec![full_endpoint(EndpointId(f.id_at(at(0))), organization_id)];
    endpoints.extend((0..plain).map(|_| plain_endpoint(EndpointId(f.id_at(at(0))), organization_id)));
    endpoints.iter().for_each(|endpoint| f.store.create_endpoint(endpoint).unwrap());
    (organization_id, endpoints)
}

fn assert_readable(url: &str, cipher: Cipher, organization_id: OrganizationId, endpoints: &[Endpoint]) {
    let store = store(url, cipher);
    for endpoint in endpoints {
        assert!(store.endpoint(organization_id, endpoint.id).unwrap().unwrap().endpoint == *endpoint);
    }
}

fn is_refused(url: &str, cipher: Cipher) -> bool {
    let refused = open(url, cipher);
    matches!(refused, Err(StoreError::Refused(message)) if message.contains("master key whose id is"))
}

fn changes_the_key(url: &str) {
    let (organization_id, endpoints) = fill(url, 250);
    let mut steps = Vec::new();
    let changed = reencrypt(url, cipher(), &key(1), &mut |so_far| steps.push(so_far)).unwrap();
    assert_eq!(changed, 251, "a deleted endpoint has nothing to encrypt");
    assert_eq!(steps, [200, 251]);
    assert!(is_refused(url, cipher()));
    assert_readable(url, key(1), organization_id, &endpoints);
    let again = reencrypt(url, cipher(), &key(1), &mut |_| {}).unwrap();
    assert_eq!(again, 0, "nothing is left to do");
    assert_readable(url, key(1), organization_id, &endpoints);
    // a third key that was never used
    match reencrypt(url, key(2), &key(3), &mut |_| {}) {
        Err(StoreError::Refused(message)) => assert!(message.contains("master key whose id is"), "{message}"),
        _ => panic!("not refused"),
    }
    assert_readable(url, key(1), organization_id, &endpoints);
}

/// Also before there is a secret: two nodes could write secrets that neither of them can read of the other.
fn the_first_start_decides(url: &str) {
    drop(store(url, key(1)));
    assert!(is_refused(url, key(2)));
    drop(store(url, key(1)));
    assert_eq!(reencrypt(url, key(1), &key(3), &mut |_| {}).unwrap(), 0);
    assert!(is_refused(url, key(1)));
    drop(store(url, key(3)));
}

#[test]
fn a_database_without_secrets_is_used_with_the_master_key_of_its_first_start() {
    let folder = tempfile::tempdir().unwrap();
    the_first_start_decides(&sqlite_url(&folder.path().join("ringback.db")));
    if let Some(server) = postgres::shared() {
        the_first_start_decides(&server.create_database());
    }
}

#[test]
fn the_master_key_of_a_file_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    changes_the_key(&sqlite_url(&folder.path().join("ringback.db")));
}

#[test]
fn the_master_key_of_a_postgres_database_is_changed() {
    if let Some(server) = postgres::shared() {
        changes_the_key(&server.create_database());
    }
}

#[test]
fn an_interrupted_change_is_finished_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let url = sqlite_url(&folder.path().join("ringback.db"));
    let (organization_id, endpoints) = fill(&url, 450);
    let interrupted = std::panic::catch_unwind(|| {
        reencrypt(&url, cipher(), &key(1), &mut |so_far| assert!(so_far < 400, "the power fails"))
    });
    assert!(interrupted.is_err());
    let changed = reencrypt(&url, cipher(), &key(1), &mut |_| {}).unwrap();
    assert_eq!(changed, 51, "values under the new key are left alone");
    assert_readable(&url, key(1), organization_id, &endpoints);
}

fn refusal(result: StoreResult<usize>) -> String {
    match result {
        Err(StoreError::Refused(message)) => message,
        _ => panic!("not refused"),
    }
}

#[test]
fn while_an_engine_runs_the_master_key_is_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let url = sqlite_url(&folder.path().join("ringback.db"));
    let (organization_id, endpoints) = fill(&url, 1);
    let running = store(&url, cipher());
    let message = refusal(reencrypt(&url, cipher(), &key(1), &mut |_| {}));
    assert!(message.contains("another process uses the database"), "{message}");
    drop(running);
    assert_readable(&url, cipher(), organization_id, &endpoints);
}

#[test]
fn a_file_that_does_not_exist_is_not_created() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("typo.db");
    let message = refusal(reencrypt(&sqlite_url(&path), cipher(), &key(1), &mut |_| {}));
    assert!(message.contains("typo.db does not exist"), "{message}");
    assert!(!path.exists());
}
