//! Events: what was published, and to whom it went.

mod detail;
mod list;
mod publish;

pub use detail::{payload, read, replay};
pub use list::list;
pub use publish::{compose, publish};
