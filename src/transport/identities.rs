//! Clients that show a certificate.
//!
//! awc shares connections by host and port, and a connection speaks for whoever opened it. So each certificate of an
//! organization has a client with a pool of its own, and sessions of TLS of its own to resume.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use awc::Client;
use rustls::ClientConfig;

use super::tls;
use crate::domain::attempt::AttemptError;
use crate::domain::credentials::{CertificateId, ShownCertificate};
use crate::domain::ids::OrganizationId;

/// Certificates for which a thread keeps connections. More: the organization with the most of them loses the one that it did
/// not use for the longest time. Smaller: an organization with many makes a handshake for most attempts. Larger: memory, some
/// KiB each, and idle connections.
const MAX_IDENTITIES: usize = 1024;

/// The clients of one thread that show a certificate.
#[derive(Default)]
pub(super) struct Identities(RefCell<Known>);

#[derive(Default)]
struct Known {
    all: HashMap<(OrganizationId, CertificateId), Identity>,
    /// How often one was used, of which each has the number of its last time.
    uses: u64,
    uses_before_sweep: u64,
}

struct Identity {
    tls: Arc<ClientConfig>,
    client: Client,
    last_use: u64,
}

impl Identities {
    /// The client of a certificate, with the connections that it has.
    pub(super) fn client(
        &self,
        shown: &ShownCertificate,
        usual: &ClientConfig,
        make: impl FnOnce(&Arc<ClientConfig>) -> Client,
    ) -> Result<Client, AttemptError> {
        self.with(shown, usual, make, |identity| identity.client.clone())
    }

    /// TLS that shows a certificate, for a client without connections.
    pub(super) fn tls(
        &self,
        shown: &ShownCertificate,
        usual: &ClientConfig,
        make: impl FnOnce(&Arc<ClientConfig>) -> Client,
    ) -> Result<Arc<ClientConfig>, AttemptError> {
        self.with(shown, usual, make, |identity| Arc::clone(&identity.tls))
    }

    fn with<R>(
        &self,
        shown: &ShownCertificate,
        usual: &ClientConfig,
        make: impl FnOnce(&Arc<ClientConfig>) -> Client,
        take: impl FnOnce(&Identity) -> R,
    ) -> Result<R, AttemptError> {
        let known = &mut *self.0.borrow_mut();
        known.uses += 1;
        let last_use = known.uses;
        let key = (shown.organization_id, shown.certificate.id());
        if let Some(identity) = known.all.get_mut(&key) {
            identity.last_use = last_use;
            return Ok(take(identity));
        }
        // checked when it was set
        let tls = tls::showing(usual, &shown.certificate).map_err(|_| AttemptError::InvalidRequest)?;
        let tls = Arc::new(tls);
        if known.all.len() >= MAX_IDENTITIES {
            known.make_room();
        }
        let identity = Identity { client: make(&tls), tls, last_use };
        let taken = take(&identity);
        known.all.insert(key, identity);
        Ok(taken)
    }

    /// Closes the idle connections, and forgets certificates that were not used since the last time.
    pub(super) fn sweep(&self, make: impl Fn(&Arc<ClientConfig>) -> Client) {
        let known = &mut *self.0.borrow_mut();
        let before = std::mem::replace(&mut known.uses_before_sweep, known.uses);
        known.all.retain(|_, identity| {
            identity.client = make(&identity.tls);
            identity.last_use > before
        });
    }
}

impl Known {
    /// No organization pushes the certificates of others out.
    fn make_room(&mut self) {
        let mut counts: HashMap<OrganizationId, usize> = HashMap::new();
        self.all.keys().for_each(|(owner, _)| *counts.entry(*owner).or_default() += 1);
        let largest = counts.into_iter().max_by_key(|(_, count)| *count).map(|(owner, _)| owner);
        let of_largest = self.all.iter().filter(|((owner, _), _)| Some(*owner) == largest);
        let oldest = of_largest.min_by_key(|(_, identity)| identity.last_use).map(|(key, _)| *key);
        oldest.and_then(|key| self.all.remove(&key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::credentials::certificate_tests::certificates;

    struct World {
        identities: Identities,
        usual: ClientConfig,
    }

    impl World {
        fn new() -> Self {
            Self { identities: Identities::default(), usual: tls::client_config(None).unwrap() }
        }

        /// Whether a client with its connections is there already.
        fn is_kept(&self, shown: &ShownCertificate) -> bool {
            let mut is_kept = true;
            let make = |_: &Arc<ClientConfig>| {
                is_kept = false;
                Client::new()
            };
            assert!(self.identities.client(shown, &self.usual, make).is_ok());
            is_kept
        }
    }

    fn of(
        organization: i64,
        certificate: &Arc<crate::domain::credentials::ClientCertificate>,
    ) -> ShownCertificate {
        ShownCertificate { organization_id: OrganizationId(organization), certificate: Arc::clone(certificate) }
    }

    #[actix_rt::test]
    async fn an_organization_with_more_certificates_than_are_kept_pushes_out_its_own_and_no_other_one_s() {
        let world = World::new();
        let all = certificates(MAX_IDENTITIES + 50);
        let (theirs, many) = all.split_at(2);
        assert!(theirs.iter().all(|certificate| !world.is_kept(&of(2, certificate))));
        assert!(many.iter().all(|certificate| !world.is_kept(&of(1, certificate))));
        assert_eq!(world.identities.0.borrow().all.len(), MAX_IDENTITIES);
        assert!(
            theirs.iter().all(|certificate| world.is_kept(&of(2, certificate))),
            "the other organization's are there"
        );
        assert!(world.is_kept(&of(1, many.last().unwrap())), "its own newest is there");
        assert!(!world.is_kept(&of(1, &many[0])), "its own oldest is not");
    }

    #[actix_rt::test]
    async fn two_organizations_with_the_same_certificate_share_nothing() {
        let world = World::new();
        let same = certificates(1).remove(0);
        assert_eq!(
            [1, 2, 1, 2].map(|organization| world.is_kept(&of(organization, &same))),
            [false, false, true, true]
        );
    }

    #[actix_rt::test]
    async fn a_certificate_that_was_not_used_between_two_sweeps_is_forgotten() {
        let world = World::new();
        let all = certificates(2);
        let (used, idle) = (of(1, &all[0]), of(1, &all[1]));
        assert!(!world.is_kept(&used) && !world.is_kept(&idle));
        world.identities.sweep(|_| Client::new());
        assert!(world.is_kept(&used));
        world.identities.sweep(|_| Client::new());
        assert!(world.is_kept(&used) && !world.is_kept(&idle));
    }
}
