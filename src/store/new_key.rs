//! An idempotency key as a commit stores it.

use std::borrow::Cow;

/// The own id of an event as a key: where several nodes write, its insert decides which of two events with the id is stored.
pub(super) struct UidKey;

impl UidKey {
    /// No key that is sent begins with it.
    const MARK: char = '\u{3}';

    pub(super) fn of(uid: &str) -> String {
        format!("{}{uid}", Self::MARK)
    }

    /// The own id that is kept in this key, if any is.
    pub(super) fn uid_in(key: &str) -> Option<&str> {
        key.strip_prefix(Self::MARK)
    }
}

/// A key to store, with the response that it repeats.
pub(super) struct NewKey<'a> {
    pub(super) organization_id: i64,
    pub(super) key: Cow<'a, str>,
    pub(super) request_hash: &'a [u8; 32],
    pub(super) event_id: i64,
    pub(super) event_type: &'a str,
    pub(super) occurred_at: i64,
    pub(super) delivery_count: i32,
    /// The key of a whole batch, or of an own id: its event has another one besides.
    pub(super) is_of_batch: bool,
    /// The event with which the key of its batch is stored, if that is in the same commit; else this one.
    pub(super) first_of_batch: i64,
}
