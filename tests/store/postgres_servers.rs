//! PostgreSQL servers, databases and roles in various configurations: unusable ones are refused at the start
//! with a remedy, and settings that a session can override do no harm.

use std::sync::Arc;

use bytes::Bytes;
use ringback::domain::ids::OrganizationId;
use ringback::domain::organization::Organization;
use ringback::store::{EventCommit, NewEvent, open};
use test_support::postgres;

use crate::databases::refusal;
use crate::fixture::{Fixture, at, cipher};

/// The URL of a database for another role.
fn as_role(url: &str, role: &str) -> String {
    url.replace("postgres://ringback@", &format!("postgres://{role}@"))
}

fn name_of(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or_default()
}

fn works(url: &str) {
    let f = Fixture::over(open(url, cipher()).unwrap_or_else(|error| panic!("{error}")));
    let largest = f.store.largest_id().unwrap();
    let f = f.going_on_above(largest);
    let organization_id = f.organization();
    let endpoint_id = f.endpoint(organization_id);
    let id = f.publish(organization_id, &[endpoint_id], at(0))[0];
    assert_eq!(f.due(organization_id, endpoint_id, at(0)), [id]);
    let (id, name) = (OrganizationId(f.id_at(at(0))), "Zoë, 漢字 😀".to_owned());
    let named = Organization::named(id, name, at(0));
    f.store.create_organization(&named).unwrap();
    assert_eq!(f.store.organization(id).unwrap(), Some(named));
}

#[test]
fn a_database_in_another_encoding_is_refused_with_a_remedy() {
    let Some(server) = postgres::shared() else { return };
    for encoding in ["LATIN1", "WIN1252", "EUC_JP"] {
        let name = format!("in_{}", encoding.to_lowercase());
        server.execute(&format!("CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"));
        let url = server.create_database();
        let url = url.replace(name_of(&url), &name);
        let message = refusal(open(&url, cipher()));
        assert!(message.contains(encoding) && message.contains("ENCODING 'UTF8'"), "{message}");
    }
    // the remedy in the message works, and so does the encoding that `initdb` chooses without a locale
    for (name, encoding) in [("as_told", "UTF8"), ("as_bytes", "SQL_ASCII")] {
        server.execute(&format!("CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"));
        let url = server.create_database();
        works(&url.replace(name_of(&url), name));
    }
}

#[test]
fn settings_of_a_role_that_would_fail_every_write_are_overridden() {
    let Some(server) = postgres::shared() else { return };
    let url = server.create_database();
    server.execute("CREATE ROLE odd LOGIN");
    server.execute(&format!("ALTER DATABASE {} OWNER TO odd", name_of(&url)));
    for setting in [
        "statement_timeout = '9s'",
        "lock_timeout = '9s'",
        "idle_in_transaction_session_timeout = '9s'",
        "default_transaction_read_only = on",
        "default_transaction_isolation = 'serializable'",
        "standard_conforming_strings = off",
        "client_encoding = 'LATIN1'",
        "synchronous_commit = off",
        "idle_session_timeout = '9s'",
    ] {
        server.execute(&format!("ALTER ROLE odd SET {setting}"));
    }
    let f = Fixture::over(open(&as_role(&url, "odd"), cipher()).unwrap_or_else(|error| panic!("{error}")));
    let organization_id = f.organization();
    f.publish_of("größe.geändert", organization_id, &[], at(0));
    let listed = f.store.events(organization_id, &Default::default(), crate::fixture::first_page(1)).unwrap();
    assert_eq!(listed[0].event_type, "größe.geändert");
}

