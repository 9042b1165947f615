//! stub
use super::endpoint::RateLimit;
use super::time::UnixMillis;
/// stub
pub struct RateLimiter;
impl RateLimiter {
    /// stub
    pub fn new(_: &RateLimit) -> Self {
        Self
    }
    /// stub
    pub fn try_acquire(&self, _now: UnixMillis) -> Result<(), UnixMillis> {
        Ok(())
    }
}
