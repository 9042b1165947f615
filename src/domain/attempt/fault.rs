//! Details of errors, where they help a person. **A closed list of texts**: nothing that a receiver or a name server sent is
//! repeated, except dates of the receiver's own certificate.

use std::fmt;

use super::proxy_fault::ProxyFault;
use super::token_fault::TokenFault;
use crate::domain::time::UnixMillis;

/// Why a name did not resolve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DnsFault {
    /// The name does not exist.
    NoSuchName,
    /// The name exists and has no address.
    NoAddress,
    /// No name server gave a proper reply, and one refused or failed.
    ServerFailure,
    /// No name server replied.
    Silence,
}

/// Why the TLS handshake failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TlsFault {
    /// The certificate was valid until then.
    Expired(UnixMillis),
    /// The certificate is valid from then on.
    NotYetValid(UnixMillis),
    /// The certificate is for other names.
    WrongName,
    /// No certificate can cover this host name.
    HostName,
    /// The certificate is signed by its own key.
    SelfSigned,
    /// The chain that was sent leads to an authority that is not trusted.
    UnknownAuthority,
    /// The chain that was sent ends before an authority.
    MissingIntermediate,
    /// The certificate can't be used: damaged, of an algorithm that is not accepted, or not for a server.
    UnusableCertificate,
    /// The receiver does not use TLS on this port.
    PlainText,
    /// The receiver supports neither TLS 1.2 nor 1.3.
    ProtocolVersion,
    /// No cipher suite, group or signature algorithm in common, or some other refusal without a reason.
    NothingInCommon,
    /// The receiver requires a client certificate.
    ClientCertificate,
    /// The receiver does not accept the client certificate, or has no other word for a missing one.
    ClientCertificateRefused,
    /// The receiver does not recognize the host name.
    UnrecognizedName,
    /// The connection was closed during the handshake.
    Closed,
    /// The receiver ended the handshake with another alert.
    Alert,
    /// Anything else.
    Broken,
}

impl DnsFault {
    /// Every fault.
    pub(crate) const ALL: [Self; 4] = [Self::NoSuchName, Self::NoAddress, Self::ServerFailure, Self::Silence];

    pub(super) fn stored(self) -> String {
        self.code().to_owned()
    }

    fn code(self) -> &'static str {
        match self {
            Self::NoSuchName => "no_such_name",
            Self::NoAddress => "no_address",
            Self::ServerFailure => "server_failure",
            Self::Silence => "silence",
        }
    }
}

impl fmt::Display for DnsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSuchName => {
                "there is no such host name: check its spelling in the webhook's URL, and that its domain is registered"
            }
            Self::NoAddress => "the host name has no address: add an A or AAAA record for it",
            Self::ServerFailure => {
                "the name servers could not answer for this host name: check the name servers and DNSSEC of its domain"
            }
            Self::Silence => {
                "no name server answered in time: check the name servers of the host's domain; if all webhooks fail like \
                 this, an operator has to look at those of this deployment"
            }
        })
    }
}

impl TlsFault {
    /// Every fault; one example of those with a date.
    pub(crate) const ALL: [Self; 17] = [
        Self::Expired(UnixMillis(0)),
        Self::NotYetValid(UnixMillis(0)),
        Self::WrongName,
        Self::HostName,
        Self::SelfSigned,
        Self::UnknownAuthority,
        Self::MissingIntermediate,
        Self::UnusableCertificate,
        Self::PlainText,
        Self::ProtocolVersion,
        Self::NothingInCommon,
        Self::ClientCertificate,
        Self::ClientCertificateRefused,
        Self::UnrecognizedName,
        Self::Closed,
        Self::Alert,
        Self::Broken,
    ];

    pub(super) fn stored(self) -> String {
        match self.date() {
            Some(date) => format!("{}={}", self.code(), date.as_seconds()),
            None => self.code().to_owned(),
        }
    }

