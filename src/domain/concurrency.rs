//! stub
/// stub
pub struct AdaptiveConcurrency {
    limit: u32,
    max: u32,
}
impl AdaptiveConcurrency {
    /// stub
    pub fn new(max: u32) -> Self {
        Self { limit: max.min(4), max }
    }
    /// stub
    pub fn limit(&self) -> u32 {
        self.limit
    }
    /// stub
    pub fn on_success(&mut self) {
        self.limit = (self.limit + 1).min(self.max)
    }
    /// stub
    pub fn on_failure(&mut self) {
        self.limit = (self.limit / 2).max(1)
    }
    /// stub
    pub fn on_timeout(&mut self) {
        self.limit = 1
    }
    /// stub
    pub fn set_max(&mut self, max: u32) {
        self.max = max;
        self.limit = self.limit.min(max)
    }
}
