//! Rows per second of the store's group commit: `cargo bench --bench store_commit [-- postgres://…]`.
//!
//! Not a criterion bench: the point is a database that grows while it is measured, not one commit repeated.

use std::sync::Arc;

use bytes::Bytes;
use ringback::domain::attempt::{AttemptResult, NextStep, Outcome, Response};
use ringback::domain::delivery::DeliveryFilter;
use ringback::domain::endpoint::Endpoint;
use ringback::domain::event::Event;
use ringback::domain::ids::{DeliveryId, EndpointId, EventId, IdGenerator, OrganizationId};
use ringback::domain::random::CountingRandomSource;
use ringback::domain::secret::Secret;
use ringback::domain::sent_request::{EndpointHeaders, HeaderStyle, SentRequest};
use ringback::domain::signing::StandardSignature;
use ringback::domain::time::UnixMillis;
use ringback::store::cipher::Cipher;
use ringback::store::{DueRequest, NewEvent, PageRequest, Store, WriteBatch, open};

const ORGANIZATIONS: usize = 10;
const ENDPOINTS: usize = 1_000;
const EVENTS_A_COMMIT: usize = 200;
const FAN_OUT: usize = 10;
const COMMITS: usize = 100;
const BODY_BYTES: usize = 1_024;
const SECRET: &str = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0";

fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let url = std::env::args().find(|argument| argument.contains("://"));
    let url = url.unwrap_or_else(|| format!("sqlite://{}", folder.path().join("bench.db").display()));
    let key = Secret::new(String::from("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="));
    let store = open(&url, Cipher::from_master_key(&key, Arc::new(CountingRandomSource::default()))?)?;
    let mut ids = IdGenerator::new(0, store.largest_id()?);
    let mut now = UnixMillis(1_767_225_600_000);
    let organizations: Vec<OrganizationId> = (0..ORGANIZATIONS).map(|_| OrganizationId(ids.next(now))).collect();
    let endpoints: Vec<EndpointId> = (0..ENDPOINTS).map(|_| EndpointId(ids.next(now))).collect();
    for (index, &id) in endpoints.iter().enumerate() {
        store.create_endpoint(&endpoint(id, organizations[index % ORGANIZATIONS], now))?;
    }
    let (mut insert, mut update) = (0.0, 0.0);
    for commit in 0..COMMITS {
        now.0 += 100;
        let events: Vec<NewEvent> = (0..EVENTS_A_COMMIT)
            .map(|n| {
                let organization = (commit * EVENTS_A_COMMIT + n) % ORGANIZATIONS;
                let targets = (0..FAN_OUT)
                    .map(|k| endpoints[(n * 70 + k * 10 * 7 + organization) / 10 % 100 * 10 + organization]);
                new_event(&mut ids, organizations[organization], targets, now)
            })
            .collect();
        let outcomes: Vec<Outcome> = events.iter().flat_map(outcomes).collect();
        let started = begin();
        store.commit(&WriteBatch { events, ..WriteBatch::default() }, now)?;
        insert += started.elapsed().as_secs_f64();
        let started = begin();
        store.commit(&WriteBatch { outcomes, ..WriteBatch::default() }, now)?;
        update += started.elapsed().as_secs_f64();
    }
    let deliveries = (COMMITS * EVENTS_A_COMMIT * FAN_OUT) as f64;
    println!(
        "accepting: {:>8.0} deliveries/s ({EVENTS_A_COMMIT} events x {FAN_OUT} a commit)",
        deliveries / insert
    );
    println!("outcomes:  {:>8.0} deliveries/s ({} a commit)", deliveries / update, EVENTS_A_COMMIT * FAN_OUT);
    println!("both:      {:>8.0} deliveries/s", deliveries / (insert + update));
    reads(store.as_ref(), &organizations, &endpoints, &mut ids, now)
}

