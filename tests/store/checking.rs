//! What `ringback check` finds in a database, and what it repairs.

use std::collections::BTreeMap;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use ringback::domain::attempt::{NextStep, Outcome};
use ringback::domain::ids::{DeliveryId, EndpointId, OrganizationId};
use ringback::domain::secret::Secret;
use ringback::domain::statistics::StatisticsDelta;
use ringback::store::cipher::Cipher;
use ringback::store::{CheckEvent, CheckMode, CheckReport, CheckTerms, WriteBatch, check, open};

use crate::fixture::{Fixture, at, cipher, full_endpoint, outcome, sqlite_url};

/// Turns each function into a test on each database.
macro_rules! on_every_database {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[test] fn $test() { super::$test(super::Checked::sqlite()); })+
        }
        mod postgres {
            $(#[test] fn $test() {
                if let Some(checked) = super::Checked::postgres() {
                    super::$test(checked);
                }
            })+
        }
    };
}

on_every_database!(
    of_a_young_event_every_missing_delivery_is_found_and_named,
    of_an_old_event_retention_may_have_removed_the_first_deliveries_but_none_between_others,
    every_secret_of_every_webhook_is_decrypted_and_a_damaged_one_is_named_without_its_value,
    without_the_master_key_or_with_another_secrets_are_not_judged,
    payloads_and_attempts_that_cannot_be_read_are_found,
    an_erased_payload_and_an_erased_response_are_no_findings,
    counts_that_are_too_high_or_do_not_add_up_are_found_and_lowered,
    counts_are_not_judged_where_retention_may_have_removed_attempts,
    one_repair_sets_everything_right_that_can_be,
);

const RETENTION: Duration = Duration::from_secs(30 * 86_400);

/// A database without an engine.
struct Checked {
    url: String,
    fixture: Option<Fixture>,
    _folder: Option<tempfile::TempDir>,
}

impl Checked {
    fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = sqlite_url(&folder.path().join("ringback.db"));
        Self { _folder: Some(folder), ..Self::of(url) }
    }

    fn postgres() -> Option<Self> {
        Some(Self::of(test_support::postgres::shared()?.create_database()))
    }

    fn of(url: String) -> Self {
        let fixture = Fixture::over(open(&url, cipher()).unwrap());
        Self { url, fixture: Some(fixture), _folder: None }
    }

    fn fixture(&self) -> &Fixture {
        self.fixture.as_ref().unwrap()
    }

    /// An organization and its webhook.
    fn owner(&self) -> (OrganizationId, EndpointId) {
        let organization_id = self.fixture().organization();
        (organization_id, self.fixture().endpoint(organization_id))
    }

    /// Records attempts with their counts.
    fn record(&self, outcomes: Vec<Outcome>) {
        let statistics = outcomes.iter().map(StatisticsDelta::of).collect();
        let batch = WriteBatch { outcomes, statistics, ..WriteBatch::default() };
        self.fixture().store.commit(&batch, at(0)).unwrap();
    }

    /// Runs statements as a stranger does, who knows no rules.
    fn damage(&self, statements: &str) {
        match self.url.strip_prefix("sqlite://") {
            Some(path) => SqliteConnection::establish(path).unwrap().batch_execute(statements).unwrap(),
            None => PgConnection::establish(&self.url).unwrap().batch_execute(statements).unwrap(),
        }
    }

    /// Bytes in the database's own words.
    fn bytes(&self, hexadecimal: &str) -> String {
        match self.url.starts_with("sqlite") {
            true => format!("x'{hexadecimal}'"),
            false => format!("'\\x{hexadecimal}'::bytea"),
        }
    }

    fn look_with(&self, terms: CheckTerms) -> CheckReport {
        check(&self.url, &terms, &mut |_| {}).unwrap()
    }

    fn look(&self) -> CheckReport {
        self.look_with(terms(CheckMode::Look))
    }

    /// The engine is stopped for it. Returns what was said, too.
    fn repair(&mut self) -> (CheckReport, Vec<String>) {
        self.fixture = None;
        let mut said = Vec::new();
        let report = check(&self.url, &terms(CheckMode::Repair), &mut |event| {
            if let CheckEvent::Repaired(what) = event {
                said.push(what.to_owned());
            }
        });
        (report.unwrap(), said)
    }
}

/// An hour after the beginning.
fn terms(mode: CheckMode) -> CheckTerms {
    CheckTerms { mode, now: at(3600), retention: RETENTION, cipher: Some(cipher()) }
}

