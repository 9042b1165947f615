//! TLS towards receivers: rustls with ring, the Mozilla roots, HTTP/1.1 only.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::{Resumption, VerifierBuilderError, WebPkiServerVerifier};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;

use super::handshake::DiagnosingVerifier;
use crate::domain::credentials::ClientCertificate;

/// Receivers whose TLS session can be resumed without a full handshake.
const RESUMABLE_SESSIONS: usize = 4096;
/// The same with one client certificate.
const SESSIONS_OF_A_CERTIFICATE: usize = 16;

/// Why TLS could not be set up.
#[derive(Debug, Error)]
pub enum TlsSetupError {
    /// The file of extra authorities can't be read, or is not PEM.
    #[error("can't read the certificate authorities in {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// A certificate in the file is not usable.
    #[error("a certificate in {path} can't be an authority: {source}")]
    Authority {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The file is empty.
    #[error("{0} contains no certificate; write certificates in PEM into it, or leave the setting out")]
    Empty(PathBuf),
    /// rustls refused its own defaults.
    #[error("TLS can't be set up: {0}")]
    Protocol(rustls::Error),
    /// rustls refused the authorities.
    #[error("TLS can't be set up: {0}")]
    Verifier(VerifierBuilderError),
}

/// Builds the client's side of TLS; `ca_file` contains authorities in PEM, trusted in addition to the built-in ones.
pub(super) fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, TlsSetupError> {
    let provider = rustls::crypto::ring::default_provider();
    // awc and others use the process-wide provider; an error means that it is already installed
    let _ = provider.clone().install_default();
    let mut roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    if let Some(path) = ca_file {
        add_authorities(&mut roots, path)?;
    }
    let provider = Arc::new(provider);
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(TlsSetupError::Verifier)?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsSetupError::Protocol)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(DiagnosingVerifier(verifier)))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::in_memory_sessions(RESUMABLE_SESSIONS);
    Ok(config)
}

/// The same with a client certificate. Sessions are its own: a resumed one speaks for the certificate of the first.
pub(super) fn showing(
    usual: &ClientConfig,
    certificate: &ClientCertificate,
) -> Result<ClientConfig, rustls::Error> {
    let chain = certificate.chain().iter().map(|der| CertificateDer::from(der.clone())).collect();
    let key = PrivateKeyDer::try_from(certificate.expose_key())
        .map_err(|error| rustls::Error::General(error.to_owned()))?
        .clone_key();
    let key = CertifiedKey::from_der(chain, key, usual.crypto_provider())?;
    let mut config = usual.clone();
    config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(key));
    config.resumption = Resumption::in_memory_sessions(SESSIONS_OF_A_CERTIFICATE);
    Ok(config)
}

fn add_authorities(roots: &mut RootCertStore, path: &Path) -> Result<(), TlsSetupError> {
    let read_error = |source| TlsSetupError::Read { path: path.to_owned(), source };
    let mut added = 0;
    for certificate in CertificateDer::pem_file_iter(path).map_err(read_error)? {
        roots
            .add(certificate.map_err(read_error)?)
            .map_err(|source| TlsSetupError::Authority { path: path.to_owned(), source })?;
        added += 1;
    }
    match added {
        0 => Err(TlsSetupError::Empty(path.to_owned())),
        _ => Ok(()),
    }
}
