//! Statements that run for every delivery on SQLite are compiled once per connection, not once per row.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use diesel::connection::{Connection, InstrumentationEvent};

use super::super::cipher::Cipher;
use super::super::connection::AnyConnection;
use super::super::event_cache::EventCache;
use super::super::{DueRequest, NewEvent, WriteBatch, sqlite};
use super::{commit, due};
use crate::domain::attempt::{AttemptError, AttemptResult, NextStep, Outcome};
use crate::domain::event::Event;
use crate::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
use crate::domain::random::CountingRandomSource;
use crate::domain::secret::Secret;
use crate::domain::statistics::StatisticsDelta;
use crate::domain::time::UnixMillis;

const ORGANIZATION: OrganizationId = OrganizationId(1);
const ENDPOINT: EndpointId = EndpointId(2);
const NOW: UnixMillis = UnixMillis(1_767_225_600_000);

/// The texts of statements that were run, and of those that were kept compiled.
#[derive(Default)]
struct ObservedStatements {
    run: HashSet<String>,
    kept: HashSet<String>,
}

fn outcome(delivery_id: i64, number: u32, ordered: bool, next: NextStep) -> Outcome {
    Outcome {
        organization_id: ORGANIZATION,
        endpoint_id: ENDPOINT,
        delivery_id: DeliveryId(delivery_id),
        number,
        started_at: NOW,
        finished_at: NOW,
        ordered,
        request: crate::domain::sent_request::SentRequest::default(),
        result: AttemptResult { response: Err(AttemptError::Timeout), duration: std::time::Duration::ZERO },
        next,
    }
}

#[test]
fn every_statement_of_a_delivery_is_compiled_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = sqlite::open_for_plans(folder.path().join("cached.db")).unwrap();
    let seen = Arc::new(Mutex::new(ObservedStatements::default()));
    let (seeing, AnyConnection::Sqlite(sqlite)) = (Arc::clone(&seen), &mut connection) else { unreachable!() };
    sqlite.set_instrumentation(move |event: InstrumentationEvent<'_>| match event {
        InstrumentationEvent::StartQuery { query, .. } => {
            let text = query.to_string();
            let text = text.split(" -- binds").next().unwrap_or_default().to_owned();
            seeing.lock().unwrap().run.insert(text);
        }
        InstrumentationEvent::CacheQuery { sql, .. } => _ = seeing.lock().unwrap().kept.insert(sql.to_owned()),
        _ => {}
    });

    let key = Secret::new(String::from("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="));
    let cipher = Cipher::from_master_key(&key, Arc::new(CountingRandomSource::default())).unwrap();
    let event = Event {
        id: EventId(100),
        organization_id: ORGANIZATION,
        event_type: String::from("call.completed"),
        occurred_at: NOW,
        accepted_at: NOW,
        body: Bytes::from_static(b"{}"),
        trace: None,
    };
    let deliveries = (101..106).map(|id| (DeliveryId(id), ENDPOINT)).collect();
    let events =
        vec![NewEvent { event: Arc::new(event), deliveries, labels: None, idempotency: None, batch: None }];
    let retry = NextStep::RetryAt(NOW);
    let outcomes = vec![
        outcome(101, 1, false, NextStep::Succeeded),
        outcome(102, 1, false, retry),
        outcome(102, 2, false, NextStep::Failed),
        outcome(103, 1, true, retry),
    ];
    let recorded = outcomes.len();
    let statistics = outcomes.iter().map(StatisticsDelta::of).collect();
    let batch = WriteBatch { events, outcomes, statistics, ..WriteBatch::default() };
    let report = commit::commit(
        &mut connection,
        &batch,
        commit::Commit { cipher: &cipher, lead: None, fence: None, now: NOW },
    )
    .unwrap();
    assert_eq!(report.outcomes_recorded, vec![true; recorded]);

    let request = DueRequest {
        now: NOW,
        max_deliveries: 9,
        max_bytes: 99,
        max_first_bytes: 99,
        after: None,
        known: vec![DeliveryId(104)],
    };
    let recent = EventCache::default();
    let page = due::DuePageReader {
        organization_id: ORGANIZATION,
        endpoint_id: ENDPOINT,
        request: &request,
        recent: &recent,
    };
    let found: Vec<i64> =
        page.read(&mut connection).unwrap().deliveries.iter().map(|delivery| delivery.id.0).collect();
    assert_eq!(found, [103, 105]);

    let ObservedStatements { run, kept } = &*seen.lock().unwrap();
    let again: Vec<_> = run
        .difference(kept)
        .filter(|sql| !["BEGIN", "BEGIN IMMEDIATE", "COMMIT"].contains(&sql.as_str()))
        .collect();
    assert!(again.is_empty(), "{again:#?}");
    assert!(run.iter().filter(|sql| sql.starts_with("UPDATE")).count() == 3, "{run:#?}");
}
