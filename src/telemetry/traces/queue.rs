//! Spans that wait for the exporter. Bounded: when a collector is slow or gone, spans are dropped and counted, and nobody who
//! makes one waits.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::span::Span;
use crate::telemetry::SpansDropped;

/// Smaller: a pause of the collector loses spans. Larger: a collector that is gone costs memory, about 2 KB a span.
const MAX_SPANS: usize = 8_192;
/// Spans in one request. Larger: some collectors refuse it for its size.
const MAX_BATCH: usize = 512;
/// How long a batch waits for more. Smaller: more requests. Larger: spans are seen later, and more are lost in a crash.
const GATHER: Duration = Duration::from_millis(500);

/// Between those who make spans and the thread that exports them.
#[derive(Default)]
pub(crate) struct SpanQueue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    spans: VecDeque<Span>,
    is_closed: bool,
}

impl SpanQueue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Never waits.
    pub(super) fn push(&self, span: Span) {
        let mut waiting = self.lock();
        if waiting.is_closed || waiting.spans.len() >= MAX_SPANS {
            drop(waiting);
            return SpansDropped::Full.count(1);
        }
        waiting.spans.push_back(span);
        let is_awaited = matches!(waiting.spans.len(), 1 | MAX_BATCH);
        drop(waiting);
        if is_awaited {
            self.changed.notify_all();
        }
    }

    /// Waits for spans; `None` once it is closed and empty.
    pub(crate) fn take(&self) -> Option<Vec<Span>> {
        let is_idle = |waiting: &mut Waiting| waiting.spans.is_empty() && !waiting.is_closed;
        let waiting = self.changed.wait_while(self.lock(), is_idle).unwrap_or_else(PoisonError::into_inner);
        let is_short = |waiting: &mut Waiting| waiting.spans.len() < MAX_BATCH && !waiting.is_closed;
        let gathered = self.changed.wait_timeout_while(waiting, GATHER, is_short);
        let (mut waiting, _) = gathered.unwrap_or_else(PoisonError::into_inner);
        let count = waiting.spans.len().min(MAX_BATCH);
        (count > 0).then(|| waiting.spans.drain(..count).collect())
    }

    /// Takes no more.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// Waits so long, or until it is closed; returns whether it is.
    pub(crate) fn is_closed_within(&self, pause: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), pause, |waiting| !waiting.is_closed);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_closed
    }

    /// Drops what is left, when there is no time for it.
    pub(crate) fn abandon(&self) -> usize {
        std::mem::take(&mut self.lock().spans).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::UnixMillis;
    use crate::domain::trace_context::TraceContext;
    use crate::telemetry::traces::span::Kind;

    fn span() -> Span {
        let context = TraceContext::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", []).unwrap();
        Span::new("test", Kind::Internal, context, None, UnixMillis(0))
    }

    #[test]
    fn it_holds_no_more_than_its_bound_and_gives_out_batches_until_it_is_empty() {
        let queue = SpanQueue::default();
        (0..MAX_SPANS + 100).for_each(|_| queue.push(span()));
        queue.close();
        queue.push(span());
        let mut taken = 0;
        while let Some(batch) = queue.take() {
            assert!(batch.len() <= MAX_BATCH);
            taken += batch.len();
        }
        assert_eq!(taken, MAX_SPANS);
    }

    #[test]
    fn whoever_waits_is_woken_when_it_closes() {
        let queue = std::sync::Arc::new(SpanQueue::default());
        let waiter = std::thread::spawn({
            let queue = queue.clone();
            move || (queue.take().is_none(), queue.is_closed_within(Duration::from_secs(3_600)))
        });
        queue.close();
        assert_eq!(waiter.join().unwrap(), (true, true));
    }
}