#[test]
fn a_role_without_rights_is_refused_with_the_grants_that_it_needs() {
    let Some(server) = postgres::shared() else { return };
    let url = server.create_database();
    server.execute("CREATE ROLE poor LOGIN");
    let theirs = as_role(&url, "poor");
    postgres::execute_in(&url, "REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    let message = refusal(open(&theirs, cipher()));
    assert!(message.contains("GRANT CREATE, USAGE ON SCHEMA public TO poor"), "{message}");
    postgres::execute_in(&url, "ALTER ROLE poor SET search_path = nowhere");
    let message = refusal(open(&theirs, cipher()));
    assert!(message.contains("SET search_path = public"), "{message}");
    postgres::execute_in(&url, "ALTER ROLE poor RESET search_path");
    // tables of another role
    works(&url);
    postgres::execute_in(&url, "GRANT CREATE, USAGE ON SCHEMA public TO poor");
    let message = refusal(open(&theirs, cipher()));
    assert!(message.contains("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES"), "{message}");
    postgres::execute_in(&url, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO poor");
    works(&theirs);
}

#[test]
fn a_standby_is_refused_with_a_remedy() {
    let Some(server) = postgres::private() else { return };
    let url = server.create_database();
    works(&url);
    server.stop().unwrap();
    std::fs::write(server.folder().join("data/standby.signal"), "").unwrap();
    server.start_again().unwrap();
    let message = refusal(open(&url, cipher()));
    assert!(message.contains("standby") && message.contains("primary"), "{message}");
}

fn event_of(f: &Fixture, organization_id: OrganizationId, megabytes: usize) -> NewEvent {
    let mut new = f.new_event(organization_id, &[], at(0));
    let text = "please repeat the order number, ".repeat(megabytes * 32 * 1024);
    let event = Arc::get_mut(&mut new.event).unwrap();
    event.body = Bytes::from(format!("{{\"text\":\"{text}\"}}"));
    new
}

#[test]
fn the_bodies_of_the_largest_commit_are_not_copied_through_a_file_of_the_server() {
    let Some(server) = postgres::shared() else { return };
    let url = server.create_database();
    // then a file is an error
    server.execute(&format!("ALTER DATABASE {} SET temp_file_limit = 0", name_of(&url)));
    let f = Fixture::over(open(&url, cipher()).unwrap_or_else(|error| panic!("{error}")));
    let organization_id = f.organization();
    let events = [8, 10].map(|megabytes| event_of(&f, organization_id, megabytes));
    assert_eq!(f.commit_events(events.to_vec(), at(1)).events, [EventCommit::Stored, EventCommit::Stored]);
}

#[test]
fn bodies_and_attempts_are_compressed_with_lz4_where_the_server_has_it() {
    let Some(server) = postgres::shared() else { return };
    let known = "SELECT 'lz4' = ANY (enumvals) FROM pg_settings WHERE name = 'default_toast_compression'";
    assert_eq!(server.answer(known), "true", "this PostgreSQL has no lz4: its use is NOT tested");
    let url = server.create_database();
    let f = Fixture::over(open(&url, cipher()).unwrap_or_else(|error| panic!("{error}")));
    let organization_id = f.organization();
    f.commit_events(vec![event_of(&f, organization_id, 1)], at(1));
    let must_be =
        |condition: &str| postgres::execute_in(&url, &format!("DO $$ BEGIN ASSERT ({condition}); END $$"));
    must_be("SELECT pg_column_compression(body) = 'lz4' FROM events");
    must_be("SELECT count(*) = 3 FROM pg_attribute WHERE attcompression = 'l'");
}

#[test]
fn a_server_without_lz4_keeps_its_usual_compression() {
    let Some(server) = postgres::shared() else { return };
    let url = server.create_database();
    open(&url, cipher()).unwrap_or_else(|error| panic!("{error}"));
    let migration = include_str!("../../migrations/postgres/0023_fast_compression/up.sql");
    // a column that can't be compressed has the same error as a server that can't; PostgreSQL 12 and 13 don't know the words
    for (of_others, like_it) in [("COLUMN body", "COLUMN occurred_at"), ("SET COMPRESSION", "SET SQUEEZING")] {
        assert!(migration.contains(of_others));
        postgres::execute_in(&url, &migration.replace(of_others, like_it));
    }
}
