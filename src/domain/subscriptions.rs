//! Who wants an event: organization → endpoints by event type.

use serde_json::value::RawValue;

use super::endpoint::Endpoint;
use super::ids::{EndpointId, OrganizationId};

/// The index that every event is matched against. Holds active endpoints only.
#[derive(Debug, Default)]
pub struct Subscriptions {}

impl Subscriptions {
    /// Adds or replaces an endpoint; an older version than the one that is known is ignored, an inactive one is
    /// taken out.
    pub fn upsert(&mut self, _endpoint: &Endpoint) {}

    /// Takes an endpoint out.
    pub fn remove(&mut self, _organization_id: OrganizationId, _endpoint_id: EndpointId) {}

    /// Takes an organization out.
    pub fn remove_organization(&mut self, _organization_id: OrganizationId) {}

    /// Whether this endpoint exists and is active.
    pub fn is_active(&self, _organization_id: OrganizationId, _endpoint_id: EndpointId) -> bool {
        false
    }

    /// The endpoints that want this event, in the order of their ids. `data` is parsed at most once, and only
    /// when a filter asks.
    pub fn matching(
        &self,
        _organization_id: OrganizationId,
        _event_type: &str,
        _data: &RawValue,
    ) -> Vec<EndpointId> {
        Vec::new()
    }
}
