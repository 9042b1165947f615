//! Steps that send deliveries again.

use proptest::prelude::*;
use ringback::domain::delivery::DeliveryStatus;
use ringback::domain::round::Rounds;
use ringback::store::{ReplayTargets, RequeueRange};

use super::{ENDPOINTS, History, Step, rounds};

impl History<'_> {
    pub(super) fn again(&self, delivery: &prop::sample::Index, rounds: Rounds) -> Result<(), TestCaseError> {
        if self.deliveries.is_empty() {
            return Ok(());
        }
        let &(id, owner, _) = delivery.get(&self.deliveries);
        let [one, other] =
            self.stores.map(|store| format!("{:?}", store.requeue_delivery(owner, id, rounds, self.now)));
        prop_assert_eq!(one, other);
        Ok(())
    }

    pub(super) fn hurry(&self, delivery: &prop::sample::Index) -> Result<(), TestCaseError> {
        if self.deliveries.is_empty() {
            return Ok(());
        }
        let &(id, owner, _) = delivery.get(&self.deliveries);
        let [one, other] = self.stores.map(|store| store.make_delivery_due(owner, id, self.now).unwrap());
        prop_assert_eq!(one, other);
        Ok(())
    }

    pub(super) fn recover(&self, step: &Step) -> Result<(), TestCaseError> {
        let Step::Recover { endpoint, success, since, until, after, limit, once } = step else { return Ok(()) };
        if self.deliveries.is_empty() {
            return Ok(());
        }
        let instant = |index: &prop::sample::Index| *index.get(&self.instants);
        let status = if *success { DeliveryStatus::Success } else { DeliveryStatus::Failed };
        let range = RequeueRange { since: instant(since), until: instant(until), status, rounds: rounds(*once) };
        let after = after.map(|index| index.get(&self.deliveries).0);
        let (owner, endpoint_id) = (self.owner(*endpoint), self.endpoints[*endpoint]);
        let [one, other] = self.stores.map(|store| {
            let count = store.count_range(owner, endpoint_id, &range, 99).unwrap();
            (count, store.requeue_range(owner, endpoint_id, &range, after, *limit, self.now).unwrap())
        });
        prop_assert_eq!(one, other);
        Ok(())
    }

    pub(super) fn replay(
        &mut self,
        event: &prop::sample::Index,
        mask: Option<u8>,
        by_owner: bool,
        rounds: Rounds,
    ) -> Result<(), TestCaseError> {
        if self.events.is_empty() {
            return Ok(());
        }
        let &(id, owner) = event.get(&self.events);
        let caller =
            if by_owner { owner } else { self.organizations[usize::from(owner == self.organizations[0])] };
        let targets = mask.map_or(ReplayTargets::Delivered, |mask| {
            let chosen = (0..ENDPOINTS).filter(|endpoint| mask & (1 << endpoint) != 0);
            ReplayTargets::Endpoints(chosen.map(|endpoint| self.endpoints[endpoint]).collect())
        });
        let spare: Vec<i64> = (0..ENDPOINTS).map(|_| self.ids.next(self.now)).collect();
        let [one, other] = self.stores.map(|store| {
            let mut ids = spare.iter().copied();
            format!(
                "{:?}",
                store.replay_event(caller, id, &targets, rounds, &mut || ids.next().unwrap(), self.now)
            )
        });
        prop_assert_eq!(one, other);
        if let Some(detail) = self.stores[0].event(owner, id).unwrap() {
            let added = detail.deliveries.iter().filter(|delivery| spare.contains(&delivery.id.0));
            self.deliveries.extend(added.map(|delivery| (delivery.id, owner, delivery.endpoint_id)));
        }
        Ok(())
    }
}
