//! `ringback load fairness`: what a *victim*, an organization that publishes 50 events a second, notices of another
//! organization, the *aggressor*, that does whatever its keys allow.
//!
//! `aggressor` lists them, `preparation` builds up what each one needs (webhooks, a backlog), `strike` makes its requests with
//! the calls of `client`, `garbage` and `slow_body`, `receivers` plays its receivers, `run` takes the turns, and `report` and
//! `table` present them.

pub mod aggressor;
mod background;
mod client;
mod garbage;
mod preparation;
mod receivers;
pub mod report;
pub mod run;
mod slow_body;
mod strike;
mod table;
mod tally;

pub use table::text;
