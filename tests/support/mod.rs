//! What several test crates share.

pub(crate) mod postgres;
