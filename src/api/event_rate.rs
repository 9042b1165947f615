//! How many events an organization may publish in a second, when the deployment limits it.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::Api;
use super::problem::Problem;
use crate::domain::ids::OrganizationId;

/// After so many checks organizations that have not published lately are forgotten. Smaller: looking for them costs more
/// than they take. Larger: more of them are held, some 100 bytes each.
const CHECKS_BETWEEN_CLEANUPS: usize = 4_096;
/// How long an empty bucket takes to fill: the limit is one of events in a second.
const BUCKET: Duration = Duration::from_secs(1);

/// A bucket for each organization. It holds a second's worth of events, and fills at that rate.
///
/// Our own few lines, by the virtual scheduling of the generic cell rate algorithm (ITU-T I.371): `governor` refuses what
/// is larger than a bucket for ever, and a batch is taken as a whole.
pub(super) struct EventRates {
    per_second: NonZeroU32,
    /// When an organization's bucket is full again; those whose bucket is full need none.
    full_at: Mutex<HashMap<OrganizationId, Instant>>,
    checks: AtomicUsize,
}

impl EventRates {
    /// `None` for 0, which is no limit.
    pub(super) fn limited_to(per_second: u32) -> Option<Self> {
        let per_second = NonZeroU32::new(per_second)?;
        Some(Self { per_second, full_at: Mutex::default(), checks: AtomicUsize::new(0) })
    }

    /// Takes events from an organization's bucket; when that has not enough, returns how long that takes. A batch that no
    /// bucket holds is taken when one event would be, and those after it wait until its rate is the limit.
    fn admit(&self, organization_id: OrganizationId, events: u32) -> Result<(), Duration> {
        if events == 0 {
            return Ok(());
        }
        let now = Instant::now();
        let mut full_at = self.full_at.lock();
        if self.checks.fetch_add(1, Ordering::Relaxed) % CHECKS_BETWEEN_CLEANUPS == CHECKS_BETWEEN_CLEANUPS - 1 {
            full_at.retain(|_, at| *at > now);
        }
        let missing = full_at.get(&organization_id).map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        let needed = if events > self.per_second.get() { 1 } else { events };
        let short = (missing + self.time_of(needed)).saturating_sub(BUCKET);
        if !short.is_zero() {
            return Err(short);
        }
        full_at.insert(organization_id, now + missing + self.time_of(events));
        Ok(())
    }

    /// How long a bucket takes to fill by so many events.
    fn time_of(&self, events: u32) -> Duration {
        // rounded down, so that a whole bucket never takes longer than a second
        Duration::from_nanos(u64::from(events) * 1_000_000_000 / u64::from(self.per_second.get()))
    }
}

impl Api {
    /// Counts events that an organization publishes, and refuses them when they are more than it may.
    pub(super) fn admit_events(&self, organization_id: OrganizationId, events: usize) -> Result<(), Problem> {
        let Some(rates) = &self.event_rates else { return Ok(()) };
        let events = u32::try_from(events).unwrap_or(u32::MAX);
        rates.admit(organization_id, events).map_err(|wait| {
            let detail = format!(
                "the organization may publish {} events in a second (limits.events_per_second_per_organization); \
                 nothing was stored, try again after Retry-After",
                rates.per_second
            );
            self.engine.shares().of(organization_id).refused.add(1, self.engine.now());
            Problem::too_many(detail, wait)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: OrganizationId = OrganizationId(1);
    const B: OrganizationId = OrganizationId(2);

    /// Lets the time pass.
    async fn after(wait: Duration) {
        tokio::time::advance(wait).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_organization_publishes_as_many_events_as_it_may_and_no_other_pays_for_it() {
        let rates = EventRates::limited_to(10).unwrap();
        assert!((0..10).all(|_| rates.admit(A, 1).is_ok()));
        let wait = rates.admit(A, 1).unwrap_err();
        assert!(wait <= Duration::from_millis(100), "{wait:?}");
        assert!(rates.admit(B, 10).is_ok());
        after(wait).await;
        assert!(rates.admit(A, 1).is_ok(), "what the refusal said is true");
        assert!(rates.admit(A, 1).is_err());
        after(Duration::from_secs(60)).await;
        assert_eq!((0..100).filter(|_| rates.admit(A, 1).is_ok()).count(), 10, "a rest is not saved up");
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_larger_than_the_rate_is_taken_and_waited_for() {
        let rates = EventRates::limited_to(10).unwrap();
        assert!((0..9).all(|_| rates.admit(A, 1).is_ok()));
        assert!(rates.admit(A, 1_000).is_ok(), "also when the bucket is not full");
        let wait = rates.admit(A, 1).unwrap_err();
        assert_eq!(wait.as_secs(), 100);
        after(wait - Duration::from_millis(1)).await;
        assert!(rates.admit(A, 1).is_err());
        after(Duration::from_millis(2)).await;
        assert!(rates.admit(A, 1).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn batches_larger_than_the_rate_come_to_exactly_the_rate() {
        let rates = EventRates::limited_to(5).unwrap();
        let begin = Instant::now();
        for _ in 0..50 {
            while let Err(wait) = rates.admit(A, 10) {
                after(wait).await;
            }
        }
        let took = begin.elapsed().as_secs_f64();
        assert!((97.0..=98.0).contains(&took), "490 events after the first batch, less a bucket: {took} s");
    }

    #[tokio::test(start_paused = true)]
    async fn organizations_that_no_longer_publish_are_forgotten() {
        let rates = EventRates::limited_to(10).unwrap();
        for number in 0..1_000 {
            rates.admit(OrganizationId(number), 1_000).unwrap();
        }
        after(Duration::from_secs(200)).await;
        for _ in 0..CHECKS_BETWEEN_CLEANUPS {
            let _ = rates.admit(A, 1);
        }
        assert!(rates.full_at.lock().len() <= 1);
    }

    #[test]
    fn zero_is_no_limit() {
        assert!(EventRates::limited_to(0).is_none());
    }
}
