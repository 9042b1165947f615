//! A 202 is on disk: the system calls of the engine come in the order that the promise needs.
//!
//! Every event has a mark of its own in its data, and so is found in what the engine writes to its database.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use serde_json::{Value, json};
use test_support::engine::{Api, eventually, text};
use test_support::postgres;
use test_support::system_calls::{Call, can_trace, traced};
use test_support::tally::Tally;
use test_support::world::{Database, EVENT_TYPE, World};

const CLIENTS: usize = 16;
/// Events that each client posts one by one, and then in batches.
const SINGLE: usize = 125;
const BATCH: usize = 25;
const BATCHES: usize = 8;
/// What all of them post.
const EVENTS: usize = CLIENTS * (SINGLE + BATCH * BATCHES);

const MARK: &str = "mark-";
const MARK_DIGITS: usize = 7;
const EVENT_ID: &str = "msg_";
const EVENT_ID_DIGITS: usize = 13;

#[test]
fn an_event_is_in_the_synced_write_ahead_log_before_its_202_is_sent() {
    let calls = "pwrite64,pwritev,writev,sendto,sendmsg,fsync,fdatasync";
    let Some((database, acknowledged, calls)) = publish_traced(Database::sqlite(), calls) else { return };
    let folder = format!("<{}>", database.folder.path().display());
    let syncs_of = |of: &str| {
        let syncs = calls.iter().filter(|call| call.name.ends_with("sync") && call.descriptor.ends_with(of));
        syncs.filter(|call| call.text.trim_end().ends_with("= 0")).collect::<Vec<_>>()
    };
    let syncs = syncs_of("ringback.db-wal>");
    let is_write = |call: &&Call| call.name.starts_with("pwrite") && call.descriptor.ends_with("ringback.db-wal>");
    let writes: Vec<&Call> = calls.iter().filter(is_write).collect();
    let stored = first_with_each(&writes, MARK, MARK_DIGITS);
    let directory_synced = syncs_of(&folder).first().and_then(|call| call.ended);
    let covering = |write: &Call| {
        let sync = syncs[syncs.partition_point(|sync| Some(sync.began) <= write.ended)..].first()?;
        // one transaction at a time is written: what this sync covers ends with a commit
        let before = &writes[..writes.partition_point(|write| write.began < sync.began)];
        let all_ended = before.iter().all(|write| write.ended < Some(sync.began));
        let header = before.iter().rev().find_map(|write| frame_header(write))?;
        (all_ended && is_commit(&header)).then_some(sync.ended?)
    };
    let durable_at = |mark: &str| Some(covering(stored.get(mark)?)?.max(directory_synced?));
    let (answers, violations) = check(&acknowledged, &calls, durable_at);
    println!(
        "measured: {answers} answers of 202, {} writes and {} syncs of the write-ahead log: {} violations",
        writes.len(),
        syncs.len(),
        violations.len()
    );
    assert!(violations.is_empty(), "{} of {EVENTS}: {:?}", violations.len(), violations[0]);
}

