//! How organizations share the engine: who may hold how much of it ([`shares`]), and who works next ([`gate`]).
//!
//! Nothing is reserved for an organization in advance: one that is alone has nearly everything, and gives way as others ask.

pub(crate) mod event_rates;
pub(crate) mod gate;
pub(crate) mod meter;
pub(crate) mod shares;
pub(crate) mod usage;
