//! A queue in which organizations take turns, by what their work costs.
//!
//! Surplus round robin (Adiseshu, Parulkar and Varghese, 1996), a form of deficit round robin that learns what an item
//! costs while it is served: each round gives every waiting organization credit, and it is served until the credit is
//! used up. What an item cost too much is missing in the next rounds.

use std::collections::{HashMap, VecDeque};

use super::ids::OrganizationId;

/// How much one round may serve.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RoundLimits {
    /// Credit of each organization.
    pub for_one: usize,
    /// Nothing more is begun after this much in all.
    pub in_all: usize,
}

/// Items of organizations; those of one organization stay in their order.
#[derive(Debug)]
pub(crate) struct FairQueue<T> {
    lines: HashMap<OrganizationId, Line<T>>,
    /// Organizations with items or debts, the next one first.
    turns: VecDeque<OrganizationId>,
    len: usize,
    /// Of the items that come now; grows with each mark.
    generation: u64,
}

/// A moment in the life of a queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark(u64);

#[derive(Debug)]
struct Line<T> {
    /// With their generations, which never fall.
    items: VecDeque<(u64, T)>,
    /// Below zero: served beyond its credit.
    credit: i64,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self { lines: HashMap::new(), turns: VecDeque::new(), len: 0, generation: 1 }
    }
}

