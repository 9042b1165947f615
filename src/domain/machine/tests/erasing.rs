//! Payloads that are erased while the machine has deliveries of them.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn ordered() -> MachineSettings {
    MachineSettings { ordered: true, ..settings() }
}

/// As the store does it: what is pending is cancelled, and then everyone hears of it.
fn erase(world: &mut World, id: i64) {
    if let Some(row) = world.rows.get_mut(&DeliveryId(id)) {
        row.is_final = Some(NextStep::Failed);
    }
    world.feed(Input::PayloadErased(EventId(id)));
}

fn sent(world: &World) -> Vec<i64> {
    world.sent.iter().map(|(id, ..)| id.0).collect()
}

#[test]
fn what_waits_in_memory_is_not_sent_any_more_and_holds_no_memory() {
    let mut world = World::new(ordered(), 1, always(200));
    (world.max_latency_ms, world.min_latency_ms) = (0, 1_000);
    world.run_until(START + 5 * SECOND);
    world.publish(3, true);
    let before = world.machine.payload_bytes();
    erase(&mut world, 2);
    assert_eq!(world.machine.payload_bytes(), before - 2, "a body of two bytes");
    world.run_until(START + 60 * SECOND);
    assert_eq!(sent(&world), [1, 3]);
    assert_eq!(world.machine.pending_work(world.now), PendingWork::Idle);
}

#[test]
fn what_is_being_read_is_not_sent_any_more() {
    let mut world = World::new(settings(), 1, always(200));
    world.run_until(START + 5 * SECOND);
    (world.max_latency_ms, world.min_latency_ms) = (500, 0);
    world.publish(2, false);
    assert_eq!(sent(&world), [0; 0], "a page is on its way");
    erase(&mut world, 1);
    world.run_until(START + 60 * SECOND);
    assert_eq!(sent(&world), [2]);
}

#[test]
fn those_behind_it_in_an_ordered_queue_wait_for_its_retry_no_longer() {
    let receiver: Receiver = Box::new(|now, _| if now < START + 5 * SECOND { Ok(503) } else { Ok(200) });
    let mut world = World::new(ordered(), 1, receiver);
    world.max_latency_ms = 0;
    world.publish(2, true);
    world.run_until(START + 10 * SECOND);
    assert_eq!(sent(&world), [1], "its retry is due after a minute");
    erase(&mut world, 1);
    world.run_until(START + 12 * SECOND);
    assert_eq!(sent(&world), [1, 2]);
}

#[test]
fn an_attempt_in_flight_ends_and_none_follows_it_at_once() {
    for is_erased in [false, true] {
        let receiver: Receiver =
            Box::new(|_, number| if number == 1 { Err(AttemptError::IdleConnectionClosed) } else { Ok(200) });
        let mut world = World::new(settings(), 1, receiver);
        (world.max_latency_ms, world.min_latency_ms) = (0, 1_000);
        world.publish(1, true);
        if is_erased {
            // what the store says of the outcome is another matter
            world.machine.step(Input::PayloadErased(EventId(1)), world.now, &mut SmallRng::seed_from_u64(1));
        }
        world.run_until(START + 30 * SECOND);
        assert_eq!(sent(&world).len(), if is_erased { 1 } else { 2 });
    }
}
