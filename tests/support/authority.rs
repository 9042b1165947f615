//! Certificates to test against.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::{ServerConfig, SupportedProtocolVersion};

/// A certificate authority of our own, in a file.
pub struct Authority {
    pub issuer: CertifiedIssuer<'static, KeyPair>,
    pub file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Authority {
    #[expect(clippy::new_without_default, reason = "makes a key and a file")]
    pub fn new() -> Self {
        Self::named("An authority")
    }

    pub fn named(name: &str) -> Self {
        let params = authority_params(name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, issuer.pem()).unwrap();
        Self { issuer, file, _folder: folder }
    }

    /// An authority that this one vouches for, and its certificate.
    pub fn intermediate(&self) -> CertifiedIssuer<'static, KeyPair> {
        CertifiedIssuer::signed_by(authority_params("An intermediate"), KeyPair::generate().unwrap(), &self.issuer)
            .unwrap()
    }

    /// A server's side of TLS with a certificate for this name or address, changed by `change`.
    pub fn server(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> ServerConfig {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        server_config(vec![certificate.der().clone()], &key)
    }

    /// One that speaks this version only and wants a certificate of its clients.
    pub fn server_wanting(
        &self,
        name: &str,
        version: &'static SupportedProtocolVersion,
        clients: Arc<dyn ClientCertVerifier>,
    ) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![certificate.der().clone()], private(&key))
            .unwrap()
    }
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// With a certificate of this issuer, followed by these.
pub fn server_of(
    issuer: &CertifiedIssuer<'static, KeyPair>,
    name: &str,
    chain: &[&CertifiedIssuer<'static, KeyPair>],
) -> ServerConfig {
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, issuer).unwrap();
    let sent = std::iter::once(leaf.der().clone()).chain(chain.iter().map(|issuer| issuer.der().clone()));
    server_config(sent.collect(), &key)
}

/// With a certificate that nobody else has signed.
pub fn self_signed_server(name: &str) -> ServerConfig {
    self_signed_with(name, |_| {})
}

/// The same, with a certificate that was changed.
pub fn self_signed_with(name: &str, change: impl FnOnce(&mut CertificateParams)) -> ServerConfig {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    change(&mut params);
    server_config(vec![params.self_signed(&key).unwrap().der().clone()], &key)
}

fn server_config(chain: Vec<rustls::pki_types::CertificateDer<'static>>, key: &KeyPair) -> ServerConfig {
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, private(key))
        .unwrap()
}

fn private(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()))
}
