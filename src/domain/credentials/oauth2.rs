//! The client credentials grant of OAuth 2.0 (RFC 6749, section 4.4).

use data_encoding::BASE64;
use sha2::{Digest, Sha256};
use url::form_urlencoded;

use crate::domain::ids::{EndpointId, OrganizationId};
use crate::domain::secret::Secret;

/// How the engine proves to the token endpoint who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAuthentication {
    /// In the header `authorization`.
    #[default]
    Basic,
    /// In the form.
    Post,
}

impl ClientAuthentication {
    pub(crate) const ALL: [Self; 2] = [Self::Basic, Self::Post];

    /// The name in the API and in the database, which is that of RFC 7591.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Basic => "client_secret_basic",
            Self::Post => "client_secret_post",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == text)
    }
}

/// Where a webhook's tokens come from. It contains a secret and therefore has no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct OAuth2 {
    /// Checked by [`crate::domain::target`] when it was set.
    pub token_url: String,
    /// Printable ASCII, as is the secret.
    pub client_id: String,
    pub client_secret: Secret,
    pub scope: Option<String>,
    /// Not in RFC 6749; several servers require it.
    pub audience: Option<String>,
    pub client_authentication: ClientAuthentication,
}

/// Tells tokens from each other. Another endpoint, or another setting, has other tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GrantId([u8; 32]);

/// The tokens of one endpoint with these settings.
pub struct TokenGrant {
    pub id: GrantId,
    /// Whose endpoint it is.
    pub organization_id: OrganizationId,
    pub settings: OAuth2,
}

impl TokenGrant {
    pub fn new(organization_id: OrganizationId, endpoint_id: EndpointId, settings: &OAuth2) -> Self {
        let OAuth2 { token_url, client_id, client_secret, scope, audience, client_authentication } = settings;
        let mut hash = Sha256::new();
        hash.update(endpoint_id.0.to_be_bytes());
        let optional = [scope, audience].map(|text| text.as_deref().unwrap_or_default());
        let texts = [token_url, client_id, client_secret.expose(), client_authentication.as_str()];
        for text in texts.into_iter().chain(optional) {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        Self { id: GrantId(hash.finalize().into()), organization_id, settings: settings.clone() }
    }
}

impl OAuth2 {
    /// The body of a request for a token.
    pub fn form(&self) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        for (name, value) in [("scope", &self.scope), ("audience", &self.audience)] {
            if let Some(value) = value {
                form.append_pair(name, value);
            }
        }
        if self.client_authentication == ClientAuthentication::Post {
            form.append_pair("client_id", &self.client_id);
            form.append_pair("client_secret", self.client_secret.expose());
        }
        form.finish()
    }

    /// The header `authorization` of a request for a token, if there is one. Id and secret are encoded like a form's before
    /// they are joined (RFC 6749, section 2.3.1), so that a colon in the id is no separator.
    pub fn authorization(&self) -> Option<String> {
        let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let joined = format!("{}:{}", encoded(&self.client_id), encoded(self.client_secret.expose()));
        (self.client_authentication == ClientAuthentication::Basic)
            .then(|| format!("Basic {}", BASE64.encode(joined.as_bytes())))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn settings() -> OAuth2 {
        OAuth2 {
            token_url: "https://auth.example/token".to_owned(),
            client_id: "a:b".to_owned(),
            client_secret: Secret::new("c d&e".to_owned()),
            scope: Some("hooks write".to_owned()),
            audience: None,
            client_authentication: ClientAuthentication::Basic,
        }
    }

    #[test]
    fn a_request_names_the_client_in_the_header_or_in_the_form_and_encodes_what_would_be_misread() {
        let basic = settings();
        assert_eq!(basic.form(), "grant_type=client_credentials&scope=hooks+write");
        let header = basic.authorization().unwrap();
        let joined = BASE64.decode(header.strip_prefix("Basic ").unwrap().as_bytes()).unwrap();
        assert_eq!(String::from_utf8(joined).unwrap(), "a%3Ab:c+d%26e");
        let post = OAuth2 {
            client_authentication: ClientAuthentication::Post,
            scope: None,
            audience: basic.scope.clone(),
            ..basic
        };
        assert_eq!(
            post.form(),
            "grant_type=client_credentials&audience=hooks+write&client_id=a%3Ab&client_secret=c+d%26e"
        );
        assert_eq!(post.authorization(), None);
    }

    #[test]
    fn every_endpoint_and_every_setting_has_tokens_of_its_own() {
        let all = [
            settings(),
            OAuth2 { token_url: "https://auth.example/other".to_owned(), ..settings() },
            OAuth2 { client_id: "a".to_owned(), ..settings() },
            OAuth2 { client_secret: Secret::new("c".to_owned()), ..settings() },
            OAuth2 { scope: None, ..settings() },
            OAuth2 { scope: None, audience: settings().scope, ..settings() },
            OAuth2 { client_authentication: ClientAuthentication::Post, ..settings() },
        ];
        let mut ids: Vec<_> =
            all.iter().map(|settings| TokenGrant::new(OrganizationId(7), EndpointId(1), settings).id).collect();
        ids.push(TokenGrant::new(OrganizationId(7), EndpointId(2), &settings()).id);
        let distinct: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
        assert_eq!(TokenGrant::new(OrganizationId(7), EndpointId(1), &settings()).id, ids[0]);
    }
}
