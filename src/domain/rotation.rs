//! The secrets of an endpoint that are valid at the same time, and which of them signs (contract, "Rotation").
//!
//! A receiver that checks only the CallIntel signature has one secret, and the engine does not know which. So it tries the
//! valid secrets until one is accepted, and begins with that one the next time.

use sha2::{Digest, Sha256};

use super::endpoint::Endpoint;
use super::secret::{Secret, SecretKind};
use super::sent_request::HeaderStyle;
use super::time::UnixMillis;

/// Identifies a secret of an endpoint without revealing it, to remember which one its receiver accepts. It is the beginning
/// of a hash: guessing the secret from it is no easier than from any signature in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretId(pub i64);

impl SecretId {
    /// The id of a secret.
    pub fn of(secret: &Secret) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"ringback secret id\0");
        hash.update(secret.expose().as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&hash.finalize()[..8]);
        Self(i64::from_be_bytes(first))
    }
}

/// The id and the validity of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SecretTerm {
    /// Identifies the secret.
    pub id: SecretId,
    /// It signs nothing from this instant on; `None` for the newest.
    pub expires_at: Option<UnixMillis>,
}

impl SecretTerm {
    fn is_valid(&self, now: UnixMillis) -> bool {
        self.expires_at.is_none_or(|at| at > now)
    }
}

/// An endpoint's secrets, the newest first. There is always one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretTerms {
    newest: SecretTerm,
    /// Those that make the document's signature.
    previous: Vec<SecretTerm>,
    /// Whether the newest makes it as well. A private key does not, so that a receiver can refuse only the others for it.
    newest_signs: bool,
}

impl SecretTerms {
    /// The secrets of an endpoint. Of one whose requests lack the document's signature only the newest counts: the others sign
    /// every request as well, and no receiver has to be asked which one it takes.
    pub fn of(endpoint: &Endpoint) -> Self {
        let newest = SecretTerm { id: SecretId::of(&endpoint.secret), expires_at: None };
        if endpoint.header_style != HeaderStyle::Native {
            return Self { newest, previous: Vec::new(), newest_signs: true };
        }
        let signs = |secret: &Secret| secret.kind() == SecretKind::Hmac;
        let term = |previous: &super::endpoint::PreviousSecret| SecretTerm {
            id: SecretId::of(&previous.secret),
            expires_at: Some(previous.expires_at),
        };
        let previous = endpoint.previous_secrets.iter().filter(|previous| signs(&previous.secret));
        Self { newest, previous: previous.map(term).collect(), newest_signs: signs(&endpoint.secret) }
    }

    /// Made up: ids and ends, the newest first.
    #[cfg(test)]
    pub(crate) fn for_tests(terms: &[(i64, Option<i64>)]) -> Self {
        let mut terms =
            terms.iter().map(|&(id, end)| SecretTerm { id: SecretId(id), expires_at: end.map(UnixMillis) });
        let newest = terms.next().unwrap_or_else(|| panic!("an endpoint has a secret"));
        Self { newest, previous: terms.collect(), newest_signs: true }
    }

    pub(crate) fn newest(&self) -> SecretId {
        self.newest.id
    }

    /// Whether this is one of the endpoint's secrets and valid at `now`.
    pub(crate) fn is_valid(&self, id: SecretId, now: UnixMillis) -> bool {
        self.valid(now).any(|valid| valid == id)
    }

    /// The secrets that are valid at `now` and sign, the newest first.
    pub(crate) fn valid(&self, now: UnixMillis) -> impl Iterator<Item = SecretId> + '_ {
        let all = std::iter::once(&self.newest).filter(|_| self.newest_signs).chain(&self.previous);
        all.filter(move |term| term.is_valid(now)).map(|term| term.id)
    }

    /// The secret for an attempt at `now`: the one that was `accepted` last, then the others, the newest first, without those
    /// that were `refused`. `None` when all were refused.
    pub(crate) fn next(
        &self,
        accepted: Option<SecretId>,
        refused: &[SecretId],
        now: UnixMillis,
    ) -> Option<SecretId> {
        if self.previous.is_empty() {
            return (!refused.contains(&self.newest.id)).then_some(self.newest.id);
        }
        let accepted = accepted.filter(|id| self.is_valid(*id, now));
        accepted.into_iter().chain(self.valid(now)).find(|id| !refused.contains(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000);

    /// The newest, and others that end at these instants.
    fn terms(ends: &[i64]) -> SecretTerms {
        let previous = ends.iter().zip(1..).map(|(end, id)| (id, Some(*end)));
        SecretTerms::for_tests(&[(0, None)].into_iter().chain(previous).collect::<Vec<_>>())
    }

    #[test]
    fn the_newest_secret_signs_until_another_one_is_known_to_be_accepted() {
        let terms = terms(&[2_000, 3_000]);
        assert_eq!(terms.next(None, &[], NOW), Some(SecretId(0)));
        assert_eq!(terms.next(Some(SecretId(2)), &[], NOW), Some(SecretId(2)));
        assert_eq!(terms.next(Some(SecretId(2)), &[], UnixMillis(3_000)), Some(SecretId(0)), "it has ended");
        assert_eq!(terms.next(Some(SecretId(9)), &[], NOW), Some(SecretId(0)), "it is none of them");
    }

    #[test]
    fn each_valid_secret_has_its_turn_once() {
        let terms = terms(&[2_000, 500, 3_000]);
        let mut refused = Vec::new();
        while let Some(next) = terms.next(Some(SecretId(3)), &refused, NOW) {
            refused.push(next);
        }
        assert_eq!(refused, [3, 0, 1].map(SecretId));
    }

    #[test]
    fn an_only_secret_that_was_refused_leaves_none() {
        assert_eq!(terms(&[]).next(None, &[SecretId(0)], NOW), None);
        assert_eq!(terms(&[]).next(None, &[SecretId(7)], NOW), Some(SecretId(0)), "it replaced one that was");
    }

    #[test]
    fn a_newest_private_key_leaves_the_documents_signature_to_the_secrets_before_it() {
        let terms = SecretTerms { newest_signs: false, ..terms(&[2_000, 3_000]) };
        assert_eq!(terms.next(None, &[], NOW), Some(SecretId(1)));
        assert_eq!(terms.next(None, &[SecretId(1)], NOW), Some(SecretId(2)));
        assert_eq!(terms.next(None, &[SecretId(1), SecretId(2)], NOW), None, "no attempt with what can't sign it");
        assert_eq!(terms.next(Some(SecretId(2)), &[], UnixMillis(3_000)), None);
        assert_eq!(SecretTerms { previous: Vec::new(), ..terms }.next(None, &[], NOW), Some(SecretId(0)));
    }

    #[test]
    fn different_secrets_have_different_ids() {
        let of = |text: &str| SecretId::of(&Secret::new(text.to_owned()));
        assert_eq!(of("whsec_a"), of("whsec_a"));
        assert_ne!(of("whsec_a"), of("whsec_b"));
    }
}
