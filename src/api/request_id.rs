//! `x-request-id`: identifies a request for its caller and in the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use rand::Rng;

/// Its name in lower case.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest id of a caller (contract).
const MAX_CALLERS_CHARACTERS: usize = 128;
/// Lower case letters and digits without those that look alike, as in ids.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// 40 random bits: two processes whose logs are merged have different ones.
const PREFIX_CHARACTERS: usize = 8;
/// 50 bits: a million requests a second for 35 years.
const NUMBER_CHARACTERS: usize = 10;

/// Generates the ids of a process: a random beginning, and a number. Cheap to clone, one for all servers.
#[derive(Debug, Clone)]
pub struct RequestIds(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    prefix: [u8; PREFIX_CHARACTERS],
    next: AtomicU64,
}

impl RequestIds {
    /// With a new random beginning.
    pub fn new(rng: &mut impl Rng) -> Self {
        let mut prefix = [0; PREFIX_CHARACTERS];
        rng.fill_bytes(&mut prefix);
        let prefix = prefix.map(|byte| ALPHABET[usize::from(byte % 32)]);
        Self(Arc::new(Inner { prefix, next: AtomicU64::new(1) }))
    }

    /// The caller's id of a request when it has one, and only one, of visible ASCII; else a new one.
    pub(super) fn of(&self, headers: &HeaderMap) -> HeaderValue {
        let mut given = headers.get_all(X_REQUEST_ID);
        match (given.next(), given.next()) {
            (Some(id), None) if is_visible(id) => id.clone(),
            _ => self.make(),
        }
    }

    fn make(&self) -> HeaderValue {
        let mut number = self.0.next.fetch_add(1, Ordering::Relaxed);
        let mut text = [b'-'; PREFIX_CHARACTERS + 1 + NUMBER_CHARACTERS];
        text[..PREFIX_CHARACTERS].copy_from_slice(&self.0.prefix);
        for place in text[PREFIX_CHARACTERS + 1..].iter_mut().rev() {
            *place = ALPHABET[(number % 32) as usize];
            number /= 32;
        }
        // letters, digits and a dash always make a value
        HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("-"))
    }
}

fn is_visible(id: &HeaderValue) -> bool {
    (1..=MAX_CALLERS_CHARACTERS).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    fn headers(ids: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        ids.iter().for_each(|id| headers.append(X_REQUEST_ID, HeaderValue::from_bytes(id).unwrap()));
        headers
    }

    #[test]
    fn a_callers_id_is_kept_when_it_is_one_of_at_most_128_visible_characters() {
        let ids = RequestIds::new(&mut SmallRng::seed_from_u64(1));
        for id in ["a", "req-17/{x}\"~!", &"x".repeat(128)] {
            assert_eq!(ids.of(&headers(&[id.as_bytes()])), id);
        }
        let long = "x".repeat(129);
        for id in ["", "a b", "a\tb", "ключ", &long] {
            assert_eq!(ids.of(&headers(&[id.as_bytes()])).len(), 19, "{id}");
        }
        assert_eq!(ids.of(&headers(&[])).len(), 19, "none");
        assert_eq!(ids.of(&headers(&[b"a", b"b"])).len(), 19, "two");
    }

    #[test]
    fn no_two_requests_have_the_same_id() {
        let (one, other) = (SmallRng::seed_from_u64(1), SmallRng::seed_from_u64(2));
        let ids = [one, other].map(|mut rng| RequestIds::new(&mut rng));
        let mut made: Vec<HeaderValue> = ids.iter().flat_map(|ids| (0..1_000).map(|_| ids.make())).collect();
        made.sort();
        made.dedup();
        assert_eq!(made.len(), 2_000);
    }
}