    fn code(self) -> &'static str {
        match self {
            Self::Expired(_) => "expired",
            Self::NotYetValid(_) => "not_yet_valid",
            Self::WrongName => "wrong_name",
            Self::HostName => "host_name",
            Self::SelfSigned => "self_signed",
            Self::UnknownAuthority => "unknown_authority",
            Self::MissingIntermediate => "missing_intermediate",
            Self::UnusableCertificate => "unusable_certificate",
            Self::PlainText => "plain_text",
            Self::ProtocolVersion => "protocol_version",
            Self::NothingInCommon => "nothing_in_common",
            Self::ClientCertificate => "client_certificate",
            Self::ClientCertificateRefused => "client_certificate_refused",
            Self::UnrecognizedName => "unrecognized_name",
            Self::Closed => "closed",
            Self::Alert => "alert",
            Self::Broken => "broken",
        }
    }

    fn with_date(self, date: UnixMillis) -> Self {
        match self {
            Self::Expired(_) => Self::Expired(date),
            Self::NotYetValid(_) => Self::NotYetValid(date),
            other => other,
        }
    }

    fn date(self) -> Option<UnixMillis> {
        match self {
            Self::Expired(date) | Self::NotYetValid(date) => Some(date),
            _ => None,
        }
    }
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = |at: &UnixMillis| at.to_string().split('T').next().unwrap_or_default().to_owned();
        f.write_str(match self {
            Self::Expired(at) => {
                return write!(
                    f,
                    "the certificate expired on {}: renew it, and check that the receiver uses the new one",
                    day(at)
                );
            }
            Self::NotYetValid(at) => {
                return write!(
                    f,
                    "the certificate is not yet valid: it begins on {}; use an older one until then, or issue it again",
                    day(at)
                );
            }
            Self::WrongName => {
                "wrong name: the certificate is not for the host in the webhook's URL; get one that is, or use a host that it is for"
            }
            Self::HostName => {
                "no certificate can be for this host name: in certificates, the parts of a name have letters, digits, \
                 underscores, and hyphens that are neither first nor last; use another name for the host"
            }
            Self::SelfSigned => {
                "unknown authority: the certificate is self-signed; get one from a public authority, or let an operator trust \
                 it with ca_file (there it must not be marked as an authority: basicConstraints CA:FALSE)"
            }
            Self::UnknownAuthority => {
                "unknown authority: the certificate comes from an authority that is not trusted here; get one from a public \
                 authority, or let an operator trust this one with ca_file"
            }
            Self::MissingIntermediate => {
                "missing intermediate: the receiver sends its certificate without that of its issuer; let it serve the full \
                 chain. If the issuer is a private one, it is an unknown authority here, which an operator can trust with ca_file"
            }
            Self::UnusableCertificate => {
                "the certificate can't be used: it is damaged, not meant for a server, or made with an algorithm that is not \
                 accepted; get another one"
            }
            Self::PlainText => {
                "plain HTTP answered, or another protocol without TLS: use the port on which the receiver speaks HTTPS, or put \
                 TLS before it"
            }
            Self::ProtocolVersion => {
                "protocol version: the receiver speaks neither TLS 1.2 nor TLS 1.3; switch one of them on"
            }
            Self::NothingInCommon => {
                "the receiver refused the handshake: most often because no cipher suite is in common (let it offer TLS 1.3, or ECDHE \
                 with AES-GCM or ChaCha20-Poly1305), or because it wants a client certificate that it did not get (client_certificate in the webhook's settings)"
            }
            Self::ClientCertificate => {
                "the receiver asks for a client certificate and got none: set client_certificate in the webhook's settings, or let the \
                 receiver take requests without one at the webhook's URL"
            }
            Self::ClientCertificateRefused => {
                "the receiver refused the client certificate, or the request because there was none: check client_certificate in the \
                 webhook's settings (its end, and whether its chain has the intermediates), and which authorities the receiver trusts"
            }
            Self::UnrecognizedName => {
                "the receiver has no certificate for the host in the webhook's URL: add this host to its TLS settings"
            }
            Self::Closed => {
                "the receiver closed the connection during the TLS handshake: check that the port speaks HTTPS, and look into the \
                 receiver's log"
            }
            Self::Alert => "the receiver ended the TLS handshake with an alert: look into the receiver's log",
            Self::Broken => {
                "the TLS handshake failed: check the receiver's TLS settings, for example with `openssl s_client -connect`"
            }
        })
    }
}