#[test]
fn postgres_has_confirmed_the_commit_of_an_event_before_its_202_is_sent() {
    let Some(database) = Database::postgres() else { return };
    let Some((_database, acknowledged, calls)) = publish_traced(database, "sendto,sendmsg,writev,recvfrom") else {
        return;
    };
    let sends: Vec<&Call> = calls.iter().filter(|call| call.name == "sendto" && !is_answer(call)).collect();
    let stored = first_with_each(&sends, MARK, MARK_DIGITS);
    // done, and no transaction is open any more: only `ReadyForQuery` says that it is on disk
    let is_confirmation = |call: &&Call| {
        let says = [r#"COMMIT\0Z\0\0\0\5I""#, r#"SELECT 1\0Z\0\0\0\5I""#];
        call.name == "recvfrom" && says.iter().any(|says| call.text.contains(says))
    };
    let confirmations: Vec<&Call> = calls.iter().filter(is_confirmation).collect();
    let durable_at = |mark: &str| {
        let send = stored.get(mark)?;
        let later = &confirmations[confirmations.partition_point(|read| read.ended <= send.ended)..];
        later.iter().find(|read| read.descriptor == send.descriptor)?.ended
    };
    let (answers, violations) = check(&acknowledged, &calls, durable_at);
    println!(
        "measured: {answers} answers of 202, {} commits confirmed by PostgreSQL: {} violations",
        confirmations.len(),
        violations.len()
    );
    assert!(violations.is_empty(), "{} of {EVENTS}: {:?}", violations.len(), violations[0]);
}

#[test]
fn a_postgres_database_that_is_set_to_commit_later_keeps_what_was_acknowledged_through_a_crash_all_the_same() {
    // left to itself, this server writes what it committed seconds later
    let Some(server) = postgres::private_with("fsync=on wal_writer_delay=10000ms") else { return };
    let url = server.create_database();
    let name = url.rsplit('/').next().unwrap();
    server.execute(&format!("ALTER DATABASE {name} SET synchronous_commit = off"));
    let world = World::new(Database { folder: tempfile::tempdir().unwrap(), url });
    let acknowledged: HashSet<String> = (0..20).map(|number| world.publish(number)).collect();
    server.stop().unwrap();
    server.start_again().unwrap();
    eventually("it is ready again", || (world.api.get("/health/ready").status == 200).then_some(()));
    let stored = world.api.get("/v1/events?limit=200").expect(200).json();
    let stored = stored["data"].as_array().unwrap().iter().map(|event| text(event, "id").to_owned()).collect();
    let lost: Vec<_> = acknowledged.difference(&stored).collect();
    assert!(lost.is_empty(), "{} of {} are lost", lost.len(), acknowledged.len());
}

#[test]
fn a_postgres_server_that_does_not_sync_is_refused() {
    let Some(server) = postgres::private_with("fsync=off") else { return };
    let database = Database { folder: tempfile::tempdir().unwrap(), url: server.create_database() };
    let said = database.serve().refusal();
    assert!(said.contains("fsync = off") && said.contains("switch it on"), "not helpful: {said}");
}

/// Publishes to an engine whose system calls are written down. Returns the mark of each acknowledged event by its id,
/// and the calls.
fn publish_traced(database: Database, calls: &str) -> Option<(Database, HashMap<String, String>, Vec<Call>)> {
    if !can_trace() {
        return None;
    }
    let (serve, trace) = traced(database.serve(), database.folder.path(), calls);
    let mut world = World::start(database, serve);
    // so that commits hold outcomes as well, and new ones begin while earlier ones are answered
    let receiver = Tally::ok();
    world.webhooks(|number| receiver.url(number), 1, &json!({}));
    let begin = Instant::now();
    let publish = |client| {
        let api = world.api.clone();
        std::thread::spawn(move || publish_all(&api, client))
    };
    let clients: Vec<_> = (0..CLIENTS).map(publish).collect();
    let acknowledged: HashMap<String, String> =
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    println!("{} events acknowledged in {:?}", acknowledged.len(), begin.elapsed());
    assert_eq!(acknowledged.len(), EVENTS);
    world.engine.terminate();
    let calls = trace.of_ended(&mut world.engine);
    Some((world.database, acknowledged, calls))
}

fn publish_all(api: &Api, client: usize) -> Vec<(String, String)> {
    let first = client * EVENTS / CLIENTS;
    let mut acknowledged = Vec::new();
    for number in first..first + SINGLE {
        let answer = api.post("/v1/events", &event(number)).expect(202).json();
        acknowledged.push((text(&answer, "id").to_owned(), mark(number)));
    }
    for batch in 0..BATCHES {
        let numbers = (0..BATCH).map(|index| first + SINGLE + batch * BATCH + index);
        let events: Vec<Value> = numbers.clone().map(event).collect();
        let answer = api.post("/v1/events/batch", &json!(events)).expect(202).json();
        let ids = answer["data"].as_array().unwrap().iter().map(|item| text(item, "id").to_owned());
        acknowledged.extend(ids.zip(numbers.map(mark)));
    }
    acknowledged
}

fn mark(number: usize) -> String {
    format!("{MARK}{number:0MARK_DIGITS$}")
}

/// Twice in its data: a message that is sent in two parts can tear only one of them.
fn event(number: usize) -> Value {
    json!({"event_type": EVENT_TYPE, "data": {"mark": mark(number), "again": mark(number)}})
}

/// How many answers there are, and which of them began before their event was durable.
fn check(
    acknowledged: &HashMap<String, String>,
    calls: &[Call],
    durable_at: impl Fn(&str) -> Option<usize>,
) -> (usize, Vec<String>) {
    let answers: Vec<&Call> = calls.iter().filter(|call| is_answer(call)).collect();
    let answered = first_with_each(&answers, EVENT_ID, EVENT_ID_DIGITS);
    let violation = |(id, mark): (&String, &String)| {
        let Some(answer) = answered.get(id.as_str()) else { return Some(format!("{id}: no call answers it")) };
        let durable = durable_at(mark);
        let is_kept = durable.is_some_and(|durable| durable < answer.began);
        (!is_kept).then(|| format!("{id} ({mark}): answered in {}, durable in {durable:?}", answer.began))
    };
    (answers.len(), acknowledged.iter().filter_map(violation).collect())
}

fn is_answer(call: &Call) -> bool {
    call.descriptor.contains("<TCP") && call.text.contains("\"HTTP/1.1 202 ")
}

/// The first of the calls that holds each word which begins so.
fn first_with_each<'a>(calls: &[&'a Call], begin: &str, digits: usize) -> HashMap<&'a str, &'a Call> {
    let mut first = HashMap::new();
    for call in calls {
        for (place, _) in call.text.match_indices(begin) {
            if let Some(word) = call.text.get(place..place + begin.len() + digits) {
                first.entry(word).or_insert(*call);
            }
        }
    }
    first
}

/// The header of a page in SQLite's write-ahead log is a write of its own, of 24 bytes.
fn frame_header(write: &Call) -> Option<Vec<u8>> {
    let (_, quoted) = write.text.split_once('"')?;
    let (quoted, rest) = quoted.rsplit_once('"')?;
    rest.starts_with(", 24, ").then(|| unescaped(quoted))
}

/// With the size of the database in its second word: the last page of a transaction.
fn is_commit(header: &[u8]) -> bool {
    header[4..8] != [0; 4]
}

/// What strace wrote as in C.
fn unescaped(quoted: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = quoted.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let octal = rest.iter().take(3).take_while(|digit| (b'0'..=b'7').contains(digit)).count();
        if octal > 0 {
            let digits = std::str::from_utf8(&rest[..octal]).unwrap();
            bytes.push(u8::from_str_radix(digits, 8).unwrap());
        } else {
            let named = [(b'n', b'\n'), (b't', b'\t'), (b'r', b'\r'), (b'v', 11), (b'f', 12)];
            let named = named.iter().find(|(name, _)| *name == rest[0]);
            bytes.push(named.map_or(rest[0], |(_, byte)| *byte));
        }
        rest = &rest[octal.max(1)..];
    }
    bytes
}
