//! What all pages and workers share.

use std::sync::Arc;

use super::portal::Portal;
use super::tickets::Tickets;
use crate::domain::time::UnixMillis;

/// The dashboard's state, one for all workers.
pub struct Dashboard {
    pub(super) tickets: Tickets,
    /// What customers who come by a link see instead of ours.
    pub(super) portal: Arc<Portal>,
    /// Whether cookies are limited to HTTPS (and localhost).
    pub(super) secure: bool,
}

impl Dashboard {
    /// `secure` must be true except on a developer's machine.
    pub fn new(secure: bool) -> Self {
        Self { tickets: Tickets::default(), portal: Arc::default(), secure }
    }

    /// For the customers of a product that looks like this.
    pub fn of_product(self, portal: Portal) -> Self {
        Self { portal: Arc::new(portal), ..self }
    }

    /// A path that signs in the first browser that opens it, with the key that has this hash.
    pub fn sign_in_once(&self, key_hash: [u8; 32], rng: &mut impl rand::Rng, now: UnixMillis) -> String {
        let ticket = self.tickets.issue(key_hash, rng, now);
        format!("/sign-in?ticket={ticket}")
    }
}
