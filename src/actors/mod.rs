//! The actors: router, one supervisor for each endpoint, persistence, scheduler. What they know is a cache of
//! the database; each holds a bounded window, never a backlog.

pub mod handle;
