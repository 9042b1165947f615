//! The place of this engine among the nodes of its database.
//!
//! [`joining`] takes the place; [`rights`] says at every moment what this node may do; `keeper` keeps its lease, looks at the others and does what the
//! rules of `domain::cluster` decide; `membership` is the actor around it, which tells the others of gains and losses; `links`
//! tells other nodes what was committed here for their endpoints. With one node, and on SQLite, it is a cluster of one.

pub mod clock;
pub mod identity;
pub mod joining;
pub(crate) mod keeper;
pub mod links;
pub mod membership;
pub mod push;
pub mod rights;