/// The text for a stored code; `None` when a newer version wrote it.
pub fn in_words(stored: &str) -> Option<String> {
    let (code, date) = stored.split_once('=').map_or((stored, None), |(code, date)| (code, Some(date)));
    if let Some(fault) = DnsFault::ALL.into_iter().find(|fault| fault.code() == code) {
        return Some(fault.to_string());
    }
    if let Some(fault) = TokenFault::parse(code, date) {
        return Some(fault.to_string());
    }
    if let Some(fault) = ProxyFault::ALL.into_iter().find(|fault| fault.code() == code) {
        return Some(fault.to_string());
    }
    let fault = TlsFault::ALL.into_iter().find(|fault| fault.code() == code)?;
    let seconds = date.and_then(|date| date.parse::<i64>().ok());
    let date = seconds.map(|seconds| UnixMillis(seconds.saturating_mul(1000)));
    match fault.date() {
        Some(_) => Some(fault.with_date(date?).to_string()),
        None => Some(fault.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::attempt::AttemptError;

    const DAY: UnixMillis = UnixMillis(1_714_521_600_000);

    #[test]
    fn every_detail_is_stored_as_its_own_code_and_read_back_as_its_text() {
        let dns = DnsFault::ALL.map(AttemptError::DnsFailure);
        let tls = TlsFault::ALL.map(|fault| AttemptError::TlsFailure(fault.with_date(DAY)));
        let mut codes: Vec<String> = Vec::new();
        let token = TokenFault::ALL.map(AttemptError::TokenFailure);
        let proxy = ProxyFault::ALL.map(AttemptError::ProxyFailure);
        for error in dns.into_iter().chain(proxy).chain(tls).chain(token) {
            let code = error.detail_code().unwrap();
            assert_eq!(in_words(&code), error.detail(), "{code}");
            assert!(code.bytes().all(|byte| byte.is_ascii_graphic()) && code.len() < 40, "{code}");
            codes.push(code);
        }
        codes.sort();
        codes.dedup();
        assert_eq!(
            codes.len(),
            DnsFault::ALL.len() + ProxyFault::ALL.len() + TlsFault::ALL.len() + TokenFault::ALL.len()
        );
        for unknown in
            ["", "made_up", "expired", "expired=", "expired=soon", "EXPIRED=1", "token_status", "token_status=x"]
        {
            assert_eq!(in_words(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn a_date_is_a_day_and_no_date_that_a_certificate_can_hold_is_too_much() {
        let words = TlsFault::Expired(DAY).to_string();
        assert!(words.contains("expired on 2024-05-01: renew"), "{words}");
        for date in [i64::MIN, i64::MAX, 253_402_300_799_000, -62_135_596_800_000] {
            assert!(TlsFault::NotYetValid(UnixMillis(date)).to_string().len() < 200);
        }
    }

    #[test]
    fn an_error_that_is_about_a_forbidden_address_has_no_detail() {
        for error in AttemptError::ALL {
            let has_one = matches!(
                error,
                AttemptError::DnsFailure(_)
                    | AttemptError::ProxyFailure(_)
                    | AttemptError::TlsFailure(_)
                    | AttemptError::TokenFailure(_)
            );
            assert_eq!(error.detail().is_some(), has_one, "{error:?}");
            assert_eq!(error.detail_code().is_some(), has_one, "{error:?}");
        }
    }
}
