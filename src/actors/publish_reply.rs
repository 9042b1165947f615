//! How the result of a commit reaches a publisher that waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::fairness::shares::Holding;
use super::publication::{PublishError, Published};

pub(crate) type PublishResult = Result<Published, PublishError>;

/// The publisher of one event. What it holds of the limits is returned when this is dropped.
pub(crate) enum PublishReply {
    /// A single event.
    Single(oneshot::Sender<PublishResult>, #[expect(dead_code, reason = "held until it is dropped")] [Holding; 3]),
    /// An item of a batch, by its index.
    Item(Arc<BatchReply>, usize),
}

impl PublishReply {
    /// Whether nobody waits for the result any more: nothing was promised.
    pub(crate) fn is_abandoned(&self) -> bool {
        match self {
            Self::Single(reply, _) => reply.is_closed(),
            Self::Item(batch, _) => batch.is_abandoned.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn answer(self, result: PublishResult) {
        match self {
            // a publisher that hung up misses its result; the event is stored
            Self::Single(reply, _) => drop(reply.send(result)),
            Self::Item(batch, index) => batch.answer(index, result),
        }
    }
}

/// The publisher of a batch, whose events may be stored by several commits.
pub(crate) struct BatchReply {
    results: Mutex<BatchResults>,
    /// After every result.
    progressed: Notify,
    is_abandoned: AtomicBool,
    #[expect(dead_code, reason = "held until it is dropped")]
    holdings: [Holding; 3],
}

struct BatchResults {
    of_items: Vec<Option<PublishResult>>,
    left: usize,
}

impl BatchReply {
    /// For this many items.
    pub(crate) fn new(items: usize, holdings: [Holding; 3]) -> Arc<Self> {
        let results = BatchResults { of_items: (0..items).map(|_| None).collect(), left: items };
        Arc::new(Self {
            results: Mutex::new(results),
            progressed: Notify::new(),
            is_abandoned: AtomicBool::new(false),
            holdings,
        })
    }

    fn answer(&self, index: usize, result: PublishResult) {
        let mut results = self.results.lock();
        if results.of_items[index].replace(result).is_none() {
            results.left -= 1;
        }
        drop(results);
        self.progressed.notify_one();
    }

    /// Waits until another item has its result. Returns whether any is left.
    pub(crate) async fn progress(&self) -> bool {
        self.progressed.notified().await;
        self.results.lock().left > 0
    }

    /// The results, in order; an item without one was lost with the engine.
    pub(crate) fn take(&self) -> Vec<PublishResult> {
        let results = std::mem::take(&mut self.results.lock().of_items);
        results.into_iter().map(|result| result.unwrap_or(Err(PublishError::Stopping))).collect()
    }

    /// How many items have a result.
    pub(crate) fn done(&self) -> usize {
        let results = self.results.lock();
        results.of_items.len() - results.left
    }
}

/// Held by the publisher: when it stops waiting, what is not stored yet is left out.
pub(crate) struct WaitsForBatch(pub(crate) Arc<BatchReply>);

impl Drop for WaitsForBatch {
    fn drop(&mut self) {
        self.0.is_abandoned.store(true, Ordering::Relaxed);
    }
}
