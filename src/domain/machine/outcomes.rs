//! What a response means for its delivery, for the endpoint's health, and for operational events.

use rand::Rng;

use super::{Announcement, Effect, EndpointMachine, InFlight};
use crate::domain::attempt::{AttemptError, NextStep, Response, Verdict, judge, proves_alive};
use crate::domain::delivery::QueuedDelivery;
use crate::domain::endpoint::DisabledReason;
use crate::domain::follow_up::{follow_up, is_refusal};
use crate::domain::ids::DeliveryId;
use crate::domain::rotation::SecretId;
use crate::domain::time::UnixMillis;

type AttemptResponse = Result<Response, AttemptError>;

impl EndpointMachine {
    pub(super) fn attempt_finished(
        &mut self,
        delivery: &QueuedDelivery,
        response: &AttemptResponse,
        now: UnixMillis,
        rng: &mut dyn Rng,
        effects: &mut Vec<Effect>,
    ) {
        let Some(mut attempt) = self.in_flight.remove(&delivery.id) else { return };
        self.in_flight_bytes -= attempt.bytes;
        self.local_pause.over();
        attempt.is_probe &= attempt.epoch == self.epoch;
        if attempt.epoch < self.place_epoch {
            return self.settle_of_another_place(delivery.id, &attempt, response, now, rng, effects);
        }
        let accepted = self.health.accepted_secret;
        let follow_up = || follow_up(delivery, attempt.secret, response, &self.settings.secrets, accepted, now);
        match (!attempt.is_erased).then(follow_up).flatten() {
            Some(next) => self.go_on(next, &attempt, response, now, effects),
            None => self.settle(delivery, &attempt, response, now, rng, effects),
        }
    }

    /// Applies a response that decides about its delivery and counts for the endpoint's health.
    fn settle(
        &mut self,
        delivery: &QueuedDelivery,
        attempt: &InFlight,
        response: &AttemptResponse,
        now: UnixMillis,
        rng: &mut dyn Rng,
        effects: &mut Vec<Effect>,
    ) {
        let (delivery_id, number) = (delivery.id, attempt.number);
        let verdict = judge(response, self.settings.retry_on, now);
        let retry_at = match verdict {
            Verdict::Retry { not_before } => {
                self.settings.retry.next_attempt_at(attempt.place.among_all(), not_before, now, rng)
            }
            _ => None,
        };
        let next = match (verdict, retry_at) {
            (Verdict::Success, _) => NextStep::Succeeded,
            (_, Some(at)) => NextStep::RetryAt(at),
            _ => NextStep::Failed,
        };
        self.wait_for_record(delivery_id, retry_at);

        let mut changed = self.learn(delivery_id, attempt.is_probe, response, verdict, retry_at, now, rng);
        changed |= self.learn_secret(delivery, attempt.secret, response, verdict, now);
        let mut announcements = self.announce(next, &mut changed);
        let disable = self.reason_to_disable(verdict, now);
        announcements.extend(disable.map(Announcement::Disabled));
        let health = changed.then_some(self.health);
        effects.push(Effect::Record { delivery_id, number, next, health, disable, announcements });

        if let (true, Some(at)) = (self.settings.ordered && !attempt.is_erased, retry_at) {
            self.block_until(at);
        }
        if disable.is_some() {
            self.settings.active = false;
        }
        if disable.is_some() || (self.breaker.is_open() && !self.window.is_empty()) {
            self.release_window();
        }
    }

    /// The endpoint had another URL when this was sent. A failure there neither ends the delivery nor counts against the
    /// new URL.
    fn settle_of_another_place(
        &mut self,
        delivery_id: DeliveryId,
        attempt: &InFlight,
        response: &AttemptResponse,
        now: UnixMillis,
        rng: &mut dyn Rng,
        effects: &mut Vec<Effect>,
    ) {
        let number = attempt.number;
        let next = match judge(response, self.settings.retry_on, now) {
            Verdict::Success => NextStep::Succeeded,
            _ => {
                let place = attempt.place.in_its_round();
                NextStep::UncountedRetryAt(self.settings.retry.delayed(place, None, now, rng))
            }
        };
        self.wait_for_record(delivery_id, next.due_at());
        let announcements = Vec::new();
        effects.push(Effect::Record { delivery_id, number, next, health: None, disable: None, announcements });
        if let (true, Some(at)) = (self.settings.ordered && !attempt.is_erased, next.due_at()) {
            self.block_until(at);
        }
    }

    /// Another attempt follows at once, and its response decides. This one is recorded like any other: after a crash the
    /// delivery is due, with this attempt counted.
    fn go_on(
        &mut self,
        next: QueuedDelivery,
        attempt: &InFlight,
        response: &AttemptResponse,
        now: UnixMillis,
        effects: &mut Vec<Effect>,
    ) {
        let (delivery_id, number) = (next.id, attempt.number);
        let forgets = is_refusal(response) && self.health.accepted_secret == Some(attempt.secret);
        if forgets {
            self.health.accepted_secret = None;
            self.health = self.breaker.remember(&self.health);
        }
        self.wait_for_record(delivery_id, Some(now));
        effects.push(Effect::Record {
            delivery_id,
            number,
            next: NextStep::UncountedRetryAt(now),
            health: forgets.then_some(self.health),
            disable: None,
            announcements: Vec::new(),
        });
        // the breaker was not updated: while it is open, only the probe continues
        let may_go_on = self.settings.active && !self.draining && (attempt.is_probe || !self.breaker.is_open());
        let limited_until = self.limiter.as_ref().filter(|_| may_go_on).map(|limiter| limiter.try_acquire(now));
        match limited_until {
            None | Some(Ok(())) if may_go_on => return self.send(next, attempt.is_probe, now, effects),
            Some(Err(at)) => {
                self.limited_until = Some(at);
                self.window.put_back(next);
            }
            _ => self.release_window(),
        }
        if attempt.is_probe {
            self.breaker.probe_not_made(now);
        }
    }