impl<T> FairQueue<T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn push_back(&mut self, organization_id: OrganizationId, item: T) {
        let generation = self.generation;
        self.line(organization_id).items.push_back((generation, item));
        self.len += 1;
    }

    /// Puts an item before all others of its organization. It counts as older than every mark.
    pub(crate) fn push_front(&mut self, organization_id: OrganizationId, item: T) {
        self.line(organization_id).items.push_front((0, item));
        self.len += 1;
    }

    /// Tells what waits now from what comes later.
    pub(crate) fn mark(&mut self) -> Mark {
        self.generation += 1;
        Mark(self.generation)
    }

    /// Whether something waits that came before.
    pub(crate) fn holds_older_than(&self, Mark(mark): Mark) -> bool {
        let is_older = |line: &Line<T>| line.items.front().is_some_and(|(generation, _)| *generation < mark);
        self.len > 0 && self.lines.values().any(is_older)
    }

    /// Drops all items.
    pub(crate) fn clear(&mut self) {
        self.lines.clear();
        self.turns.clear();
        self.len = 0;
    }

    fn line(&mut self, organization_id: OrganizationId) -> &mut Line<T> {
        self.lines.entry(organization_id).or_insert_with(|| {
            self.turns.push_back(organization_id);
            Line { items: VecDeque::new(), credit: 0 }
        })
    }

    /// Serves organizations in turn, each until its credit is used up. `serve` takes an item and returns what it cost.
    /// Serves something as long as anything waits.
    pub(crate) fn serve_round(&mut self, limits: RoundLimits, mut serve: impl FnMut(T) -> usize) {
        let mut served = 0;
        while served == 0 && self.len > 0 {
            for _ in 0..self.turns.len() {
                if served >= limits.in_all {
                    return;
                }
                served += self.serve_next(limits, served, &mut serve);
            }
        }
    }

    /// One organization's turn; returns what it cost, at least 1 if anything was served.
    fn serve_next(&mut self, limits: RoundLimits, served: usize, serve: &mut impl FnMut(T) -> usize) -> usize {
        let Some(organization_id) = self.turns.pop_front() else { return 0 };
        let Some(line) = self.lines.get_mut(&organization_id) else { return 0 };
        let for_one = i64::try_from(limits.for_one).unwrap_or(i64::MAX);
        line.credit = line.credit.saturating_add(for_one).min(for_one);
        let mut cost = 0;
        while line.credit > 0 && served + cost < limits.in_all {
            let Some((_, item)) = line.items.pop_front() else { break };
            self.len -= 1;
            let of_item = serve(item).max(1);
            line.credit = line.credit.saturating_sub(i64::try_from(of_item).unwrap_or(i64::MAX));
            cost += of_item;
        }
        // a debt is not forgotten with the last item: otherwise one large item at a time would never wait
        if line.items.is_empty() && line.credit >= 0 {
            self.lines.remove(&organization_id);
        } else {
            self.turns.push_back(organization_id);
        }
        cost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection;
    use proptest::prelude::*;

    const LIMITS: RoundLimits = RoundLimits { for_one: 10, in_all: 1_000 };

    fn org(number: i64) -> OrganizationId {
        OrganizationId(number)
    }

    fn serve(queue: &mut FairQueue<(i64, usize)>, limits: RoundLimits) -> Vec<(i64, usize)> {
        let mut served = Vec::new();
        queue.serve_round(limits, |item| {
            served.push(item);
            item.1
        });
        served
    }

    #[test]
    fn an_organization_with_a_long_line_gets_its_credit_and_the_other_one_all_that_it_asks() {
        let mut queue = FairQueue::default();
        (0..1_000).for_each(|_| queue.push_back(org(1), (1, 1)));
        queue.push_back(org(2), (2, 1));
        let served = serve(&mut queue, LIMITS);
        assert_eq!(served.len(), 11);
        assert!(served.contains(&(2, 1)));
    }

    #[test]
    fn one_item_that_costs_far_more_than_the_credit_is_paid_for_in_later_rounds() {
        let mut queue = FairQueue::default();
        let mut of_first = 0;
        for _ in 0..100 {
            // never more than one waits
            if queue.lines.get(&org(1)).is_none_or(|line| line.items.is_empty()) {
                queue.push_back(org(1), (1, 100));
            }
            (0..10).for_each(|_| queue.push_back(org(2), (2, 1)));
            of_first += serve(&mut queue, LIMITS).iter().filter(|(organization, _)| *organization == 1).count();
        }
        assert!((9..=11).contains(&of_first), "a cost of 100 in ten rounds of 10: {of_first}");
    }

    #[test]
    fn something_is_served_even_when_everyone_is_in_debt() {
        let mut queue = FairQueue::default();
        queue.push_back(org(1), (1, 100));
        assert_eq!(serve(&mut queue, LIMITS).len(), 1);
        queue.push_back(org(1), (1, 100));
        assert_eq!(serve(&mut queue, LIMITS).len(), 1, "nobody else waits");
    }

    #[test]
    fn a_mark_is_reached_when_what_came_before_it_is_served_whatever_came_after() {
        let mut queue = FairQueue::default();
        (0..30).for_each(|_| queue.push_back(org(1), (1, 1)));
        queue.push_back(org(2), (2, 1));
        let mark = queue.mark();
        for round in 0..3 {
            assert!(queue.holds_older_than(mark), "round {round}");
            (0..100).for_each(|_| queue.push_back(org(2), (2, 1)));
            serve(&mut queue, LIMITS);
        }
        assert!(!queue.holds_older_than(mark) && !queue.is_empty());
        queue.push_front(org(2), (2, 1));
        assert!(queue.holds_older_than(mark), "it was put back");
        queue.clear();
        queue.push_back(org(2), (2, 1));
        assert!(!queue.holds_older_than(mark));
    }

    proptest! {
        #[test]
        fn every_item_is_served_once_in_the_order_of_its_organization(
            items in collection::vec((1_i64..5, 0_usize..30), 1..200),
            for_one in 1_usize..40,
            in_all in 1_usize..100,
        ) {
            let mut queue = FairQueue::default();
            for (place, (organization, cost)) in items.iter().enumerate() {
                queue.push_back(org(*organization), (place as i64, *cost));
            }
            let mut served = Vec::new();
            while !queue.is_empty() {
                let round = serve(&mut queue, RoundLimits { for_one, in_all });
                prop_assert!(!round.is_empty());
                let cost: usize = round.iter().map(|(_, cost)| (*cost).max(1)).sum();
                prop_assert!(cost < in_all + 30, "a round ends with the item that fills it");
                served.extend(round);
            }
            prop_assert_eq!(served.len(), items.len());
            for organization in 1..5 {
                let places: Vec<i64> = served.iter().map(|(place, _)| *place)
                    .filter(|place| items[*place as usize].0 == organization).collect();
                prop_assert!(places.is_sorted());
            }
        }
    }
}