/// The examples of what is wrong, by table and rule.
fn findings(report: &CheckReport) -> BTreeMap<String, Vec<String>> {
    assert!(report.checks.iter().all(|checked| checked.skipped.is_none()), "{report:?}");
    let wrong = report.checks.iter().filter(|checked| checked.is_finding());
    wrong.map(|checked| (format!("{}: {}", checked.table, checked.what), checked.examples.clone())).collect()
}

/// The examples of the only thing that is wrong.
#[track_caller]
fn only_finding(report: &CheckReport, table: &str, part: &str) -> Vec<String> {
    let mut found = findings(report);
    assert_eq!(found.len(), 1, "{found:#?}");
    let (what, examples) = found.pop_first().unwrap();
    assert!(what.starts_with(&format!("{table}: ")) && what.contains(part), "{what}");
    examples
}

fn success(owner: (OrganizationId, EndpointId), delivery_id: DeliveryId) -> Outcome {
    outcome(owner.0, owner.1, delivery_id, 1, 200, NextStep::Succeeded)
}

/// An event with five deliveries that succeeded.
fn five_deliveries(checked: &Checked) -> Vec<DeliveryId> {
    let f = checked.fixture();
    let organization_id = f.organization();
    let endpoints: Vec<EndpointId> = (0..5).map(|_| f.endpoint(organization_id)).collect();
    let ids = f.publish(organization_id, &endpoints, at(1));
    let outcomes = ids.iter().zip(&endpoints).map(|(&id, &endpoint)| success((organization_id, endpoint), id));
    f.record(outcomes.collect());
    ids
}

fn of_a_young_event_every_missing_delivery_is_found_and_named(mut checked: Checked) {
    let ids = five_deliveries(&checked);
    assert_eq!(findings(&checked.look()), BTreeMap::new());
    checked.damage(&format!("DELETE FROM deliveries WHERE id IN ({}, {})", ids[0].0, ids[1].0));
    let found = only_finding(&checked.look(), "events", "none of them is missing");
    assert_eq!(found.len(), 1);
    assert!(found[0].contains(&format!("2 of its 5 deliveries are missing: {}, {}", ids[0], ids[1])), "{found:?}");
    let (report, said) = checked.repair();
    assert_eq!(findings(&report), BTreeMap::new());
    assert!(said.len() == 1 && said[0].ends_with("was 5, and is 3 now"), "{said:?}");
    assert_eq!(findings(&checked.look()), BTreeMap::new());
}

fn of_an_old_event_retention_may_have_removed_the_first_deliveries_but_none_between_others(checked: Checked) {
    let ids = five_deliveries(&checked);
    let late = || CheckTerms { now: at(RETENTION.as_secs() as i64 + 7200), ..terms(CheckMode::Look) };
    checked.damage(&format!("DELETE FROM deliveries WHERE id IN ({}, {})", ids[0].0, ids[1].0));
    assert_eq!(findings(&checked.look_with(late())), BTreeMap::new());
    checked.damage(&format!("DELETE FROM deliveries WHERE id = {}", ids[3].0));
    let found = only_finding(&checked.look_with(late()), "events", "none of them is missing");
    assert!(found[0].contains("3 of its 5 deliveries are missing"), "{found:?}");
}

fn every_secret_of_every_webhook_is_decrypted_and_a_damaged_one_is_named_without_its_value(checked: Checked) {
    let f = checked.fixture();
    let organization_id = f.organization();
    let ids: Vec<EndpointId> = (0..6).map(|_| EndpointId(f.id_at(at(0)))).collect();
    ids.iter().for_each(|id| f.store.create_endpoint(&full_endpoint(*id, organization_id)).unwrap());
    let report = checked.look();
    assert_eq!(findings(&report), BTreeMap::new());
    assert!(report.checks.iter().all(|checked| checked.left_out.is_none()), "{report:?}");
    let columns = ["secret", "previous_secret", "older_secrets", "headers", "credentials"];
    for (column, id) in columns.iter().zip(&ids) {
        // sealed for another webhook
        checked.damage(&format!(
            "UPDATE endpoints SET {column} = (SELECT o.{column} FROM endpoints o WHERE o.id = {}) WHERE id = {}",
            ids[5].0, id.0
        ));
    }
    let found = only_finding(&checked.look(), "endpoints", "can be decrypted");
    let names =
        ["its secret: ", "its previous secret: ", "its older secrets: ", "its headers: ", "its credentials: "];
    let expected = ids
        .iter()
        .zip(names)
        .map(|(id, name)| format!("{id}: {name}an encrypted value is damaged or belongs to another row"));
    assert_eq!(found, expected.collect::<Vec<_>>());
}