    /// Updates the breaker and the concurrency limit with this attempt's result. Returns whether the stored health changes.
    #[expect(clippy::too_many_arguments, reason = "an attempt and its evaluation")]
    fn learn(
        &mut self,
        delivery_id: DeliveryId,
        is_probe: bool,
        response: &AttemptResponse,
        verdict: Verdict,
        retry_at: Option<UnixMillis>,
        now: UnixMillis,
        rng: &mut dyn Rng,
    ) -> bool {
        if matches!(response, Err(AttemptError::BlockedAddress | AttemptError::InvalidRequest)) && !is_probe {
            // nothing was sent, so nothing was learned about the receiver
            return false;
        }
        if response.is_ok() && proves_alive(verdict) {
            self.concurrency.on_success();
            return self.breaker.on_alive(is_probe);
        }
        match response {
            Err(AttemptError::Timeout) => self.concurrency.on_timeout(),
            _ => self.concurrency.on_failure(),
        }
        let counts = is_probe || !self.breaker.is_open();
        let changed = self.breaker.on_failure(delivery_id, is_probe, now, rng);
        changed | (counts && self.breaker.extend_streak(retry_at.unwrap_or(now), self.limits.max_quiet(), now))
    }

    /// Updates which secret the receiver accepts. Returns whether that changed.
    fn learn_secret(
        &mut self,
        delivery: &QueuedDelivery,
        secret: SecretId,
        response: &AttemptResponse,
        verdict: Verdict,
        now: UnixMillis,
    ) -> bool {
        if verdict == Verdict::Success && !delivery.refused().is_empty() {
            return self.accept(secret);
        }
        let accepted = self.health.accepted_secret;
        let is_over = accepted.is_some_and(|accepted| {
            (accepted == secret && is_refusal(response)) || !self.settings.secrets.is_valid(accepted, now)
        });
        if is_over {
            self.health.accepted_secret = None;
        }
        is_over
    }

    /// The receiver accepted this secret after it had refused another. Returns whether that changed what is stored.
    pub(super) fn accept(&mut self, secret: SecretId) -> bool {
        let accepted = (secret != self.settings.secrets.newest()).then_some(secret);
        std::mem::replace(&mut self.health.accepted_secret, accepted) != accepted
    }

    /// The operational events of an attempt: failing is announced once, and recovery only after that.
    fn announce(&mut self, next: NextStep, changed: &mut bool) -> Vec<Announcement> {
        let before = self.health;
        self.health = self.breaker.remember(&before);
        let mut announcements = Vec::new();
        if next == NextStep::Failed {
            announcements.push(Announcement::Exhausted);
        }
        match self.health.failing_since {
            Some(since) if !before.notified && (self.breaker.is_open() || next == NextStep::Failed) => {
                self.health.notified = true;
                *changed = true;
                announcements.push(Announcement::Failing { since });
            }
            None if before.notified => {
                self.health.notified = false;
                *changed = true;
                let failing_since = before.failing_since.unwrap_or_default();
                announcements.push(Announcement::Recovered { failing_since });
            }
            _ => {}
        }
        announcements
    }

    fn reason_to_disable(&self, verdict: Verdict, now: UnixMillis) -> Option<DisabledReason> {
        let failing_since = self.health.failing_since;
        let gave_up = failing_since.is_some_and(|since| now.since(since) >= self.limits.disable_after);
        match verdict {
            _ if !self.settings.active => None,
            Verdict::Gone => Some(DisabledReason::Gone),
            _ if gave_up => Some(DisabledReason::Failing),
            _ => None,
        }
    }

    fn wait_for_record(&mut self, delivery_id: DeliveryId, due_at: Option<UnixMillis>) {
        let unrecorded = self.unrecorded.entry(delivery_id).or_default();
        unrecorded.outcomes += 1;
        unrecorded.due_at = due_at;
    }

    pub(super) fn outcome_recorded(&mut self, delivery_id: DeliveryId) {
        let Some(unrecorded) = self.unrecorded.get_mut(&delivery_id) else { return };
        unrecorded.outcomes -= 1;
        if unrecorded.outcomes > 0 {
            return;
        }
        let due_at = unrecorded.due_at;
        self.unrecorded.remove(&delivery_id);
        if self.in_flight.contains_key(&delivery_id) {
            // a follow-up attempt is under way: its outcome decides
            return;
        }
        let maybe_resent = self.maybe_resent.remove(&delivery_id) && due_at.is_none();
        if self.loading {
            self.recorded_while_loading.insert(delivery_id);
        }
        if maybe_resent {
            self.cursor.go_to_head();
        }
        if let Some(at) = due_at {
            self.cursor.go_before(at, delivery_id);
        }
        if maybe_resent || (self.settings.ordered && due_at.is_some()) {
            // the next page has it: a retry kept its place at the head of the queue, a resent delivery has a new one
            self.leave_in_store();
        } else {
            self.due_again_at(due_at);
        }
    }
}
