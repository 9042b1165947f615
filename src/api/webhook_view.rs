//! How a webhook looks in responses.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::webhook_settings::SETTINGS;
use crate::domain::endpoint::Endpoint;
use crate::domain::health::{EndpointHealth, EndpointState};
use crate::domain::secret::SecretKind;

/// A webhook in a response.
pub(crate) struct WebhookView<'a> {
    endpoint: &'a Endpoint,
    health: Option<&'a EndpointHealth>,
    with_secret: bool,
}

impl<'a> WebhookView<'a> {
    /// Without its secret.
    pub(crate) fn new(endpoint: &'a Endpoint, health: Option<&'a EndpointHealth>) -> Self {
        Self { endpoint, health, with_secret: false }
    }

    /// With its secret, in the response to its creation.
    pub(crate) fn created(endpoint: &'a Endpoint) -> Self {
        Self { endpoint, health: None, with_secret: true }
    }
}

impl Serialize for WebhookView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let endpoint = self.endpoint;
        let mut fields = serializer.serialize_map(None)?;
        fields.serialize_entry("id", &endpoint.id)?;
        for setting in SETTINGS.iter().filter(|setting| self.with_secret || setting.is_in_every_response()) {
            fields.serialize_entry(setting.name, &setting.get(endpoint))?;
        }
        let kind = endpoint.secret.kind();
        fields.serialize_entry("signature", kind.as_str())?;
        let public_key = (kind == SecretKind::Ed25519).then(|| endpoint.secret.shown());
        fields.serialize_entry("public_key", &public_key)?;
        fields.serialize_entry("state", &EndpointState::of(endpoint, self.health))?;
        fields.serialize_entry("disabled_reason", &endpoint.disabled_reason)?;
        fields.serialize_entry("disabled_at", &endpoint.disabled_at)?;
        fields.serialize_entry("created_at", &endpoint.created_at)?;
        fields.serialize_entry("updated_at", &endpoint.updated_at)?;
        fields.end()
    }
}
