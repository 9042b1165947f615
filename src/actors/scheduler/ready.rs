//! Endpoints that are due and wait for a supervisor: by organization in turn, within one in the order in which they came.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::domain::ids::{EndpointId, OrganizationId};
use crate::store::AgendaRow;

/// Bounded by the number of endpoints with pending deliveries.
#[derive(Debug, Default)]
pub(super) struct ReadyEndpoints {
    lines: HashMap<OrganizationId, ReadyLine>,
    /// Organizations whose endpoints may be activated, the next one first.
    turns: VecDeque<OrganizationId>,
    /// Organizations that were refused and wait until a supervisor ends.
    refused: VecDeque<OrganizationId>,
    known: HashSet<EndpointId>,
}

#[derive(Debug, Default)]
struct ReadyLine {
    rows: VecDeque<AgendaRow>,
    is_refused: bool,
}

impl ReadyEndpoints {
    pub(super) fn contains(&self, endpoint_id: EndpointId) -> bool {
        self.known.contains(&endpoint_id)
    }

    /// Adds an endpoint at the end of its organization's line.
    pub(super) fn push(&mut self, row: AgendaRow) {
        if !self.known.insert(row.endpoint_id) {
            return;
        }
        let line = self.lines.entry(row.organization_id).or_default();
        if line.rows.is_empty() && !line.is_refused {
            self.turns.push_back(row.organization_id);
        }
        line.rows.push_back(row);
    }

    /// Takes up to `count` endpoints, one of each organization in turn.
    pub(super) fn take(&mut self, count: usize) -> Vec<AgendaRow> {
        let mut taken = Vec::new();
        while taken.len() < count {
            let Some(organization_id) = self.turns.pop_front() else { break };
            let Some(line) = self.lines.get_mut(&organization_id) else { continue };
            if let Some(row) = line.rows.pop_front() {
                self.known.remove(&row.endpoint_id);
                taken.push(row);
            }
            match line.rows.is_empty() {
                true => drop(self.lines.remove(&organization_id)),
                false => self.turns.push_back(organization_id),
            }
        }
        taken
    }

    /// Puts back endpoints for which there was no room, before the others of their organizations, which wait from now on.
    pub(super) fn put_back(&mut self, rows: Vec<AgendaRow>) {
        for row in rows.into_iter().rev() {
            let organization_id = row.organization_id;
            if self.known.insert(row.endpoint_id) {
                self.lines.entry(organization_id).or_default().rows.push_front(row);
            }
            if let Some(line) = self.lines.get_mut(&organization_id)
                && !std::mem::replace(&mut line.is_refused, true)
            {
                self.turns.retain(|waiting| *waiting != organization_id);
                self.refused.push_back(organization_id);
            }
        }
    }

    /// A supervisor of this organization has ended: it may have another one, and so may the next that was refused.
    pub(super) fn freed(&mut self, organization_id: OrganizationId) {
        if self.lines.get(&organization_id).is_some_and(|line| line.is_refused) {
            self.refused.retain(|waiting| *waiting != organization_id);
            self.allow(organization_id);
        }
        if let Some(next) = self.refused.pop_front() {
            self.allow(next);
        }
    }

    fn allow(&mut self, organization_id: OrganizationId) {
        if let Some(line) = self.lines.get_mut(&organization_id) {
            line.is_refused = false;
            self.turns.push_back(organization_id);
        }
    }

    /// Whether endpoints of an organization wait.
    pub(super) fn has(&self, organization_id: OrganizationId) -> bool {
        self.lines.contains_key(&organization_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::UnixMillis;

    fn row(organization: i64, endpoint: i64) -> AgendaRow {
        AgendaRow {
            endpoint_id: EndpointId(endpoint),
            organization_id: OrganizationId(organization),
            due_at: UnixMillis(0),
        }
    }

    fn taken(ready: &mut ReadyEndpoints, count: usize) -> Vec<i64> {
        ready.take(count).into_iter().map(|row| row.endpoint_id.0).collect()
    }

    #[test]
    fn organizations_take_turns_and_endpoints_of_one_keep_their_order() {
        let mut ready = ReadyEndpoints::default();
        (1..=5).for_each(|endpoint| ready.push(row(1, endpoint)));
        ready.push(row(2, 21));
        ready.push(row(1, 3));
        assert_eq!(taken(&mut ready, 4), [1, 21, 2, 3]);
        assert_eq!(taken(&mut ready, 9), [4, 5]);
        assert!(!ready.has(OrganizationId(1)));
    }

    #[test]
    fn an_organization_that_was_refused_waits_for_a_place_and_keeps_nobody_else_waiting() {
        let mut ready = ReadyEndpoints::default();
        (1..=4).for_each(|endpoint| ready.push(row(1, endpoint)));
        let refused = ready.take(2);
        ready.put_back(refused);
        ready.push(row(2, 21));
        assert_eq!(taken(&mut ready, 9), [21]);
        ready.freed(OrganizationId(2));
        assert_eq!(taken(&mut ready, 1), [1], "a place of another one may be its own now");
        let refused = ready.take(1);
        ready.put_back(refused);
        assert!(taken(&mut ready, 9).is_empty());
        ready.freed(OrganizationId(1));
        assert_eq!(taken(&mut ready, 9), [2, 3, 4]);
    }
}
