//! Clients that show a certificate.
//!
//! awc shares connections by host and port, and a connection speaks for whoever opened it. So each certificate has a client
//! with a pool of its own, and sessions of TLS of its own to resume.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use awc::Client;
use rustls::ClientConfig;

use super::tls;
use crate::domain::attempt::AttemptError;
use crate::domain::credentials::{CertificateId, ClientCertificate};

/// Certificates for which a thread keeps connections.
const MAX_IDENTITIES: usize = 1024;

/// The clients of one thread that show a certificate.
#[derive(Default)]
pub(super) struct Identities(RefCell<HashMap<CertificateId, Identity>>);

struct Identity {
    tls: Arc<ClientConfig>,
    client: Client,
    used: bool,
}

impl Identities {
    /// The client of a certificate, with the connections that it has.
    pub(super) fn client(
        &self,
        certificate: &ClientCertificate,
        usual: &ClientConfig,
        make: impl FnOnce(&Arc<ClientConfig>) -> Client,
    ) -> Result<Client, AttemptError> {
        self.with(certificate, usual, make, |identity| identity.client.clone())
    }

    /// TLS that shows a certificate, for a client without connections.
    pub(super) fn tls(
        &self,
        certificate: &ClientCertificate,
        usual: &ClientConfig,
        make: impl FnOnce(&Arc<ClientConfig>) -> Client,
    ) -> Result<Arc<ClientConfig>, AttemptError> {
        self.with(certificate, usual, make, |identity| Arc::clone(&identity.tls))
    }

    fn with<R>(
        &self,
        certificate: &ClientCertificate,
        usual: &ClientConfig,
        make: impl FnOnce(&Arc<ClientConfig>) -> Client,
        take: impl FnOnce(&Identity) -> R,
    ) -> Result<R, AttemptError> {
        let mut all = self.0.borrow_mut();
        if let Some(identity) = all.get_mut(&certificate.id()) {
            identity.used = true;
            return Ok(take(identity));
        }
        // checked when it was set
        let tls = tls::showing(usual, certificate).map_err(|_| AttemptError::InvalidRequest)?;
        let tls = Arc::new(tls);
        if all.len() >= MAX_IDENTITIES {
            all.clear();
        }
        let identity = Identity { client: make(&tls), tls, used: true };
        let taken = take(&identity);
        all.insert(certificate.id(), identity);
        Ok(taken)
    }

    /// Closes the idle connections, and forgets certificates that were not used since the last time.
    pub(super) fn sweep(&self, make: impl Fn(&Arc<ClientConfig>) -> Client) {
        self.0.borrow_mut().retain(|_, identity| {
            identity.client = make(&identity.tls);
            std::mem::take(&mut identity.used)
        });
    }
}
