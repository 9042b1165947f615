//! When requests are made: each after the previous response, or at a constant pace whatever the responses do.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Mutex;
use tokio::sync::mpsc::channel;

use super::clock::RunClock;

/// Requests that are due while all connections are busy. When this many wait, the pacer waits too; due times are computed
/// from the start of the run, so a delayed pacer does not distort them.
const MAX_WAITING: usize = 65_536;

/// Makes `total` requests, at most `connections` at once, and waits for the last response. `send` gets the number of the
/// request and its due time in Unix microseconds. With a `rate` (requests per second) the due time follows the pace, so the
/// latency of a request that had to wait for a free connection includes the wait (this avoids "coordinated omission").
pub(crate) async fn make_requests<F>(
    total: u64,
    connections: usize,
    rate: Option<f64>,
    clock: RunClock,
    send: impl Fn(u64, u64) -> F + 'static,
) where
    F: Future<Output = ()> + 'static,
{
    match rate {
        Some(rate) => at_a_pace(total, connections, rate, clock, Rc::new(send)).await,
        None => one_after_the_other(total, connections, clock, Rc::new(send)).await,
    }
}

async fn one_after_the_other<F, S>(total: u64, connections: usize, clock: RunClock, send: Rc<S>)
where
    S: Fn(u64, u64) -> F + 'static,
    F: Future<Output = ()> + 'static,
{
    let next = Rc::new(Cell::new(0));
    let tasks = (0..connections).map(|_| {
        let (next, send) = (Rc::clone(&next), Rc::clone(&send));
        actix_rt::spawn(async move {
            while next.get() < total {
                let number = next.replace(next.get() + 1);
                send(number, clock.now_micros()).await;
            }
        })
    });
    join_all(tasks).await;
}

async fn at_a_pace<F, S>(total: u64, connections: usize, rate: f64, clock: RunClock, send: Rc<S>)
where
    S: Fn(u64, u64) -> F + 'static,
    F: Future<Output = ()> + 'static,
{
    let begin = clock.now_micros();
    let due_at = move |number: u64| begin + (number as f64 / rate * 1e6) as u64;
    let (due, waiting) = channel(MAX_WAITING);
    // tokio's timers are accurate to a millisecond, a thread's sleep to about 50 µs
    let pacer = actix_rt::task::spawn_blocking(move || {
        for number in 0..total {
            let wait = due_at(number).saturating_sub(clock.now_micros());
            if wait > 0 {
                std::thread::sleep(Duration::from_micros(wait));
            }
            if due.blocking_send(number).is_err() {
                return;
            }
        }
    });
    let waiting = Rc::new(Mutex::new(waiting));
    let tasks = (0..connections).map(|_| {
        let (waiting, send) = (Rc::clone(&waiting), Rc::clone(&send));
        actix_rt::spawn(async move {
            loop {
                let number = waiting.lock().await.recv().await;
                let Some(number) = number else { return };
                send(number, due_at(number)).await;
            }
        })
    });
    join_all(tasks).await;
    // it has ended: its channel is closed
    let _ = pacer.await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[actix_rt::test]
    async fn every_request_is_made_once_on_at_most_as_many_connections_as_allowed() {
        for rate in [None, Some(20_000.0)] {
            let (made, most, now) =
                (Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
            let (made_, most_, now_) = (Rc::clone(&made), Rc::clone(&most), Rc::clone(&now));
            make_requests(500, 7, rate, RunClock::start(), move |number, _| {
                let (made, most, now) = (Rc::clone(&made_), Rc::clone(&most_), Rc::clone(&now_));
                async move {
                    now.set(now.get() + 1);
                    most.set(most.get().max(now.get()));
                    tokio::task::yield_now().await;
                    made.borrow_mut().push(number);
                    now.set(now.get() - 1);
                }
            })
            .await;
            made.borrow_mut().sort_unstable();
            assert_eq!(*made.borrow(), (0..500).collect::<Vec<u64>>());
            assert!(most.get() <= 7);
        }
    }

    #[actix_rt::test]
    async fn due_times_follow_the_pace_even_while_all_connections_are_busy() {
        let instants = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&instants);
        let clock = RunClock::start();
        make_requests(20, 1, Some(1_000.0), clock, move |_, at| {
            let seen = Rc::clone(&seen);
            async move {
                seen.borrow_mut().push((at, clock.now_micros()));
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        let instants = instants.borrow();
        let spread: Vec<u64> = instants.iter().map(|(at, _)| at - instants[0].0).collect();
        assert_eq!(spread, (0..20).map(|number| number * 1_000).collect::<Vec<u64>>());
        let (at, made) = instants[19];
        assert!(made - at > 50_000, "the last request waited for 19 responses of 5 ms, less 19 ms of the pace");
    }
}
