//! The state machine of one endpoint: which delivery is attempted when, and what happens to it afterwards.
//!
//! ```text
//!            Committed            Loaded
//!                │                   │
//!                ▼                   ▼
//!   database ─▶ window ── breaker, limiter, concurrency ──▶ in flight
//!      ▲                                                        │ AttemptFinished
//!      │                                                        ▼
//!      └── retry: a later turn in the queue ◀── recorded ◀── unrecorded ──▶ success, failed
//! ```
//!
//! A plain function of (state, input, now, random): [`EndpointMachine::step`] takes an [`Input`] and returns the
//! [`Effect`]s to carry out. Its whole state can be rebuilt from the database, where a delivery that it drops from memory
//! is still pending.

mod cursor;
mod erasure;
mod interface;
mod local_fault;
mod outcomes;
mod status;
mod window;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use rand::Rng;

use super::breaker::{Breaker, BreakerPermission};
use super::concurrency::AdaptiveConcurrency;
use super::delivery::QueuedDelivery;
use super::health::EndpointHealth;
use super::ids::{DeliveryId, EventId};
use super::limiter::RateLimiter;
use super::rotation::SecretId;
use super::round::RoundPlace;
use super::time::UnixMillis;
pub use cursor::QueueCursor;
pub use interface::{Announcement, Effect, Input, MachineLimits, MachineSettings, PendingWork, RateLimitHistory};
use local_fault::LocalPause;
use window::Window;

/// An endpoint starts no attempt while this many bytes of bodies are in flight. Smaller: large bodies are sent one by one.
/// Larger: one hanging receiver takes more of the memory that all endpoints share.
const MAX_IN_FLIGHT_BYTES: usize = 8 * 1024 * 1024;
/// Pause before a page is read again after the database failed.
pub(crate) const LOAD_RETRY: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
struct InFlight {
    number: u32,
    place: RoundPlace,
    event_id: EventId,
    /// The event's payload was erased since: nothing follows this attempt.
    is_erased: bool,
    is_probe: bool,
    bytes: usize,
    secret: SecretId,
    /// The machine's epoch when the attempt began.
    epoch: u32,
}

/// Attempts of a delivery whose outcomes are not on disk yet.
#[derive(Debug, Clone, Copy, Default)]
struct Unrecorded {
    /// More than one only after a follow-up attempt.
    outcomes: u32,
    /// When the delivery is due again, according to the last of them.
    due_at: Option<UnixMillis>,
}

/// One endpoint's state. Its supervisor owns it.
pub struct EndpointMachine {
    settings: MachineSettings,
    health: EndpointHealth,
    breaker: Breaker,
    limits: MachineLimits,
    /// Grows when the record is cleared and when a test event succeeds: an attempt from an earlier epoch no longer counts as
    /// the probe.
    epoch: u32,
    /// The epoch in which the current URL was set: responses to attempts from before say nothing about it.
    place_epoch: u32,
    limiter: Option<RateLimiter>,
    concurrency: AdaptiveConcurrency,
    window: Window,
    in_flight: HashMap<DeliveryId, InFlight>,
    in_flight_bytes: usize,
    /// Deliveries with outcomes that are not on disk yet.
    unrecorded: HashMap<DeliveryId, Unrecorded>,
    /// Unrecorded when deliveries were left in the database. One of these may have been recorded there and resent by a
    /// person before this machine was notified.
    maybe_resent: HashSet<DeliveryId>,
    cursor: QueueCursor,
    /// A page is being read.
    loading: bool,
    /// Recorded while a page was being read, which may still show them as due.
    recorded_while_loading: HashSet<DeliveryId>,
    /// Their payloads were erased while a page was being read, which may still have them.
    erased_while_loading: Vec<EventId>,
    /// Deliveries were left in the database while a page was being read, which may not show them.
    left_while_loading: bool,
    /// Due deliveries may be in the database that are not in memory.
    more_in_store: bool,
    /// The earliest known due time of a delivery that is not in memory.
    next_due_at: Option<UnixMillis>,
    /// A committed delivery with this id or a lower one may have been in memory before.
    highest_seen: DeliveryId,
    /// Until then the first delivery of an ordered queue waits for its retry, and all others wait behind it.
    blocked_until: Option<UnixMillis>,
    limited_until: Option<UnixMillis>,
    load_not_before: Option<UnixMillis>,
    local_pause: LocalPause,
    draining: bool,
    /// All endpoints together have too many attempts in flight, so each is limited to one.
    limited_to_one: bool,
    gives_way: bool,
}

