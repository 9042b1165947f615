//! Replies of name servers, for as long as they may be used.

use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::servers::LookupFailure;

/// Names in the cache. More: memory, some 200 bytes each. Fewer: an engine with more receivers asks a name server for each
/// new connection.
const MAX_NAMES: usize = 4096;

/// A or AAAA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Family {
    V4,
    V6,
}

/// Addresses of one family, at least one, or why there are none.
pub(super) type LookupResult = Result<Rc<[IpAddr]>, LookupFailure>;

/// The names that were used last.
#[derive(Default)]
pub(super) struct Cache(HashMap<Box<str>, CachedName>);

struct CachedName {
    used_at: Instant,
    v4: Option<(LookupResult, Instant)>,
    v6: Option<(LookupResult, Instant)>,
}

impl CachedName {
    fn family(&mut self, family: Family) -> &mut Option<(LookupResult, Instant)> {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }
}

impl Cache {
    pub(super) fn get(&mut self, name: &str, family: Family, now: Instant) -> Option<LookupResult> {
        let entry = self.0.get_mut(name)?;
        entry.used_at = now;
        let known = entry.family(family).as_ref()?;
        (known.1 > now).then(|| known.0.clone())
    }

    pub(super) fn put(&mut self, name: &str, family: Family, known: LookupResult, ttl: Duration, now: Instant) {
        if !self.0.contains_key(name) && self.0.len() >= MAX_NAMES {
            let oldest = self.0.iter().min_by_key(|(_, entry)| entry.used_at).map(|(name, _)| name.clone());
            oldest.and_then(|name| self.0.remove(&name));
        }
        let entry = self.0.entry(name.into()).or_insert(CachedName { used_at: now, v4: None, v6: None });
        *entry.family(family) = Some((known, now + ttl));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_result_is_used_until_it_expires_and_the_least_recently_used_name_makes_room() {
        let mut cache = Cache::default();
        let known: LookupResult = Ok(Rc::from([IpAddr::from([192, 0, 2, 1])]));
        let begin = Instant::now();
        let (a_second, later) = (Duration::from_secs(1), |seconds| begin + Duration::from_secs(seconds));
        cache.put("a", Family::V4, known.clone(), a_second, begin);
        cache.put("a", Family::V6, Err(LookupFailure::NoAddress), 5 * a_second, begin);
        assert_eq!(cache.get("a", Family::V4, begin), Some(known.clone()));
        assert_eq!(cache.get("a", Family::V4, later(1)), None);
        assert_eq!(cache.get("a", Family::V6, later(1)), Some(Err(LookupFailure::NoAddress)));
        for number in 0..MAX_NAMES as u64 {
            cache.put(&number.to_string(), Family::V4, known.clone(), 9 * a_second, later(2 + number));
        }
        assert_eq!(cache.0.len(), MAX_NAMES);
        assert_eq!(cache.get("a", Family::V6, later(2)), None, "it was the oldest");
        assert_eq!(cache.get("0", Family::V4, later(3)), Some(known));
    }
}
