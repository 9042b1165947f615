//! PostgreSQL servers, databases and roles in various configurations: unusable ones are refused at the start
//! with a remedy, and settings that a session can override do no harm.

use ringback::domain::ids::OrganizationId;
use ringback::domain::organization::Organization;
use ringback::store::open;
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
