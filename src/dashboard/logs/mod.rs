//! The delivery log: what became of every event at every webhook.

mod again;
mod attempts;
mod detail;
mod list;
pub(crate) mod table;

pub(crate) use again::{retry, retry_chosen};
pub(crate) use detail::{download, payload, read};
pub(crate) use list::list;
