//! The delivery log.

mod attempts;
mod detail;
mod list;
mod resend;
pub(crate) mod table;

pub(crate) use detail::{download, payload, read};
pub(crate) use list::list;
pub(crate) use resend::{retry, retry_chosen};
