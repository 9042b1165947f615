//! An idempotency key as a commit stores it.

/// A key to store, with the response that it repeats.
pub(super) struct NewKey<'a> {
    pub(super) organization_id: i64,
    pub(super) key: &'a str,
    pub(super) request_hash: &'a [u8; 32],
    pub(super) event_id: i64,
    pub(super) event_type: &'a str,
    pub(super) occurred_at: i64,
    pub(super) delivery_count: i32,
    /// The key of a whole batch: an event of it has one of its own besides.
    pub(super) is_of_batch: bool,
    /// The event with which the key of its batch is stored, if that is in the same commit; else this one.
    pub(super) first_of_batch: i64,
}
