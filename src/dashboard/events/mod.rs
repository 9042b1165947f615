//! Published events and their deliveries.

mod detail;
mod list;
mod publish;

pub(crate) use detail::{payload, read, replay};
pub(crate) use list::list;
pub(crate) use publish::{compose, publish};
