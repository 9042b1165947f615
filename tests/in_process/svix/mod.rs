//! The Svix-compatible API from the outside: requests in, responses out, over the real handlers and each store.

mod access;
mod as_there;
mod brought_over;
mod ed25519;
mod event_types;
mod lists;
mod messages;
mod offered_types;
mod openapi;
mod operational_webhooks;
mod portal_access;
mod repeated;
mod resources;
mod shape;
mod tasks;

use actix_web::http::Method;
use actix_web::test::TestRequest;
use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use ringback::config::SvixSettings;
use ringback::domain::secret::Secret;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::database::Database;
use crate::world::{Answer, World};

pub(crate) const SECRET: &str = "the-secret-of-the-deployment";
/// Of organizations that were made without any.
pub(crate) const DEFAULT_ENVIRONMENT: &str = "org_23rb8YdGqMT0qIzpgGwdXfHirMu";
/// In seconds: when every test begins.
const NOW: i64 = 1_734_345_045;

pub(crate) fn settings() -> SvixSettings {
    SvixSettings { jwt_secret: Some(Secret::new(SECRET.to_owned())), ..SvixSettings::default() }
}

/// A token with these claims, signed as its header says or not at all.
pub(crate) fn signed(algorithm: &str, claims: &Value) -> String {
    let part = |part: &Value| BASE64URL_NOPAD.encode(part.to_string().as_bytes());
    let text = format!("{}.{}", part(&json!({"alg": algorithm, "typ": "JWT"})), part(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    format!("{text}.{}", BASE64URL_NOPAD.encode(&mac.finalize().into_bytes()))
}

pub(crate) fn token(claims: &Value) -> String {
    signed("HS256", claims)
}

/// The token of a publisher who makes it himself, with nothing but the environment in it.
pub(crate) fn environment_token() -> String {
    token(&json!({ "sub": DEFAULT_ENVIRONMENT }))
}

/// Claims of the token of an application.
pub(crate) fn of_application(organization: &str) -> Value {
    json!({"org": DEFAULT_ENVIRONMENT, "sub": app_id(organization)})
}

/// The id of an organization in this API.
pub(crate) fn app_id(organization: &str) -> String {
    organization.replace("org_", "app_")
}

/// A world with this API.
pub(crate) async fn world(database: Database) -> World {
    World::with_svix(database, &settings()).await
}

impl World {
    /// A call of this API, by its path behind `/api/v1`.
    pub(crate) async fn svix(&self, token: &str, method: &str, path: &str, body: impl ToString) -> Answer {
        let path = format!("/api/v1{path}");
        let answer = self.call(token, method, &path, body.to_string()).await;
        answer.has_svix_shape();
        answer
    }

    /// The same with an idempotency key.
    pub(crate) async fn svix_once(&self, token: &str, key: &str, path: &str, body: &Value) -> Answer {
        let request = TestRequest::default().method(Method::POST).uri(&format!("/api/v1{path}"));
        let request = request.insert_header(("authorization", format!("Bearer {token}")));
        let request = request.insert_header(("idempotency-key", key));
        let answer = self.send(request.set_payload(body.to_string())).await;
        answer.has_svix_shape();
        answer
    }
}

impl Answer {
    /// Whatever went wrong: a body that the libraries can read.
    #[track_caller]
    fn has_svix_shape(&self) {
        if (200..300).contains(&self.status) {
            return;
        }
        assert_eq!(self.header("content-type"), Some("application/json"), "{} {}", self.status, self.text);
        // the response to HEAD has no body
        let error: Value = serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text));
        match self.status {
            422 => {
                let fields = error["detail"].as_array().unwrap_or_else(|| panic!("no list: {error}"));
                assert!(!fields.is_empty(), "{error}");
                for field in fields {
                    assert!(field["loc"].as_array().is_some_and(|loc| !loc.is_empty()), "{error}");
                    assert!(field["msg"].is_string() && field["type"].is_string(), "{error}");
                }
            }
            _ => assert!(error["code"].is_string() && error["detail"].is_string(), "{error}"),
        }
    }

    #[track_caller]
    pub(crate) fn svix_error(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.json()["code"], code, "{}", self.text);
    }

    /// Checks that the input was refused, and gives the places of what is wrong.
    #[track_caller]
    pub(crate) fn svix_invalid(&self) -> Vec<String> {
        assert_eq!(self.status, 422, "{}", self.text);
        let fields = self.json()["detail"].as_array().unwrap().clone();
        let place = |field: &Value| {
            let parts: Vec<&str> = field["loc"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            parts.join(".")
        };
        fields.iter().map(place).collect()
    }
}
