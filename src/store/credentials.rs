//! A webhook's credentials as the text that is encrypted into its row.

use std::sync::Arc;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{StoreError, StoreResult};
use crate::domain::credentials::{ClientAuthentication, ClientCertificate, Credentials, OAuth2};
use crate::domain::secret::Secret;

#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_certificate: Option<StoredCertificate>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    oauth2: Option<StoredOAuth2>,
}

#[derive(Serialize, Deserialize)]
struct StoredCertificate {
    /// Base64 of DER.
    chain: Vec<String>,
    private_key: Zeroizing<String>,
}

#[derive(Serialize, Deserialize)]
struct StoredOAuth2 {
    token_url: String,
    client_id: String,
    client_secret: Zeroizing<String>,
    scope: Option<String>,
    audience: Option<String>,
    client_authentication: String,
}

fn corrupt(what: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(what.to_string())
}

/// Nothing without credentials, which most endpoints are.
pub(super) fn text(credentials: &Credentials) -> StoreResult<Option<Zeroizing<String>>> {
    if credentials.is_empty() {
        return Ok(None);
    }
    let certificate = credentials.client_certificate.as_deref().map(|certificate| StoredCertificate {
        chain: certificate.chain().iter().map(|der| BASE64.encode(der)).collect(),
        private_key: Zeroizing::new(BASE64.encode(certificate.expose_key())),
    });
    let oauth2 = credentials.oauth2.as_deref().map(|oauth2| StoredOAuth2 {
        token_url: oauth2.token_url.clone(),
        client_id: oauth2.client_id.clone(),
        client_secret: Zeroizing::new(oauth2.client_secret.expose().to_owned()),
        scope: oauth2.scope.clone(),
        audience: oauth2.audience.clone(),
        client_authentication: oauth2.client_authentication.as_str().to_owned(),
    });
    let stored = Stored { client_certificate: certificate, oauth2 };
    serde_json::to_string(&stored).map(|text| Some(Zeroizing::new(text))).map_err(corrupt)
}

/// Reads the text.
pub(super) fn parse(text: &str) -> StoreResult<Credentials> {
    // the library's error could repeat what it read
    let Stored { client_certificate, oauth2 } =
        serde_json::from_str(text).map_err(|_| corrupt("credentials that are not JSON"))?;
    Ok(Credentials {
        client_certificate: client_certificate.map(certificate).transpose()?.map(Arc::new),
        oauth2: oauth2.map(settings).transpose()?.map(Arc::new),
    })
}

fn certificate(stored: StoredCertificate) -> StoreResult<ClientCertificate> {
    let decode =
        |text: &str| BASE64.decode(text.as_bytes()).map_err(|_| corrupt("a certificate that is not base64"));
    let chain = stored.chain.iter().map(|der| decode(der)).collect::<StoreResult<Vec<_>>>()?;
    ClientCertificate::new(chain, Zeroizing::new(decode(&stored.private_key)?)).map_err(corrupt)
}

fn settings(stored: StoredOAuth2) -> StoreResult<OAuth2> {
    let StoredOAuth2 { token_url, client_id, client_secret, scope, audience, client_authentication } = stored;
    let way = ClientAuthentication::parse(&client_authentication);
    Ok(OAuth2 {
        token_url,
        client_id,
        client_secret: Secret::new(client_secret.to_string()),
        scope,
        audience,
        client_authentication: way
            .ok_or_else(|| corrupt(format!("client_authentication {client_authentication}")))?,
    })
}
