//! The delivery log: what became of every event at every webhook.

mod again;
mod attempts;
mod detail;
mod list;
pub mod table;

pub use again::{retry, retry_chosen};
pub use detail::{download, payload, read};
pub use list::list;
