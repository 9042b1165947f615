//! A file system without room: nothing is acknowledged that is not stored, and nothing that was is lost or sent again.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use test_support::engine::{Serve, eventually};
use test_support::receiver::Receiver;
use test_support::small_disk::SmallDisk;
use test_support::world::{Database, EVENT_TYPE, Publishers, World};

const DISK: usize = 12 << 20;
/// Each hears of a refusal four times a second.
const PUBLISHERS: usize = 16;
const MAX_IN_FLIGHT: usize = 4;

fn database_on(folder: &Path) -> Database {
    let url = format!("sqlite://{}", folder.join("ringback.db").display());
    Database { folder: tempfile::tempdir().unwrap(), url }
}

/// How often each event came.
fn times_by_event(receiver: &Receiver) -> HashMap<String, usize> {
    let mut times = HashMap::new();
    for seen in receiver.seen() {
        *times.entry(seen.event_id()).or_default() += 1;
    }
    times
}

#[test]
fn on_a_full_disk_nothing_is_acknowledged_or_sent_again_and_with_room_it_goes_on_by_itself() {
    let Some(disk) = SmallDisk::mount(DISK) else { return };
    let database = database_on(disk.path());
    // the log is on that disk as well, as in many a container, and says a lot
    let serve = Serve::new(disk.path(), &database.url).set("RINGBACK_LOG", "info,ringback::delivery=debug");
    let mut world = World::start(database, serve);
    // one answers at once, one only when the disk is full
    let (quick, slow) = (Receiver::ok(), Receiver::holding(200));
    world.webhook(&quick, json!({"max_in_flight": MAX_IN_FLIGHT}));
    world.webhook(&slow, json!({"max_in_flight": MAX_IN_FLIGHT, "timeout": 60}));
    let publishers = Publishers::start(PUBLISHERS, &world.api);
    publishers.eventually_more(100);
    eventually("attempts are in flight", || (slow.count() >= MAX_IN_FLIGHT).then_some(()));

    let filler = disk.fill();
    publishers.eventually_more_refused(32);
    slow.release();
    eventually("readiness says that nothing can be stored", || {
        (world.api.get("/health/ready").status == 503).then_some(())
    });
    world.api.get("/health/live").expect(200);
    world.api.get("/v1/webhooks").expect(200);
    world.api.get("/v1/webhooks/logs?limit=10").expect(200);
    publishers.eventually_more_refused(32);
    // what can't be written down is not sent on: two rounds of what may be in flight, and then nothing more
    eventually("attempts have ended", || {
        (world.api.metric("ringback_attempts_in_flight", "") == 0.0).then_some(())
    });
    let sent = (quick.count(), slow.count());
    publishers.eventually_more_refused(128);
    assert_eq!((quick.count(), slow.count()), sent, "sent on, though no outcome can be stored");
    assert!(slow.count() <= 2 * MAX_IN_FLIGHT, "{} requests that are not on disk", slow.count());
    assert!(world.engine.is_running());

    let made_room = std::time::Instant::now();
    filler.remove();
    publishers.eventually_more(1);
    let recovered = made_room.elapsed();
    publishers.eventually_more(100);
    eventually("it is ready again", || (world.api.get("/health/ready").status == 200).then_some(()));
    let heard = publishers.stop();
    let kinds: Vec<_> = heard.refused.keys().collect();
    assert!(kinds.iter().all(|(status, retry_after)| *status == 503 && !retry_after.is_empty()), "{kinds:?}");

    world.eventually_idle();
    for receiver in [&quick, &slow] {
        let times = times_by_event(receiver);
        let lost: Vec<_> = heard.acknowledged.iter().filter(|id| !times.contains_key(*id)).collect();
        assert!(lost.is_empty(), "{} of {} acknowledged are lost", lost.len(), heard.acknowledged.len());
        let again: Vec<_> = times.iter().filter(|(_, count)| **count > 1).collect();
        assert!(again.is_empty(), "sent again: {again:?}");
    }
    let lines = world.engine.log().matches("database not available").count();
    assert!(lines < 5, "{lines} lines about it in the log, which is on the same disk");
    println!(
        "measured: {} acknowledged, {:?} refused; accepted again {recovered:?} after there was room; {lines} lines \
         about it in the log",
        heard.acknowledged.len(),
        heard.refused
    );
    world.kill_and_restart();
    world.eventually_idle();
    let last = heard.acknowledged.last().unwrap();
    world.api.get(&format!("/v1/events/{last}")).expect(200);
    world.engine.kill();
    world.database.check_integrity();
}

#[test]
fn a_start_on_a_full_disk_takes_nothing_or_is_refused_with_the_reason_and_goes_on_with_room() {
    let Some(disk) = SmallDisk::mount(4 << 20) else { return };
    let database = database_on(disk.path());
    let filler = disk.fill();
    let said = database.serve().refusal();
    assert!(said.contains("disk is full") && said.contains("ringback.db"), "{said}");
    filler.remove();

    let mut world = World::new(database);
    let receiver = Receiver::ok();
    world.webhook(&receiver, json!({}));
    world.publish(1);
    world.eventually_idle();
    // after a kill all files of the database are there: it can be read, so the log can
    world.engine.kill();
    let filler = disk.fill();
    world.engine.kill_and_restart(&world.serve);
    world.api.get("/v1/webhooks/logs").expect(200);
    let event = json!({"event_type": EVENT_TYPE, "data": {}});
    // there may be room for a few in the log that is there already
    let refused = eventually("publishers are refused", || {
        Some(world.api.post("/v1/events", &event)).filter(|answer| answer.status != 202)
    });
    assert_eq!((refused.status, refused.header("retry-after")), (503, "1"), "{refused:?}");
    filler.remove();
    eventually("publishers are accepted", || (world.api.post("/v1/events", &event).status == 202).then_some(()));
    world.eventually_idle();

    // after an orderly end SQLite has to create its files again
    world.engine.terminate();
    assert!(world.engine.end().success());
    // an engine that was busy may have left them; whoever opens and closes the database removes them
    world.database.check_integrity();
    assert!(!disk.path().join("ringback.db-wal").exists());
    let filler = disk.fill();
    let said = world.serve.refusal();
    assert!(said.contains("disk is full") && said.contains("ringback.db"), "{said}");
    filler.remove();
    world.engine.kill_and_restart(&world.serve);
    world.publish(3);
    world.eventually_idle();
}

#[test]
fn a_database_that_can_not_be_written_to_is_refused_with_the_reason() {
    let Some(disk) = SmallDisk::mount(4 << 20) else { return };
    let world = World::new(database_on(disk.path()));
    let World { engine, serve, database: _database, .. } = world;
    drop(engine);
    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(disk.path()).status().unwrap();
    assert!(remounted.success());
    let said = serve.refusal();
    assert!(said.contains("ringback.db") && said.contains("Read-only"), "{said}");

    let nowhere = tempfile::tempdir().unwrap();
    let missing = format!("sqlite://{}/missing/ringback.db", nowhere.path().display());
    let said = Serve::new(nowhere.path(), &missing).refusal();
    assert!(said.contains("missing of the database file does not exist"), "{said}");
}