fn without_the_master_key_or_with_another_secrets_are_not_judged(checked: Checked) {
    checked.owner();
    checked.damage(&format!("UPDATE endpoints SET secret = {}", checked.bytes("01")));
    let report = checked.look_with(CheckTerms { cipher: None, ..terms(CheckMode::Look) });
    assert_eq!(findings(&report), BTreeMap::new());
    let left_out = |report: &CheckReport| -> Vec<String> {
        report.checks.iter().filter(|it| it.left_out.is_some()).map(|it| it.what.clone()).collect()
    };
    assert_eq!(left_out(&report).len(), 2, "{report:?}");
    let another = Secret::new(String::from("QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="));
    let random = std::sync::Arc::new(ringback::domain::random::CountingRandomSource::default());
    let another = Cipher::from_master_key(&another, random).ok();
    let report = checked.look_with(CheckTerms { cipher: another, ..terms(CheckMode::Look) });
    let found = only_finding(&report, "master_key", "the one that the database is used with");
    assert!(found[0].contains("the one given has the id "), "{found:?}");
    assert_eq!(left_out(&report), ["its secrets can be decrypted with the master key"]);
    only_finding(&checked.look(), "endpoints", "can be decrypted");
}

fn payloads_and_attempts_that_cannot_be_read_are_found(checked: Checked) {
    let owner = checked.owner();
    let ids: Vec<DeliveryId> =
        (0..4).map(|number| checked.fixture().publish(owner.0, &[owner.1], at(number))[0]).collect();
    checked.record(vec![success(owner, ids[0])]);
    let tries = [(1, 500, NextStep::RetryAt(at(20))), (2, 200, NextStep::Succeeded)];
    tries.into_iter().for_each(|(number, status, next)| {
        checked.record(vec![outcome(owner.0, owner.1, ids[1], number, status, next)]);
    });
    assert_eq!(findings(&checked.look()), BTreeMap::new());
    checked.damage(&format!(
        "UPDATE deliveries SET attempt_detail = {short} WHERE id = {}; \
         UPDATE attempts SET detail = {short} WHERE delivery_id = {} AND number = 2; \
         UPDATE events SET body = {no_json} WHERE last_delivery_id = {}; \
         UPDATE events SET body = {no_text} WHERE last_delivery_id = {};",
        ids[0].0,
        ids[1].0,
        ids[2].0,
        ids[3].0,
        short = checked.bytes("0105"),
        no_json = checked.bytes("7b22"),
        no_text = checked.bytes("22ff22"),
    ));
    let found = findings(&checked.look());
    let examples: Vec<&Vec<String>> = found.values().collect();
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(
        examples[0].len() == 1 && examples[0][0].starts_with(&format!("{}: attempt 2: ", ids[1])),
        "{found:#?}"
    );
    assert!(
        examples[1].len() == 1 && examples[1][0].starts_with(&format!("{}: attempt 1: ", ids[0])),
        "{found:#?}"
    );
    assert!(examples[2].len() == 2 && examples[2].iter().all(|it| it.starts_with("msg_")), "{found:#?}");
}

fn an_erased_payload_and_an_erased_response_are_no_findings(checked: Checked) {
    let owner = checked.owner();
    let f = checked.fixture();
    let new = f.new_event(owner.0, &[owner.1], at(1));
    let (event_id, delivery_id) = (new.event.id, new.deliveries[0].0);
    f.commit_events(vec![new], at(1));
    f.record(vec![success(owner, delivery_id)]);
    assert!(f.store.erase_payload(owner.0, event_id, at(2)).unwrap().unwrap().is_done);
    assert!(f.store.erase_response(owner.0, delivery_id, 1).unwrap());
    assert_eq!(findings(&checked.look()), BTreeMap::new());
}

