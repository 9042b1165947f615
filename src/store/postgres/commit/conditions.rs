//! Under which conditions rows of an event are stored.

use diesel::pg::Pg;
use diesel::query_builder::AstPass;

/// What decides in the statement itself whether rows of an event are stored, so that nothing can come between the question
/// and the commit.
#[derive(Clone, Copy)]
pub(super) struct Conditions {
    /// This node's rights must not have ended.
    pub(super) on_fence: bool,
    /// Its organization's settings must not have been changed since it was matched.
    pub(super) on_settings: bool,
    /// Its keys must be its own.
    pub(super) on_keys: bool,
}

impl Conditions {
    pub(super) fn push_for_keys(self, out: &mut AstPass<'_, '_, Pg>) {
        self.push(None, out);
    }

    /// `event` is the column with the event's id.
    pub(super) fn push_for_events(self, event: &str, out: &mut AstPass<'_, '_, Pg>) {
        self.push(self.on_keys.then_some(event), out);
    }

    fn push(self, event_with_key: Option<&str>, out: &mut AstPass<'_, '_, Pg>) {
        let mut word = " WHERE ";
        let mut condition = |parts: &[&str]| {
            out.push_sql(std::mem::replace(&mut word, " AND "));
            parts.iter().for_each(|part| out.push_sql(part));
        };
        if self.on_fence {
            condition(&[IS_HELD]);
        }
        if self.on_settings {
            condition(&["new.organization_id NOT IN (SELECT organization_id FROM outdated)"]);
        }
        if let Some(event) = event_with_key {
            condition(&["new.", event, " NOT IN (SELECT event_id FROM without_key)"]);
        }
    }
}

/// Whether this node's fence is held.
pub(super) const IS_HELD: &str = "EXISTS (SELECT 1 FROM fence)";
