//! Makes an aggressor's requests, on a thread of its own.

use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::oneshot;

use super::background::lower_priority;
use super::client::{Call, Caller};
use super::slow_body::send_slowly;
use super::tally::Tally;
use crate::load::clock::RunClock;
use crate::load::error::LoadError;
use crate::load::pace::make_requests;

/// After a refusal or no answer. Much less than `Retry-After` asks for: an aggressor does not do what it is told. Less still,
/// and it would be a flood of refused requests, which `garbage` is.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_millis(50);

/// What an aggressor does during a turn.
#[derive(Debug, Clone)]
pub(crate) enum StrikePlan {
    /// Each worker makes its calls in turn, again and again.
    Loops(Vec<Vec<Call>>),
    /// The calls in turn at a constant pace.
    Paced {
        calls: Vec<Call>,
        per_second: f64,
        /// At most this many at once.
        connections: usize,
    },
    /// All at once, and each only once.
    Once(Vec<Call>),
    SlowBodies {
        connections: usize,
        key: Arc<str>,
    },
    /// What was prepared is enough.
    Nothing,
}

/// A strike that goes on until it is stopped.
pub(crate) struct RunningStrike {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl RunningStrike {
    /// Begins to strike the engine at `base`.
    pub(crate) fn begin(
        plan: StrikePlan,
        base: String,
        tally: Arc<Tally>,
        clock: RunClock,
    ) -> Result<Self, LoadError> {
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("aggressor".to_owned())
            .spawn(move || {
                lower_priority();
                actix_rt::System::new().block_on(async move {
                    tokio::select! {
                        () = strike(plan, base, tally, clock) => {}
                        _ = stopped => {}
                    }
                });
            })
            .map_err(LoadError::system("the aggressor's thread can't be started"))?;
        Ok(Self { stop, thread })
    }

    /// Stops, and waits until its connections are closed.
    pub(crate) async fn stop(self) {
        drop(self.stop);
        let thread = self.thread;
        // a panic on that thread was printed there, and shows in its counts
        let _ = actix_rt::task::spawn_blocking(move || thread.join()).await;
    }
}

/// Returns only when it is stopped, which drops it together with everything it spawned.
async fn strike(plan: StrikePlan, base: String, tally: Arc<Tally>, clock: RunClock) {
    let caller = Caller::new(&base);
    match plan {
        StrikePlan::Loops(workers) => {
            let workers = workers.into_iter().map(|calls| {
                let (caller, tally) = (caller.clone(), Arc::clone(&tally));
                actix_rt::spawn(async move {
                    for number in 0.. {
                        make(&caller, &calls[number as usize % calls.len()], number, &tally).await;
                    }
                })
            });
            join_all(workers).await;
        }
        StrikePlan::Paced { calls, per_second, connections } => {
            let calls = Rc::new(calls);
            make_requests(u64::MAX, connections, Some(per_second), clock, move |number, _| {
                let (caller, calls, tally) = (caller.clone(), Rc::clone(&calls), Arc::clone(&tally));
                async move { make(&caller, &calls[number as usize % calls.len()], number, &tally).await }
            })
            .await;
        }
        StrikePlan::Once(calls) => {
            join_all(calls.iter().map(|call| make(&caller, call, 0, &tally))).await;
        }
        StrikePlan::SlowBodies { connections, key } => {
            let address = base.strip_prefix("http://").unwrap_or(&base);
            join_all((0..connections).map(|_| send_slowly(address, &key, &tally))).await;
        }
        StrikePlan::Nothing => {}
    }
    std::future::pending().await
}

async fn make(caller: &Caller, call: &Call, number: u64, tally: &Tally) {
    tally.begin();
    let answer = caller.send(call, number).await;
    tally.end(answer.as_ref().map(|answer| answer.status));
    if answer.is_none_or(|answer| answer.is_refusal()) {
        tokio::time::sleep(PAUSE_AFTER_REFUSAL).await;
    }
}
