//! How many events an organization may publish in a second, when the deployment limits it: through all nodes together.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::domain::cluster::Slot;
use crate::domain::ids::OrganizationId;

/// After so many checks organizations that have not published lately are forgotten. Smaller: looking for them costs more
/// than they take. Larger: more of them are held, some 100 bytes each.
const CHECKS_BETWEEN_CLEANUPS: usize = 4_096;
/// How long an empty bucket takes to fill: the limit is one of events in a second.
const BUCKET: Duration = Duration::from_secs(1);

/// Counts of an organization that has published nothing for so long begin at 0 again. Smaller: another node misses some when its
/// beats are late. Larger: more of them are told with each beat.
const COUNTED_FOR: Duration = Duration::from_secs(5);
/// Organizations whose counts are told to other nodes. Of more, each node limits the rest by itself. Larger: beats are longer, by 20
/// bytes each.
const MOST_TOLD: usize = 2_000;

/// What each organization has published through a node, by the number in its id.
pub(crate) type EventsTaken = BTreeMap<i64, u64>;

/// A bucket for each organization. It holds a second's worth of events, and fills at that rate.
///
/// Nodes tell each other with their beats what they have taken, and each takes it out of its own buckets too. So an organization
/// gets its limit through all nodes together, and no more than a second's worth besides through each of them when it begins.
///
/// Our own few lines, by the virtual scheduling of the generic cell rate algorithm (ITU-T I.371): `governor` refuses what
/// is larger than a bucket for ever, and a batch is taken as a whole.
pub(crate) struct EventRates {
    per_second: NonZeroU32,
    state: Mutex<State>,
    checks: AtomicUsize,
}

#[derive(Default)]
struct State {
    /// When an organization's bucket is full again; those whose bucket is full need none.
    full_at: HashMap<OrganizationId, Instant>,
    /// Taken here.
    taken: HashMap<OrganizationId, Taken>,
    /// What other nodes have told last, with their incarnations.
    told: HashMap<(Slot, i64), EventsTaken>,
}

struct Taken {
    events: u64,
    last_at: Instant,
}

impl EventRates {
    /// `None` for 0, which is no limit.
    pub(crate) fn limited_to(per_second: u32) -> Option<Self> {
        let per_second = NonZeroU32::new(per_second)?;
        Some(Self { per_second, state: Mutex::default(), checks: AtomicUsize::new(0) })
    }

    /// Takes events from an organization's bucket; when that has not enough, returns how long that takes. A batch that no
    /// bucket holds is taken when one event would be, and those after it wait until its rate is the limit.
    pub(crate) fn admit(&self, organization_id: OrganizationId, events: u32) -> Result<(), Duration> {
        if events == 0 {
            return Ok(());
        }
        let now = Instant::now();
        let mut state = self.state.lock();
        if self.checks.fetch_add(1, Ordering::Relaxed) % CHECKS_BETWEEN_CLEANUPS == CHECKS_BETWEEN_CLEANUPS - 1 {
            state.full_at.retain(|_, at| *at > now);
            state.forget_the_idle(now);
        }
        let missing = state.missing(organization_id, now);
        let needed = if events > self.per_second.get() { 1 } else { events };
        let short = (missing + self.time_of(needed)).saturating_sub(BUCKET);
        if !short.is_zero() {
            return Err(short);
        }
        state.full_at.insert(organization_id, now + missing + self.time_of(events));
        let taken = state.taken.entry(organization_id).or_insert(Taken { events: 0, last_at: now });
        (taken.events, taken.last_at) = (taken.events + u64::from(events), now);
        Ok(())
    }

    pub(crate) fn per_second(&self) -> NonZeroU32 {
        self.per_second
    }

    /// What was taken here lately, for other nodes.
    pub(crate) fn taken(&self) -> EventsTaken {
        let mut state = self.state.lock();
        state.forget_the_idle(Instant::now());
        let mut taken: EventsTaken = state.taken.iter().map(|(id, taken)| (id.0, taken.events)).collect();
        while taken.len() > MOST_TOLD
            && let Some((id, _)) = taken.pop_last()
        {
            // counted from 0 again, or all of it would be owed when it is told later
            state.taken.remove(&OrganizationId(id));
        }
        taken
    }