impl EndpointMachine {
    /// Starts empty and reads its pending deliveries from the database; `rate_limit_history` restores the rate limit.
    pub fn new(
        settings: MachineSettings,
        limits: MachineLimits,
        health: EndpointHealth,
        rate_limit_history: RateLimitHistory,
    ) -> Self {
        Self {
            breaker: Breaker::restore(limits.breaker, &health),
            limits,
            epoch: 0,
            place_epoch: 0,
            health,
            limiter: settings.rate_limit.as_ref().map(|limit| rate_limit_history.limiter(limit)),
            concurrency: AdaptiveConcurrency::new(settings.max_in_flight),
            settings,
            window: Window::default(),
            in_flight: HashMap::new(),
            in_flight_bytes: 0,
            unrecorded: HashMap::new(),
            maybe_resent: HashSet::new(),
            cursor: QueueCursor::default(),
            loading: false,
            recorded_while_loading: HashSet::new(),
            erased_while_loading: Vec::new(),
            left_while_loading: false,
            more_in_store: true,
            next_due_at: None,
            highest_seen: DeliveryId(0),
            blocked_until: None,
            limited_until: None,
            load_not_before: None,
            local_pause: LocalPause::default(),
            draining: false,
            limited_to_one: false,
            gives_way: false,
        }
    }

    /// Limits the endpoint to one attempt at a time, or lifts that limit. It is never limited to none: an endpoint does not
    /// wait for others.
    pub(crate) fn limit_to_one(&mut self, limited_to_one: bool) {
        self.limited_to_one = limited_to_one;
    }

    /// Starts nothing more while others wait for its place: what it holds is left to the database.
    pub(crate) fn give_way(&mut self, gives_way: bool) {
        self.gives_way = gives_way;
    }

