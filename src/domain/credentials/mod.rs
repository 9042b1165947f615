//! What a webhook shows to its receiver beside signatures: a client certificate, and a token of OAuth 2.0.

mod certificate;
mod ends;
mod oauth2;
mod token;

use std::sync::Arc;

#[cfg(test)]
pub(crate) use certificate::tests as certificate_tests;
pub use certificate::{
    CertificateError, CertificateFacts, CertificateId, ClientCertificate, MAX_CERTIFICATES, ShownCertificate,
};
pub use ends::{CertificateEnds, CertificateState, CertificatesSeen};
pub use oauth2::{ClientAuthentication, GrantId, OAuth2, TokenGrant};
pub use token::{Token, read_token};

/// The credentials of an endpoint. None by default.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Shown to a receiver that asks for one during the TLS handshake.
    pub client_certificate: Option<Arc<ClientCertificate>>,
    /// Where the token in `authorization` comes from.
    pub oauth2: Option<Arc<OAuth2>>,
}

impl Credentials {
    pub(crate) fn is_empty(&self) -> bool {
        self.client_certificate.is_none() && self.oauth2.is_none()
    }
}
