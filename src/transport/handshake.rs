//! Why a TLS handshake failed.
//!
//! rustls reports "unknown issuer" for every chain without a known authority. To fix that, the receiver's owner must know
//! whether a certificate of the chain is missing, so [`DiagnosingVerifier`] looks at the chain that was sent. It accepts
//! nothing that rustls refuses.

use std::io;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, DigitallySignedStruct, Error, InvalidMessage, OtherError,
    PeerIncompatible, SignatureScheme,
};
use thiserror::Error;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use crate::domain::attempt::TlsFault;
use crate::domain::time::UnixMillis;

/// Why the TLS handshake on this connection failed.
pub(super) fn io_fault(error: &io::Error) -> TlsFault {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(error) => fault(error),
        None => TlsFault::Closed,
    }
}

/// What an error of rustls means for the owner of the receiver.
pub(super) fn fault(error: &Error) -> TlsFault {
    match error {
        Error::InvalidCertificate(error) => certificate_fault(error),
        Error::AlertReceived(alert) => alert_fault(*alert),
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::SupportedVersionsExtensionRequired,
        ) => TlsFault::ProtocolVersion,
        Error::PeerIncompatible(_) => TlsFault::NothingInCommon,
        // a TLS record begins with its type, and no text begins with a byte that is one
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => TlsFault::PlainText,
        Error::InvalidMessage(InvalidMessage::UnknownProtocolVersion) => TlsFault::ProtocolVersion,
        _ => TlsFault::Broken,
    }
}

fn certificate_fault(error: &CertificateError) -> TlsFault {
    match error {
        CertificateError::ExpiredContext { not_after, .. } => TlsFault::Expired(instant(*not_after)),
        CertificateError::NotValidYetContext { not_before, .. } => TlsFault::NotYetValid(instant(*not_before)),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => TlsFault::WrongName,
        CertificateError::UnknownIssuer => TlsFault::UnknownAuthority,
        CertificateError::Other(OtherError(other)) => match other.downcast_ref::<UntrustedChain>() {
            Some(UntrustedChain(fault)) => *fault,
            None => TlsFault::UnusableCertificate,
        },
        _ => TlsFault::UnusableCertificate,
    }
}

fn alert_fault(alert: AlertDescription) -> TlsFault {
    match alert {
        AlertDescription::ProtocolVersion => TlsFault::ProtocolVersion,
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => TlsFault::NothingInCommon,
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => TlsFault::ClientCertificate,
        // what a server can say about certificates is about the client's
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA => TlsFault::ClientCertificateRefused,
        AlertDescription::UnrecognisedName => TlsFault::UnrecognizedName,
        _ => TlsFault::Alert,
    }
}

fn instant(at: UnixTime) -> UnixMillis {
    UnixMillis(i64::try_from(at.as_secs()).unwrap_or(i64::MAX).saturating_mul(1000))
}

/// Why a chain is not trusted; travels inside rustls's error.
#[derive(Debug, Error)]
#[error("the certificate is not trusted")]
struct UntrustedChain(TlsFault);

/// rustls's own check of certificates, with a more precise error for a chain without a known authority.
#[derive(Debug)]
pub(super) struct DiagnosingVerifier(pub(super) Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for DiagnosingVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now).map_err(|error| {
            match distrust(&error, end_entity, intermediates, now) {
                Some(fault) => CertificateError::Other(OtherError(Arc::new(UntrustedChain(fault)))).into(),
                None => error,
            }
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// What is wrong with a chain without a known authority; `None` for any other error.
fn distrust(
    error: &Error,
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    now: UnixTime,
) -> Option<TlsFault> {
    let leads_nowhere = match error {
        // "bad signature": an authority of the issuer's name is known, but it did not sign this
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => true,
        Error::InvalidCertificate(CertificateError::Other(OtherError(other))) => {
            matches!(other.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
        }
        _ => false,
    };
    let leaf = EndEntityCert::try_from(end_entity).ok().filter(|_| leads_nowhere)?;
    if is_self_signed(&leaf, end_entity, now) {
        return Some(TlsFault::SelfSigned);
    }
    let issuer_was_sent = intermediates.iter().any(|certificate| {
        EndEntityCert::try_from(certificate).is_ok_and(|certificate| certificate.subject() == leaf.issuer())
    });
    match error {
        // an authority's own certificate on a server: the error is not about its issuer
        Error::InvalidCertificate(CertificateError::Other(_)) => None,
        _ if issuer_was_sent => Some(TlsFault::UnknownAuthority),
        _ => Some(TlsFault::MissingIntermediate),
    }
}

/// Whether the certificate's own key signed it. One that is marked as an authority, as `openssl req -x509` makes them,
/// can't be verified as a server's: there, equal names of issuer and subject have to suffice.
fn is_self_signed(leaf: &EndEntityCert<'_>, der: &CertificateDer<'_>, now: UnixTime) -> bool {
    if leaf.issuer() != leaf.subject() {
        return false;
    }
    let Ok(itself) = anchor_from_trusted_cert(der) else { return false };
    let itself = [itself];
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms.all;
    let verified = leaf.verify_for_usage(algorithms, &itself, &[], now, KeyUsage::server_auth(), None, None);
    matches!(verified, Ok(_) | Err(webpki::Error::CaUsedAsEndEntity))
}
