//! A certificate for TLS, with its private key.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use thiserror::Error;
use x509_parser::prelude::{FromDer, X509Certificate, X509Name};
use zeroize::Zeroizing;

use crate::domain::ids::OrganizationId;
use crate::domain::time::UnixMillis;

/// Certificates of a chain. Real ones have at most four.
pub const MAX_CERTIFICATES: usize = 10;
/// Characters of a name that are shown.
const MAX_NAME: usize = 200;

/// Why a chain is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CertificateError {
    #[error("contains no certificate")]
    Empty,
    #[error("has {0} certificates; at most {MAX_CERTIFICATES} are sent")]
    TooMany(usize),
    /// Counted from 1.
    #[error("certificate {0} of the chain can't be read: it is damaged, or cut")]
    Unreadable(usize),
}

/// Tells certificates and keys from each other: connections are shared by requests with the same one only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CertificateId([u8; 32]);

/// What its owner sees of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    pub subject: String,
    pub issuer: String,
    pub not_before: UnixMillis,
    /// It is refused from then on.
    pub not_after: UnixMillis,
    /// SHA-256 of the certificate, in hexadecimal.
    pub fingerprint: String,
}

/// A chain and the private key of its first certificate, both in DER. It has no `Debug`, because of the key.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    chain: Vec<Vec<u8>>,
    private_key: Zeroizing<Vec<u8>>,
    facts: CertificateFacts,
    id: CertificateId,
}

/// A certificate as the webhooks of one organization show it: two organizations share no connection, whatever they show.
#[derive(Clone)]
pub struct ShownCertificate {
    pub organization_id: OrganizationId,
    pub certificate: Arc<ClientCertificate>,
}

impl ClientCertificate {
    /// Reads the chain, the webhook's own certificate first. Whether the key fits is for who knows TLS.
    pub fn new(chain: Vec<Vec<u8>>, private_key: Zeroizing<Vec<u8>>) -> Result<Self, CertificateError> {
        if chain.len() > MAX_CERTIFICATES {
            return Err(CertificateError::TooMany(chain.len()));
        }
        let mut facts = None;
        for (number, der) in (1..).zip(&chain) {
            match X509Certificate::from_der(der) {
                Ok((_, certificate)) if facts.is_none() => facts = Some(CertificateFacts::of(&certificate, der)),
                Ok(_) => {}
                Err(_) => return Err(CertificateError::Unreadable(number)),
            }
        }
        let facts = facts.ok_or(CertificateError::Empty)?;
        let mut hash = Sha256::new();
        for part in chain.iter().map(Vec::as_slice).chain([private_key.as_slice()]) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let id = CertificateId(hash.finalize().into());
        Ok(Self { chain, private_key, facts, id })
    }

    /// The certificates in DER, the webhook's own first.
    pub fn chain(&self) -> &[Vec<u8>] {
        &self.chain
    }

    /// In DER: PKCS #8, PKCS #1 or SEC 1. The caller is responsible for where it goes.
    pub fn expose_key(&self) -> &[u8] {
        &self.private_key
    }

    pub fn facts(&self) -> &CertificateFacts {
        &self.facts
    }

    pub fn id(&self) -> CertificateId {
        self.id
    }
}

impl CertificateFacts {
    fn of(certificate: &X509Certificate<'_>, der: &[u8]) -> Self {
        let validity = certificate.validity();
        Self {
            subject: shown(certificate.subject()),
            issuer: shown(certificate.issuer()),
            not_before: instant(validity.not_before.timestamp()),
            not_after: instant(validity.not_after.timestamp()),
            fingerprint: data_encoding::HEXLOWER.encode(&Sha256::digest(der)),
        }
    }
}

fn instant(seconds: i64) -> UnixMillis {
    UnixMillis(seconds.saturating_mul(1000))
}

/// A name as text of a bounded length without control characters: its owner wrote it.
fn shown(name: &X509Name<'_>) -> String {
    let text = name.to_string();
    let clean = text.chars().map(|it| if it.is_control() { char::REPLACEMENT_CHARACTER } else { it });
    clean.take(MAX_NAME).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Different ones.
    pub(crate) fn certificates(count: usize) -> Vec<Arc<ClientCertificate>> {
        let key = rcgen::KeyPair::generate().unwrap();
        let made = |number: usize| {
            let mut params = rcgen::CertificateParams::new(vec!["hooks.example".to_owned()]).unwrap();
            params.serial_number = Some(rcgen::SerialNumber::from(number as u64 + 1));
            let chain = vec![params.self_signed(&key).unwrap().der().to_vec()];
            Arc::new(ClientCertificate::new(chain, Zeroizing::new(key.serialize_der())).unwrap())
        };
        (0..count).map(made).collect()
    }

    /// With its key, valid until this day of the year.
    pub(crate) fn certificate(name: &str, year: i32) -> ClientCertificate {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let made = params.self_signed(&key).unwrap();
        ClientCertificate::new(vec![made.der().to_vec()], Zeroizing::new(key.serialize_der())).unwrap()
    }

    #[test]
    fn the_facts_are_those_of_the_first_certificate() {
        let made = certificate("hooks.example", 2031);
        let facts = made.facts();
        assert!(facts.subject.contains("CN=hooks.example"), "{}", facts.subject);
        assert_eq!(facts.not_after.to_string().split('T').next(), Some("2031-01-01"));
        assert_eq!(facts.fingerprint.len(), 64);
        let day = 86_400_000;
        assert_eq!(facts.days_left(UnixMillis(facts.not_after.0 - 2 * day - 1)), Some(2));
        assert_eq!(facts.days_left(facts.not_after), None);
    }

    #[test]
    fn what_is_no_chain_is_refused() {
        let key = || Zeroizing::new(vec![1]);
        let good = certificate("a.example", 2031).chain()[0].clone();
        let refused = |chain: Vec<Vec<u8>>| ClientCertificate::new(chain, key()).err();
        assert_eq!(refused(vec![]), Some(CertificateError::Empty));
        assert_eq!(refused(vec![good.clone(); 11]), Some(CertificateError::TooMany(11)));
        let cut = good[..good.len() - 1].to_vec();
        assert_eq!(refused(vec![good.clone(), cut]), Some(CertificateError::Unreadable(2)));
        assert_eq!(refused(vec![good]), None);
    }

    #[test]
    fn another_key_or_certificate_is_another_identity() {
        let (one, other) = (certificate("a.example", 2031), certificate("a.example", 2031));
        assert_ne!(one.id(), other.id());
        let mixed = ClientCertificate::new(one.chain.clone(), other.private_key.clone()).unwrap();
        assert!(mixed.id() != one.id() && mixed.id() != other.id());
        assert_eq!(ClientCertificate::new(one.chain.clone(), one.private_key.clone()).unwrap().id(), one.id());
    }
}