    /// Applies an input and returns what to do.
    pub fn step(&mut self, input: Input<'_>, now: UnixMillis, rng: &mut dyn Rng) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Committed(deliveries) => {
                // one that waited for this time comes before them
                self.note_due(now);
                self.admit(deliveries);
            }
            Input::MoreInStore { since } => {
                match since {
                    Some(at) => self.cursor.go_to_instant(at),
                    None => {
                        self.cursor.go_to_head();
                        // the first delivery of an ordered queue may be due now: its page shows whether it is
                        self.blocked_until = None;
                    }
                }
                self.maybe_resent.extend(self.unrecorded.keys().copied());
                self.leave_in_store();
            }
            Input::Loaded { deliveries, more, next_due_at, end } => {
                self.cursor.page_read(end);
                self.take_page(deliveries, more, next_due_at, now);
            }
            Input::LoadFailed => self.load_failed(now),
            Input::AttemptFinished { delivery, response } => {
                self.attempt_finished(delivery, response, now, rng, &mut effects);
            }
            Input::AttemptNotMade(delivery) => self.attempt_not_made(delivery, now),
            Input::OutcomesRecorded(recorded) => recorded.iter().for_each(|id| self.outcome_recorded(*id)),
            Input::Tested { accepted_secret } => self.tested(accepted_secret, &mut effects),
            Input::Resumed => self.resumed(&mut effects),
            Input::PayloadErased(event_id) => self.payload_erased(event_id),
            Input::Reconfigured(settings) => self.reconfigure(settings, now, &mut effects),
            Input::Drain => self.draining = true,
            Input::Wake => {}
        }
        self.pass_time(now);
        self.start_attempts(now, &mut effects);
        self.ask_for_page(now, &mut effects);
        effects
    }

    // ---- inputs

    fn admit(&mut self, deliveries: Vec<QueuedDelivery>) {
        for delivery in deliveries {
            let id = delivery.id;
            let is_new = id > self.highest_seen;
            if !is_new && self.holds(id) {
                continue;
            }
            self.highest_seen = self.highest_seen.max(id);
            // an ordered queue admits a delivery only if nothing in the database comes before it
            let in_order = !self.settings.ordered
                || !(self.more_in_store || self.loading || self.blocked_until.is_some())
                    && self.window.has_room_for_fresh(&delivery);
            // deliveries that arrive while the receiver is down are backlog: they must not hold memory, nor go before newer
            // ones when it is back
            let may_come = is_new && in_order && self.settings.active && !self.breaker.is_open();
            let left = if may_come { self.window.admit_fresh(delivery) } else { vec![delivery] };
            if !left.is_empty() {
                left.iter().for_each(|delivery| self.cursor.go_before_delivery(delivery));
                self.leave_in_store();
            }
        }
    }

    fn leave_in_store(&mut self) {
        self.more_in_store = true;
        self.left_while_loading |= self.loading;
    }

    fn take_page(
        &mut self,
        deliveries: Vec<QueuedDelivery>,
        more: bool,
        next_due_at: Option<UnixMillis>,
        now: UnixMillis,
    ) {
        self.loading = false;
        // what seems to be the end is believed only if the head was read not long ago
        self.more_in_store = more || self.left_while_loading || self.cursor.is_overdue(now);
        self.left_while_loading = false;
        self.due_again_at(next_due_at);
        let recorded = std::mem::take(&mut self.recorded_while_loading);
        let erased = std::mem::take(&mut self.erased_while_loading);
        for (place, delivery) in deliveries.into_iter().enumerate() {
            self.highest_seen = self.highest_seen.max(delivery.id);
            if recorded.contains(&delivery.id) || erased.contains(&delivery.event.id) || self.holds(delivery.id) {
                continue;
            }
            if delivery.due_at <= now {
                self.window.push_loaded(delivery);
            } else if self.settings.ordered {
                // an ordered queue reaches it only after everything before it
                match place {
                    0 => self.block_until(delivery.due_at),
                    _ => self.more_in_store = true,
                }
                return;
            } else {
                self.cursor.go_before_delivery(&delivery);
                self.due_again_at(Some(delivery.due_at));
            }
        }
    }

    fn load_failed(&mut self, now: UnixMillis) {
        self.loading = false;
        self.cursor.page_failed();
        self.left_while_loading = false;
        self.recorded_while_loading.clear();
        self.erased_while_loading.clear();
        self.more_in_store = true;
        self.load_not_before = Some(now + LOAD_RETRY);
    }

    fn reconfigure(&mut self, settings: MachineSettings, now: UnixMillis, effects: &mut Vec<Effect>) {
        let old = std::mem::replace(&mut self.settings, settings);
        if old.rate_limit != self.settings.rate_limit {
            // an empty bucket, so that repeated changes don't earn a burst each time
            self.limiter = self.settings.rate_limit.as_ref().map(|limit| RateLimiter::empty_since(limit, now));
            self.limited_until = None;
        }
        self.concurrency.set_max(self.settings.max_in_flight);
        // another URL, or switched on by a person: the record is cleared
        let is_elsewhere = old.url != self.settings.url;
        if is_elsewhere || (self.settings.active && !old.active) {
            self.epoch += 1;
            if is_elsewhere {
                self.place_epoch = self.epoch;
            }
            let forgot = self.health.accepted_secret.take().is_some();
            if self.breaker.reset() || forgot {
                self.save_health(effects);
            }
        }
        if old.ordered != self.settings.ordered || old.active != self.settings.active {
            self.blocked_until = None;
            self.release_window();
            self.cursor.go_to_head();
        }
    }

    fn tested(&mut self, accepted_secret: Option<SecretId>, effects: &mut Vec<Effect>) {
        // a probe that is in flight no longer decides anything
        self.epoch += 1;
        let is_news = accepted_secret.is_some_and(|secret| self.accept(secret));
        self.health.notified = false;
        if self.breaker.is_open() {
            self.leave_in_store();
        }
        if self.breaker.on_alive(true) || is_news {
            self.save_health(effects);
        }
    }

    fn resumed(&mut self, effects: &mut Vec<Effect>) {
        self.epoch += 1;
        if self.breaker.close() {
            self.save_health(effects);
        }
        self.blocked_until = None;
        // retries that are due now have other places
        self.cursor.go_to_head();
        match self.settings.ordered {
            // read again from its head
            true => self.release_window(),
            false => self.leave_in_store(),
        }
    }

    // ---- attempts and pages

    fn note_due(&mut self, now: UnixMillis) {
        if self.next_due_at.take_if(|at| *at <= now).is_some() {
            self.leave_in_store();
        }
    }

    fn pass_time(&mut self, now: UnixMillis) {
        let passed = |at: &mut Option<UnixMillis>| at.take_if(|at| *at <= now).is_some();
        self.note_due(now);
        passed(&mut self.blocked_until);
        passed(&mut self.limited_until);
        passed(&mut self.load_not_before);
        self.local_pause.pass_time(now);
    }

    fn start_attempts(&mut self, now: UnixMillis, effects: &mut Vec<Effect>) {
        while self.may_start() {
            let permission = self.breaker.permission(now);
            if !matches!(permission, BreakerPermission::Attempts | BreakerPermission::Probe) {
                return;
            }
            if self.window.is_empty() {
                return;
            }
            if let Some(Err(at)) = self.limiter.as_ref().map(|limiter| limiter.try_acquire(now)) {
                self.limited_until = Some(at);
                return;
            }
            let next = match self.settings.ordered {
                true => self.window.pop_oldest(),
                false => self.window.pop(),
            };
            let Some(delivery) = next else { return };
            let is_probe = permission == BreakerPermission::Probe;
            if is_probe {
                self.breaker.begin_probe();
            }
            self.send(delivery, is_probe, now, effects);
        }
    }

    fn send(&mut self, delivery: QueuedDelivery, is_probe: bool, now: UnixMillis, effects: &mut Vec<Effect>) {
        let secrets = &self.settings.secrets;
        let secret = secrets.next(self.health.accepted_secret, delivery.refused(), now);
        let secret = secret.unwrap_or_else(|| secrets.newest());
        let number = delivery.attempts_made + 1;
        let place = RoundPlace::of(number, delivery.attempts_not_counted);
        let bytes = delivery.event.body.len();
        self.in_flight_bytes += bytes;
        let attempt = InFlight {
            number,
            event_id: delivery.event.id,
            is_erased: false,
            place,
            is_probe,
            bytes,
            secret,
            epoch: self.epoch,
        };
        self.in_flight.insert(delivery.id, attempt);
        effects.push(Effect::Attempt { delivery, number, secret });
    }

    fn may_start(&self) -> bool {
        let one = self.settings.ordered || self.limited_to_one || self.local_pause.is_careful();
        let limit = if one { 1 } else { self.concurrency.limit() as usize };
        // outcomes that are not on disk mean repeated requests after a crash, so their number is bounded too
        let max_unsettled = 2 * self.settings.max_in_flight as usize;
        self.settings.active
            && !self.draining
            && !self.gives_way
            && self.limited_until.is_none()
            && self.blocked_until.is_none()
            && self.local_pause.until().is_none()
            && self.in_flight.len() < limit
            && self.in_flight_bytes < MAX_IN_FLIGHT_BYTES
            && self.in_flight.len() + self.unrecorded.len() < max_unsettled
    }

    fn ask_for_page(&mut self, now: UnixMillis, effects: &mut Vec<Effect>) {
        let permission = self.breaker.permission(now);
        let may_send = matches!(permission, BreakerPermission::Attempts | BreakerPermission::Probe);
        // an ordered queue is read again from its head, so all of its attempts must be recorded first
        let settled = self.window.is_empty() && self.in_flight.is_empty() && self.unrecorded.is_empty();
        let ready = self.more_in_store
            && !self.loading
            && may_send
            && self.settings.active
            && !self.draining
            && !self.gives_way
            && self.blocked_until.is_none()
            && self.load_not_before.is_none()
            && (settled || !self.settings.ordered);
        if !ready {
            return;
        }
        if let Some((room, max_bytes)) = self.window.room_for_page() {
            self.loading = true;
            if self.settings.ordered {
                // retries keep their places
                self.cursor.go_to_head();
            }
            let after = self.cursor.begin_page(now);
            // the others would only wait in memory for the probe's result
            let max_deliveries = if permission == BreakerPermission::Probe { 1 } else { room };
            effects.push(Effect::Load { max_deliveries, max_bytes, after });
        }
    }

    // ---- helpers

    fn has_work(&self) -> bool {
        self.more_in_store || !self.window.is_empty()
    }

    fn holds(&self, id: DeliveryId) -> bool {
        self.in_flight.contains_key(&id) || self.unrecorded.contains_key(&id) || self.window.contains(id)
    }

    fn due_again_at(&mut self, at: Option<UnixMillis>) {
        if let Some(at) = at {
            self.next_due_at = Some(self.next_due_at.map_or(at, |known| known.min(at)));
        }
    }

    fn block_until(&mut self, at: UnixMillis) {
        self.blocked_until = Some(at);
        self.release_window();
    }

    fn release_window(&mut self) {
        self.cursor = self.cursor_for_successor();
        self.window.clear();
        self.leave_in_store();
    }

    fn save_health(&mut self, effects: &mut Vec<Effect>) {
        self.health = self.breaker.remember(&self.health);
        effects.push(Effect::SaveHealth(self.health));
    }
}