    /// Takes out of the buckets what other nodes have taken since they told it last. Of a node that is heard for the first time
    /// it is not known how long ago that was.
    pub(crate) fn learn(&self, others: impl IntoIterator<Item = ((Slot, i64), EventsTaken)>) {
        let now = Instant::now();
        let mut state = self.state.lock();
        let mut told: HashMap<(Slot, i64), EventsTaken> = HashMap::new();
        for (node, taken) in others {
            if let Some(before) = state.told.remove(&node) {
                for (&id, &events) in &taken {
                    // counted from 0 again after a rest
                    let before = before.get(&id).copied().filter(|before| *before <= events).unwrap_or_default();
                    let more = u32::try_from(events - before).unwrap_or(u32::MAX);
                    let missing = state.missing(OrganizationId(id), now);
                    if more > 0 {
                        state.full_at.insert(OrganizationId(id), now + missing + self.time_of(more));
                    }
                }
            }
            told.insert(node, taken);
        }
        state.told = told;
    }

    /// How long a bucket takes to fill by so many events.
    fn time_of(&self, events: u32) -> Duration {
        // rounded down, so that a whole bucket never takes longer than a second
        Duration::from_nanos(u64::from(events) * 1_000_000_000 / u64::from(self.per_second.get()))
    }
}

impl State {
    /// How long an organization's bucket takes to be full.
    fn missing(&self, organization_id: OrganizationId, now: Instant) -> Duration {
        self.full_at.get(&organization_id).map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }

    fn forget_the_idle(&mut self, now: Instant) {
        self.taken.retain(|_, taken| now - taken.last_at < COUNTED_FOR);
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
        assert!(rates.state.lock().full_at.len() <= 1);
    }

    /// Three nodes that tell each other every half second what they have taken.
    fn tell_each_other(nodes: &[EventRates]) {
        let told: Vec<EventsTaken> = nodes.iter().map(EventRates::taken).collect();
        for (place, node) in nodes.iter().enumerate() {
            let others = told.iter().enumerate().filter(|(other, _)| *other != place);
            node.learn(others.map(|(other, taken)| ((Slot(other as u8), 1), taken.clone())));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_organization_gets_its_limit_through_all_nodes_together_and_all_of_it_through_one() {
        let beat = Duration::from_millis(500);
        for publishing in [1, 3] {
            let nodes: Vec<EventRates> = (0..3).filter_map(|_| EventRates::limited_to(100)).collect();
            tell_each_other(&nodes);
            let mut taken = 0;
            for _ in 0..6_000 {
                taken += nodes[..publishing].iter().filter(|node| node.admit(A, 1).is_ok()).count();
                after(Duration::from_millis(5)).await;
                if taken % 7 == 0 {
                    tell_each_other(&nodes);
                }
            }
            // 30 s at the limit, and at most a full bucket and two beats of each
            let bounds = 3_000..=3_000 + publishing * 200;
            assert!(bounds.contains(&taken), "{taken} through {publishing} nodes");
            // a rest, after which counts begin at 0 again
            after(COUNTED_FOR + beat).await;
            tell_each_other(&nodes);
            assert!(nodes[0].taken().is_empty());
            assert!(nodes.iter().all(|node| node.admit(A, 100).is_ok()), "every bucket is full again");
            tell_each_other(&nodes);
            let wait = nodes[0].admit(A, 1).unwrap_err();
            assert!(wait > Duration::from_secs(1), "what the others took is owed: {wait:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_told_because_there_was_too_much_is_not_owed_later() {
        let nodes: Vec<EventRates> = (0..2).filter_map(|_| EventRates::limited_to(1_000)).collect();
        let last = OrganizationId(MOST_TOLD as i64 + 1);
        let take = |id: OrganizationId, events| nodes[0].admit(id, events).unwrap();
        (1..=MOST_TOLD as i64).for_each(|id| take(OrganizationId(id), 1));
        take(last, 1_000);
        tell_each_other(&nodes);
        tell_each_other(&nodes);
        // the others rest, this one goes on
        after(COUNTED_FOR - Duration::from_secs(1)).await;
        take(last, 1);
        tell_each_other(&nodes);
        after(Duration::from_secs(1)).await;
        take(last, 10);
        tell_each_other(&nodes);
        assert!(nodes[1].admit(last, 900).is_ok(), "a few are owed, not all of them");
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_node_took_before_it_was_heard_first_is_not_owed_and_a_new_life_of_it_counts_anew() {
        let rates = EventRates::limited_to(10).unwrap();
        let tell =
            |incarnation, events| rates.learn([((Slot(1), incarnation), EventsTaken::from([(A.0, events)]))]);
        tell(1, 1_000_000);
        assert!(rates.admit(A, 10).is_ok());
        tell(1, 1_000_010);
        assert!(rates.admit(A, 1).unwrap_err() > Duration::from_secs(1));
        after(Duration::from_secs(2)).await;
        tell(2, 50);
        assert!(rates.admit(A, 10).is_ok());
    }

    #[test]
    fn zero_is_no_limit() {
        assert!(EventRates::limited_to(0).is_none());
    }
}
