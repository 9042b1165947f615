//! When the client certificates of active endpoints end, so that somebody is told before receivers refuse them.
//!
//! Certificates are encrypted in their rows, so no statement can count them. These are held in memory, as public keys are.

use std::collections::HashMap;

use super::certificate::CertificateFacts;
use crate::domain::endpoint::Endpoint;
use crate::domain::ids::EndpointId;
use crate::domain::time::UnixMillis;

/// Days before the end of a certificate from which it counts as about to end. Longer: certificates that live for 47 days are
/// always about to end. Shorter: who needs a week to get one has none left.
pub(crate) const ENDS_SOON_DAYS: u64 = 21;

/// How close the end of a certificate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateState {
    /// It is far away.
    Valid,
    /// It is less than three weeks away.
    Expiring,
    /// Receivers refuse it.
    Expired,
}

impl CertificateState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Valid, Self::Expiring, Self::Expired];

    /// The name in the API and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Expiring => "expiring",
            Self::Expired => "expired",
        }
    }

    fn until(not_after: UnixMillis, now: UnixMillis) -> Self {
        match days_left(not_after, now) {
            None => Self::Expired,
            Some(days) if days < ENDS_SOON_DAYS => Self::Expiring,
            Some(_) => Self::Valid,
        }
    }
}

impl CertificateFacts {
    /// Whole days until it is refused; `None` when it is already.
    pub fn days_left(&self, now: UnixMillis) -> Option<u64> {
        days_left(self.not_after, now)
    }

    /// How close its end is.
    pub fn state(&self, now: UnixMillis) -> CertificateState {
        CertificateState::until(self.not_after, now)
    }
}

fn days_left(not_after: UnixMillis, now: UnixMillis) -> Option<u64> {
    (not_after > now).then(|| not_after.since(now).as_secs() / 86_400)
}

/// By endpoint; those without a certificate, and those that are not sent to, take no room.
#[derive(Debug, Default)]
pub struct CertificateEnds(HashMap<EndpointId, UnixMillis>);

/// How many certificates are how close to their end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CertificatesSeen {
    /// [`CertificateState::Valid`].
    pub valid: u64,
    /// [`CertificateState::Expiring`].
    pub expiring: u64,
    /// [`CertificateState::Expired`].
    pub expired: u64,
    /// Of those that are about to end, the first.
    pub next: Option<(UnixMillis, EndpointId)>,
}

impl CertificatesSeen {
    /// How many are in a state.
    pub(crate) fn of(&self, state: CertificateState) -> u64 {
        match state {
            CertificateState::Valid => self.valid,
            CertificateState::Expiring => self.expiring,
            CertificateState::Expired => self.expired,
        }
    }
}

impl CertificateEnds {
    /// Takes over an endpoint as it is now.
    pub fn upsert(&mut self, endpoint: &Endpoint) {
        let certificate = endpoint.credentials.client_certificate.as_deref().filter(|_| endpoint.active);
        match certificate {
            Some(certificate) => self.0.insert(endpoint.id, certificate.facts().not_after),
            None => self.0.remove(&endpoint.id),
        };
    }

    pub fn remove(&mut self, id: EndpointId) {
        self.0.remove(&id);
    }

    /// Those of some endpoints.
    pub fn count(&self, now: UnixMillis, is_meant: impl Fn(EndpointId) -> bool) -> CertificatesSeen {
        let mut seen = CertificatesSeen::default();
        for (&id, &not_after) in self.0.iter().filter(|(id, _)| is_meant(**id)) {
            match CertificateState::until(not_after, now) {
                CertificateState::Valid => seen.valid += 1,
                CertificateState::Expired => seen.expired += 1,
                CertificateState::Expiring => {
                    seen.expiring += 1;
                    let this = (not_after, id);
                    seen.next = Some(seen.next.map_or(this, |next| next.min(this)));
                }
            }
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::super::certificate::tests::certificate;
    use super::*;
    use crate::domain::ids::OrganizationId;
    use crate::domain::secret::Secret;

    const DAY: Duration = Duration::from_secs(86_400);

    fn endpoint(id: i64, year: Option<i32>) -> Endpoint {
        let secret = Secret::new(String::new());
        let mut endpoint =
            Endpoint::new(EndpointId(id), OrganizationId(1), "https://a.example/", secret, UnixMillis(0));
        endpoint.credentials.client_certificate = year.map(|year| Arc::new(certificate("a.example", year)));
        endpoint
    }

    fn end(endpoint: &Endpoint) -> UnixMillis {
        endpoint.credentials.client_certificate.as_ref().unwrap().facts().not_after
    }

    #[test]
    fn a_certificate_is_about_to_end_for_three_weeks_and_then_has_ended() {
        let made = certificate("a.example", 2031);
        let facts = made.facts();
        for (now, state) in [
            (facts.not_after - 22 * DAY, CertificateState::Valid),
            (facts.not_after - 21 * DAY, CertificateState::Valid),
            (facts.not_after - 20 * DAY, CertificateState::Expiring),
            (UnixMillis(facts.not_after.0 - 1), CertificateState::Expiring),
            (facts.not_after, CertificateState::Expired),
        ] {
            assert_eq!(facts.state(now), state, "{now}");
        }
    }

    #[test]
    fn certificates_of_active_endpoints_are_counted_and_the_next_to_end_is_named() {
        let (soon, later, other, none) =
            (endpoint(1, Some(2031)), endpoint(2, Some(2033)), endpoint(3, Some(2031)), endpoint(4, None));
        let mut ends = CertificateEnds::default();
        [&soon, &later, &other, &none].into_iter().for_each(|endpoint| ends.upsert(endpoint));
        let now = end(&soon) - DAY;
        let own = |id: EndpointId| id != other.id;
        let expected = CertificatesSeen { valid: 1, expiring: 1, expired: 0, next: Some((end(&soon), soon.id)) };
        assert_eq!(ends.count(now, own), expected);
        let after = CertificatesSeen { valid: 1, expired: 1, ..CertificatesSeen::default() };
        assert_eq!(ends.count(end(&soon), own), after);
        // replaced, switched off, deleted
        ends.upsert(&endpoint(1, Some(2034)));
        ends.upsert(&Endpoint { active: false, ..later });
        assert_eq!(ends.count(now, own), CertificatesSeen { valid: 1, ..CertificatesSeen::default() });
        ends.upsert(&endpoint(1, None));
        ends.remove(other.id);
        assert_eq!(ends.count(now, |_| true), CertificatesSeen::default());
    }
}