/// Times the reads of a running engine, on the database that the writes left.
fn reads(
    store: &dyn Store,
    organizations: &[OrganizationId],
    endpoints: &[EndpointId],
    ids: &mut IdGenerator,
    now: UnixMillis,
) -> anyhow::Result<()> {
    for _ in 0..20 {
        let events: Vec<NewEvent> = (0..ENDPOINTS)
            .map(|n| new_event(ids, organizations[n % ORGANIZATIONS], [endpoints[n]; FAN_OUT].into_iter(), now))
            .collect();
        store.commit(&WriteBatch { events, ..WriteBatch::default() }, now)?;
    }
    let timed = |name: &str, work: &dyn Fn() -> anyhow::Result<usize>| -> anyhow::Result<()> {
        let started = begin();
        let rows = work()?;
        println!("{name}: {rows} rows in {:.1} ms", started.elapsed().as_secs_f64() * 1e3);
        Ok(())
    };
    let page = PageRequest { before_id: None, limit: 50 };
    let old = PageRequest { before_id: Some(ids.next(UnixMillis(now.0 - 5_000))), limit: 50 };
    let all = DeliveryFilter::default();
    let of_endpoint = DeliveryFilter { endpoint_id: Some(endpoints[0]), ..all.clone() };
    let failed =
        DeliveryFilter { status: Some(ringback::domain::delivery::DeliveryStatus::Failed), ..all.clone() };
    let nothing = DeliveryFilter { response_code: Some((599, 599)), ..all.clone() };
    let request = DueRequest {
        now,
        max_deliveries: 100,
        max_bytes: 1 << 20,
        max_first_bytes: usize::MAX,
        after: None,
        known: Vec::new(),
    };
    let organization_id = organizations[0];
    timed("agenda", &|| Ok(store.scan_agenda(None, 100_000)?.len()))?;
    timed("due", &|| Ok(store.due_deliveries(organization_id, endpoints[0], &request)?.deliveries.len()))?;
    timed("count pending", &|| Ok(store.count_pending()? as usize))?;
    for (name, filter, page) in [
        ("log", &all, page),
        ("log, older", &all, old),
        ("log of an endpoint", &of_endpoint, page),
        ("log of failures", &failed, page),
        ("log without matches (whole organization)", &nothing, page),
    ] {
        timed(name, &|| Ok(store.deliveries(organization_id, filter, page)?.rows.len()))?;
    }
    Ok(())
}

fn new_event(
    ids: &mut IdGenerator,
    organization_id: OrganizationId,
    targets: impl Iterator<Item = EndpointId>,
    now: UnixMillis,
) -> NewEvent {
    let event = Event {
        id: EventId(ids.next(now)),
        organization_id,
        event_type: String::from("call.completed"),
        occurred_at: now,
        accepted_at: now,
        body: Bytes::from(vec![b'x'; BODY_BYTES]),
        trace: None,
    };
    let deliveries = targets.map(|endpoint_id| (DeliveryId(ids.next(now)), endpoint_id)).collect();
    NewEvent { event: Arc::new(event), deliveries, labels: None, idempotency: None, batch: None }
}

/// Attempts as the engine stores them: the cost of a delivery depends on which values follow from its row.
fn outcomes(new: &NewEvent) -> Vec<Outcome> {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let headers = vec![header("content-length", "0"), header("date", "Thu, 01 Jan 2026 00:00:00 GMT")];
    let response = Response::new(200, headers, Bytes::new());
    let event = &new.event;
    let request = SentRequest {
        endpoint: Arc::new(EndpointHeaders::new(
            "Ringback/0.1.0",
            HeaderStyle::Native,
            String::from("x-callintel"),
            Vec::new(),
        )),
        event_id: event.id,
        document: Some([0xa5; 32]),
        previous_document: None,
        standard: vec![StandardSignature::Hmac([0x5a; 32])],
    };
    let of = |&(delivery_id, endpoint_id): &(DeliveryId, EndpointId)| Outcome {
        organization_id: event.organization_id,
        endpoint_id,
        delivery_id,
        number: 1,
        started_at: event.accepted_at,
        finished_at: event.accepted_at,
        ordered: false,
        request: request.clone(),
        result: AttemptResult { response: Ok(response.clone()), duration: std::time::Duration::from_millis(3) },
        next: NextStep::Succeeded,
    };
    new.deliveries.iter().map(of).collect()
}

fn endpoint(id: EndpointId, organization_id: OrganizationId, now: UnixMillis) -> Endpoint {
    Endpoint::new(id, organization_id, "https://example.com/hook", Secret::new(String::from(SECRET)), now)
}

#[expect(clippy::disallowed_methods, reason = "a bench measures the machine's time")]
fn begin() -> std::time::Instant {
    std::time::Instant::now()
}
