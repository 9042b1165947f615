//! Gauges that somebody has to look for, most of them in the database. Reads are bounded, far between, and made on threads that give way to everything
//! else; each node looks at its own webhooks.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::context::ActorContext;
use super::handle::EngineHandle;
use crate::domain::health::EndpointStates;
use crate::store::StoreResult;
use crate::telemetry;

/// What is looked at, and how often.
struct Watch {
    look: fn(&ActorContext) -> StoreResult<()>,
    /// Pause between two looks, in times that a look took. Smaller: a slow database is asked too often.
    factor: u32,
    /// Bounds of the pause. Smaller: more work for the same knowledge. Larger: alerts come later.
    pause: RangeInclusive<Duration>,
}

/// The kept bound of what is pending, and a search from there.
const OLDEST_PENDING: Watch =
    Watch { look: oldest_pending, factor: 100, pause: Duration::from_secs(5)..=Duration::from_secs(60) };
/// Reads every webhook: at most a fiftieth of a processor.
const WEBHOOKS: Watch =
    Watch { look: webhooks, factor: 50, pause: Duration::from_secs(15)..=Duration::from_secs(600) };
/// A server looks at each file of the database: a size of 10 ms is asked for every 100 s.
const SIZE: Watch =
    Watch { look: size, factor: 10_000, pause: Duration::from_secs(15)..=Duration::from_secs(900) };

/// Webhooks of one read. Smaller: more reads. Larger: a read holds its connection for longer.
const WEBHOOKS_A_READ: usize = 1_000;

/// Between two looks at the client certificates, which are in memory. Smaller: more work for what changes within days.
/// Larger: an alert goes on after a certificate was replaced.
const CERTIFICATES_EVERY: Duration = Duration::from_secs(60);

/// Looks for as long as the engine runs.
pub(crate) async fn watch(context: Arc<ActorContext>, engine: EngineHandle, threads: Handle) {
    tokio::join!(
        certificates(&engine, &threads),
        repeat(&context, &threads, OLDEST_PENDING),
        repeat(&context, &threads, WEBHOOKS),
        repeat(&context, &threads, SIZE),
    );
}

async fn certificates(engine: &EngineHandle, threads: &Handle) {
    loop {
        let engine = engine.clone();
        let look =
            move || telemetry::CertificatesCounted { seen: engine.certificates(), now: engine.now() }.emit();
        if threads.spawn_blocking(look).await.is_err() {
            return;
        }
        sleep(CERTIFICATES_EVERY).await;
    }
}

async fn repeat(context: &Arc<ActorContext>, threads: &Handle, watch: Watch) {
    loop {
        let begin = Instant::now();
        let (context, look) = (Arc::clone(context), watch.look);
        // what can't be read stays as it was: whoever needs the database reports that it is away
        let looked = threads.spawn_blocking(move || look(&context)).await;
        if looked.is_err() {
            return;
        }
        sleep((begin.elapsed() * watch.factor).clamp(*watch.pause.start(), *watch.pause.end())).await;
    }
}

fn oldest_pending(context: &ActorContext) -> StoreResult<()> {
    let created_at = context.store.oldest_pending_of(&|id| context.rights.has(id))?;
    telemetry::OldestPending(created_at.map(|at| context.now().since(at))).emit();
    Ok(())
}

fn webhooks(context: &ActorContext) -> StoreResult<()> {
    let mut states = EndpointStates::default();
    let mut after = None;
    loop {
        let page = context.store.scan_states(after, WEBHOOKS_A_READ)?;
        let own = page.iter().filter(|(id, _)| context.rights.has(*id));
        own.for_each(|(_, state)| states.count(*state));
        match page.last() {
            Some((last, _)) if page.len() == WEBHOOKS_A_READ => after = Some(*last),
            _ => break,
        }
    }
    telemetry::WebhooksCounted(states).emit();
    Ok(())
}

fn size(context: &ActorContext) -> StoreResult<()> {
    let size = context.store.size()?;
    telemetry::DatabaseMeasured { total: size.total, log: size.log }.emit();
    Ok(())
}
