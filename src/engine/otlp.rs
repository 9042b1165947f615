//! The thread that sends spans to a collector. A collector that is slow, broken or gone costs spans, which are counted, and
//! nothing else.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use bytes::Bytes;

use super::{EngineError, master_key};
use crate::config::{OtlpSettings, Settings};
use crate::domain::time::Clock;
use crate::store::cipher::Cipher;
use crate::telemetry::traces::{Resource, Span, SpanQueue, Traces, encode, rejected};
use crate::telemetry::{ExportFailed, SpansDropped, SpansExported};
use crate::transport::{CollectorAddress, CollectorAnswer, CollectorClient};

/// For one request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Before a failed request is made again, the first time; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// How often a batch is sent. More: while a collector is gone, older spans are kept and newer ones dropped.
const MOST_TRIES: u32 = 5;
/// How long a stop waits for the last spans. Larger: a collector that hangs delays every stop by as much.
const FLUSH_LIMIT: Duration = Duration::from_secs(3);

/// Exports the spans of an engine until it is stopped.
pub struct SpanExporter {
    traces: Arc<Traces>,
    queue: Arc<SpanQueue>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
}

/// What the thread has.
struct Worker {
    queue: Arc<SpanQueue>,
    address: CollectorAddress,
    resource: Resource,
    clock: Arc<dyn Clock>,
    has_failed: bool,
}

/// What [`Cipher::derive_key`] makes the key of spans' ids for.
const IDS: &str = "ringback traces";

/// `None` without an endpoint.
pub(super) fn of_settings(
    settings: &Settings,
    clock: Arc<dyn Clock>,
) -> Result<Option<SpanExporter>, EngineError> {
    let OtlpSettings { endpoint: Some(endpoint), headers, .. } = &settings.otlp else { return Ok(None) };
    let key = Cipher::derive_key(&master_key(settings)?, IDS)?;
    let address = CollectorAddress::new(endpoint.to_string(), headers.clone(), settings.ca_file.as_deref())?;
    SpanExporter::start(&settings.otlp, address, key, clock).map(Some)
}

impl SpanExporter {
    /// `key` makes the ids: all nodes need the same.
    pub fn start(
        settings: &OtlpSettings,
        address: CollectorAddress,
        key: [u8; 32],
        clock: Arc<dyn Clock>,
    ) -> Result<Self, EngineError> {
        let queue = Arc::<SpanQueue>::default();
        let traces = Arc::new(Traces::new(key, settings.sample_ratio, Arc::clone(&queue)));
        let resource = Resource(settings.resource());
        let worker = Worker { queue: Arc::clone(&queue), address, resource, clock, has_failed: false };
        let (ending, ended) = sync_channel(0);
        std::thread::Builder::new().name(String::from("otlp")).spawn(move || worker.run(ending))?;
        Ok(Self { traces, queue, ended })
    }

    /// What makes the spans.
    pub fn traces(&self) -> Arc<Traces> {
        Arc::clone(&self.traces)
    }

    /// Takes no more spans, and waits a moment for those that are there.
    pub fn stop(self) {
        self.queue.close();
        // either it has ended, or there is no more time
        let _ = self.ended.recv_timeout(FLUSH_LIMIT);
    }
}

impl Worker {
    /// Until the queue is closed and empty; `_ending` is dropped then.
    fn run(mut self, _ending: SyncSender<()>) {
        let runtime = match actix_rt::Runtime::new() {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::error!(%error, "no thread for traces: none are exported");
                return self.queue.close();
            }
        };
        // it needs the runtime, also when it is dropped
        let client = runtime.block_on(async { CollectorClient::new(self.address.clone()) });
        while let Some(spans) = self.queue.take() {
            let count = spans.len();
            self.send(&runtime, &client, spans, count);
        }
        runtime.block_on(async move { drop(client) });
    }

    fn send(&mut self, runtime: &actix_rt::Runtime, client: &CollectorClient, spans: Vec<Span>, count: usize) {
        let message = Bytes::from(encode(spans, &self.resource));
        let mut pause = FIRST_PAUSE;
        for tries in 1.. {
            match runtime.block_on(client.post(message.clone(), TIMEOUT)) {
                CollectorAnswer::Taken(answer) => return self.taken(count, &answer),
                CollectorAnswer::Refused(reason) => return self.failed(&reason, count, SpansDropped::Refused),
                CollectorAnswer::Failed { reason, retry_after } => {
                    let is_last = tries >= MOST_TRIES;
                    self.failed(&reason, if is_last { count } else { 0 }, SpansDropped::NotTaken);
                    // whoever stops does not wait for one that is gone
                    if is_last {
                        return;
                    }
                    if self.queue.is_closed_within(retry_after.unwrap_or(pause)) {
                        return self.give_up(count);
                    }
                    pause *= 2;
                }
            }
        }
    }

    fn taken(&mut self, count: usize, answer: &[u8]) {
        let rejected = usize::try_from(rejected(answer)).unwrap_or(usize::MAX).min(count);
        if rejected > 0 {
            SpansDropped::Refused.count(rejected);
        }
        let has_recovered = std::mem::take(&mut self.has_failed);
        SpansExported { spans: count - rejected, has_recovered }.emit();
    }

    fn failed(&mut self, reason: &str, dropped: usize, cause: SpansDropped) {
        self.has_failed = true;
        ExportFailed { now: self.clock.now(), reason, dropped, cause }.emit();
    }

    fn give_up(&self, count: usize) {
        SpansDropped::NotTaken.count(count + self.queue.abandon());
    }
}