/// Two failed attempts and a success at a webhook, a success at another one of the same organization.
fn counted(checked: &Checked) -> (OrganizationId, EndpointId) {
    let owner = checked.owner();
    let other = (owner.0, checked.fixture().endpoint(owner.0));
    let ids = checked.fixture().publish(owner.0, &[owner.1, other.1], at(1));
    for (number, status, next) in
        [(1, 500, NextStep::RetryAt(at(20))), (2, 503, NextStep::RetryAt(at(30))), (3, 200, NextStep::Succeeded)]
    {
        checked.record(vec![outcome(owner.0, owner.1, ids[0], number, status, next)]);
    }
    checked.record(vec![success(other, ids[1])]);
    owner
}

fn counts_that_are_too_high_or_do_not_add_up_are_found_and_lowered(mut checked: Checked) {
    let owner = counted(&checked);
    assert_eq!(findings(&checked.look()), BTreeMap::new());
    // a count that was lost with a kill
    checked.damage("UPDATE delivery_statistics SET retried = retried - 1 WHERE retried > 0");
    assert_eq!(findings(&checked.look()), BTreeMap::new());

    let of_webhook = format!("endpoint_id = {}", owner.1.0);
    checked.damage(&format!(
        "UPDATE delivery_statistics SET succeeded = 7, retried = 9, failed = 2 WHERE {of_webhook}"
    ));
    let found = findings(&checked.look());
    let all: Vec<String> = found.values().flatten().cloned().collect();
    assert_eq!(found.len(), 2, "{found:#?}");
    let counts = "it counts 7 successes and 11 failed attempts; in the log are at most 1 and 2";
    assert!(all.iter().any(|it| it.starts_with(&owner.1.to_string()) && it.ends_with(counts)), "{all:?}");
    assert!(all.contains(&format!("2026-01-01T00:00:00.000Z: {}", owner.0)), "{all:?}");

    checked.damage(&format!(
        "UPDATE delivery_statistics SET latency = {} WHERE endpoint_id <> 0 AND NOT {of_webhook}",
        checked.bytes("ff")
    ));
    assert_eq!(findings(&checked.look()).len(), 3);
    let (report, said) = checked.repair();
    assert_eq!(findings(&report), BTreeMap::new(), "{said:?}");
    assert_eq!(findings(&checked.look()), BTreeMap::new());
    let store = open(&checked.url, cipher()).unwrap();
    let sum = store.organization_statistics(owner.0, at(0)).unwrap().remove(0).counts;
    assert_eq!((sum.succeeded, sum.failed, sum.retried), (2, 2, 0));
}

fn counts_are_not_judged_where_retention_may_have_removed_attempts(checked: Checked) {
    let owner = counted(&checked);
    checked.damage("DELETE FROM attempts; DELETE FROM deliveries; DELETE FROM events;");
    // the first event of an organization that is older than the retention may be gone
    let late = CheckTerms { now: at(RETENTION.as_secs() as i64 + 7200), ..terms(CheckMode::Look) };
    assert_eq!(findings(&checked.look_with(late)), BTreeMap::new());
    let found = only_finding(&checked.look(), "delivery_statistics", "that is not in the log");
    assert!(found.len() == 2 && found.iter().any(|it| it.starts_with(&owner.1.to_string())), "{found:?}");
}

fn one_repair_sets_everything_right_that_can_be(mut checked: Checked) {
    let owner = counted(&checked);
    for number in 0..4 {
        let id = checked.fixture().publish(owner.0, &[owner.1], at(number))[0];
        checked.record(vec![success(owner, id)]);
    }
    checked.damage(
        "UPDATE events SET delivery_count = -1 WHERE id = (SELECT min(id) FROM events); \
         DELETE FROM events WHERE id = (SELECT max(id) FROM events); \
         DELETE FROM deliveries WHERE id = (SELECT min(id) FROM deliveries WHERE attempt_count = 1); \
         UPDATE deliveries SET partition = (partition + 1) % 256; \
         UPDATE delivery_statistics SET succeeded = -5 WHERE endpoint_id <> 0; \
         DELETE FROM delivery_statistics WHERE endpoint_id = 0;",
    );
    let found = findings(&checked.look());
    assert!(found.len() >= 5, "{found:#?}");
    let (report, said) = checked.repair();
    assert_eq!(findings(&report), BTreeMap::new(), "the first repair leaves nothing: {said:#?}");
    let repaired: u64 = report.checks.iter().map(|checked| checked.repaired).sum();
    assert!(repaired >= 5, "{report:#?}");
    let report = checked.look();
    assert!(report.checks.iter().all(|checked| checked.wrong == 0), "{report:#?}");
    open(&checked.url, cipher()).unwrap();
}
