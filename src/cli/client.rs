//! A client for the API of a running engine.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use awc::error::{ConnectError, SendRequestError};
use awc::http::{Method, header};
use clap::Args;
use ringback::domain::json_text;
use ringback::domain::secret::Secret;
pub(super) use ringback::engine::CLIENTS_KEY_FILE as DEV_KEY_FILE;
use serde::Deserialize;

const MAX_RESPONSE_BYTES: usize = 16 * 1024 * 1024;
const TIMEOUT: Duration = Duration::from_secs(30);
/// For calls that end when all of a long work is done, and for a test, which waits for its receiver.
const LONG_TIMEOUT: Duration = Duration::from_secs(600);
const ORGANIZATION_HEADER: &str = "ringback-organization";
const IDEMPOTENCY_KEY_HEADER: &str = "idempotency-key";

#[derive(Args, Clone)]
pub(crate) struct EngineArgs {
    /// Address of the engine
    #[arg(
        long,
        global = true,
        env = "RINGBACK_ENGINE",
        value_name = "URL",
        default_value = "http://127.0.0.1:8080",
        value_parser = super::address::engine
    )]
    pub engine: String,
    /// API key of an organization or of the deployment [default: read from ./ringback.db.dev-key, which `serve --dev` writes]
    #[arg(long, global = true, env = "RINGBACK_KEY", value_name = "KEY", hide_env_values = true)]
    pub key: Option<String>,
    /// Organization in which a key of the deployment acts, by its id or uid
    #[arg(
        long,
        global = true,
        env = "RINGBACK_ORGANIZATION",
        value_name = "ORGANIZATION",
        value_parser = super::resources::organization_name
    )]
    pub organization: Option<String>,
    #[arg(long, env = "RINGBACK_ADMIN_KEY", hide = true, hide_env_values = true, global = true)]
    admin_key: Option<String>,
    #[arg(long, env = "RINGBACK_ADMIN_KEY_FILE", hide = true, global = true)]
    admin_key_file: Option<PathBuf>,
}

impl EngineArgs {
    /// The key for calls in an organization: that from the command line or environment, where one is named the admin key, or
    /// else the one that `serve --dev` wrote to this directory.
    pub(crate) fn key(&self) -> anyhow::Result<Option<Secret>> {
        match &self.organization {
            Some(_) => self.key_of_deployment(),
            None => match self.given_key() {
                Some(key) => Ok(Some(key)),
                None => read_dev_key(Path::new(DEV_KEY_FILE)),
            },
        }
    }

    /// The key for calls that the admin key can make.
    pub(crate) fn key_of_deployment(&self) -> anyhow::Result<Option<Secret>> {
        if let Some(key) = self.given_key() {
            return Ok(Some(key));
        }
        let admin = read_admin_key(self.admin_key.as_deref(), self.admin_key_file.as_deref())?;
        admin.map_or_else(|| read_dev_key(Path::new(DEV_KEY_FILE)), |key| Ok(Some(key)))
    }

    fn given_key(&self) -> Option<Secret> {
        self.key.as_ref().map(|key| Secret::new(key.trim().to_owned()))
    }

    /// A client with this key, for the organization that was given.
    pub(crate) fn client(&self, key: Secret) -> EngineClient {
        EngineClient::new(&self.engine, key).acting_in(self.organization.as_deref())
    }
}

/// The admin key by value or in a file.
pub(crate) fn read_admin_key(key: Option<&str>, file: Option<&Path>) -> anyhow::Result<Option<Secret>> {
    let text = match (key, file) {
        (Some(key), _) => key.to_owned(),
        (None, Some(path)) => {
            std::fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))?
        }
        (None, None) => return Ok(None),
    };
    Ok(Some(Secret::new(text.trim().to_owned())))
}

fn read_dev_key(path: &Path) -> anyhow::Result<Option<Secret>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(Secret::new(text.trim().to_owned())).filter(|key| !key.expose().is_empty())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} can't be read", path.display())),
    }
}

pub(crate) struct EngineClient {
    base: String,
    key: Secret,
    organization: Option<String>,
    http: awc::Client,
}

/// A request of the API.
pub(crate) struct Call {
    pub method: Method,
    /// With the query.
    pub path: String,
    pub body: Option<String>,
    pub idempotency_key: Option<String>,
    /// Whether it may take minutes.
    pub is_long: bool,
}

impl Call {
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), body: None, idempotency_key: None, is_long: false }
    }

    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path)
    }

    pub(crate) fn body(self, body: String) -> Self {
        Self { body: Some(body), ..self }
    }

    pub(crate) fn long(self) -> Self {
        Self { is_long: true, ..self }
    }
}

/// A response with any status.
#[derive(Debug, Default)]
pub(crate) struct ApiResponse {
    pub status: u16,
    pub body: String,
    /// Seconds after which to try again.
    pub retry_after: Option<u64>,
    /// Whether it repeats the response to an earlier call with the same idempotency key.
    pub is_replay: bool,
}

impl EngineClient {
    pub(crate) fn new(address: &str, key: Secret) -> Self {
        let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        // a second installation changes nothing
        let _ = rustls::crypto::ring::default_provider().install_default();
        let tls = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let connector = awc::Connector::new().rustls_0_23(Arc::new(tls));
        let http = awc::Client::builder().connector(connector).timeout(TIMEOUT).disable_redirects().finish();
        Self { base: address.trim_end_matches('/').to_owned(), key, organization: None, http }
    }

    /// With an organization in which the key acts; `None`: with that of the key, if it has one.
    pub(crate) fn acting_in(self, organization: Option<&str>) -> Self {
        Self { organization: organization.map(str::to_owned), ..self }
    }

    /// Sends one request; an error means that no response came.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> anyhow::Result<ApiResponse> {
        self.send(Call { body, ..Call::new(method, path) }).await
    }

    /// The same with everything that a request can have.
    pub(crate) async fn send(&self, call: Call) -> anyhow::Result<ApiResponse> {
        let timeout = if call.is_long { LONG_TIMEOUT } else { TIMEOUT };
        let mut request = self
            .http
            .request(call.method, format!("{}{}", self.base, call.path))
            .timeout(timeout)
            .insert_header((header::AUTHORIZATION, format!("Bearer {}", self.key.expose())))
            .insert_header((header::ACCEPT, "application/json"));
        if let Some(name) = &self.organization {
            request = request.insert_header((ORGANIZATION_HEADER, name.as_str()));
        }
        if let Some(key) = &call.idempotency_key {
            request = request.insert_header((IDEMPOTENCY_KEY_HEADER, key.as_str()));
        }
        let sent = match call.body {
            Some(body) => request.insert_header((header::CONTENT_TYPE, "application/json")).send_body(body),
            None => request.send(),
        };
        let mut response = sent.await.map_err(|error| self.explain(&error, timeout))?;
        let body = response.body().limit(MAX_RESPONSE_BYTES).await;
        let body = body.map_err(|error| anyhow!("the response of {} was cut off: {error}", self.base))?;
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        Ok(ApiResponse {
            status: response.status().as_u16(),
            body: String::from_utf8_lossy(&body).into_owned(),
            retry_after: header("retry-after").and_then(|text| text.parse().ok()),
            is_replay: header("idempotent-replay") == Some("true"),
        })
    }

    fn explain(&self, error: &SendRequestError, timeout: Duration) -> anyhow::Error {
        let base = &self.base;
        match error {
            SendRequestError::Connect(ConnectError::Io(io))
                if io.kind() == std::io::ErrorKind::ConnectionRefused =>
            {
                anyhow!(
                    "nothing listens at {base}: is `ringback serve` running there? (--engine sets another address)"
                )
            }
            SendRequestError::Url(url) => {
                anyhow!("--engine {base} is not an address like http://127.0.0.1:8080: {url}")
            }
            SendRequestError::Timeout => anyhow!("{base} did not answer within {} s", timeout.as_secs()),
            SendRequestError::Connect(ConnectError::Io(error)) if base.starts_with("https:") => {
                anyhow!("{base} does not answer over TLS: {error} (without TLS, the address begins with http://)")
            }
            SendRequestError::Send(_) | SendRequestError::Response(_) | SendRequestError::H2(_) => {
                anyhow!(
                    "what listens at {base} does not speak HTTP as an engine does: {error} (--engine sets another address)"
                )
            }
            other => anyhow!(
                "the request to {base} failed: {other} (is an engine there? --engine sets another address)"
            ),
        }
    }
}

impl ApiResponse {
    /// The body of a 2xx response, or else the problem that the engine describes.
    pub(crate) fn ok(self) -> anyhow::Result<String> {
        if (200..300).contains(&self.status) {
            return Ok(self.body);
        }
        let Ok(problem) = serde_json::from_str::<ProblemBody>(&self.body) else {
            let beginning = json_text::harmless(&self.body.chars().take(100).collect::<String>());
            bail!("what answered {} is not an engine: {beginning} (--engine sets another address)", self.status);
        };
        let mut text = problem.detail.or(problem.title).unwrap_or_default();
        for error in problem.errors.iter().map(|error| format!("{}: {}", error.field, error.message)) {
            // of one field that is wrong, the detail says everything
            if !text.contains(&error) {
                text.push_str(&format!("\n  {error}"));
            }
        }
        if let (429 | 503, Some(seconds)) = (self.status, self.retry_after) {
            text.push_str(&format!("\n  (Retry-After: {seconds} s)"));
        }
        let text = json_text::harmless(&text);
        match self.status {
            400 if problem.code.as_deref() == Some("organization_required") => {
                bail!("name the organization with --organization or RINGBACK_ORGANIZATION: {text}")
            }
            401 => bail!("the engine does not accept this key: {text}\n(`--help` says how to set another)"),
            403 => bail!("this key may not do that: {text}"),
            status => bail!("the engine answered {status}: {text}"),
        }
    }
}

#[derive(Deserialize, Default)]
struct ProblemBody {
    title: Option<String>,
    detail: Option<String>,
    code: Option<String>,
    #[serde(default)]
    errors: Vec<ProblemField>,
}

#[derive(Deserialize)]
struct ProblemField {
    field: String,
    message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_problem_of_a_response_is_printed_with_every_field() {
        let body = r#"{"title":"Unprocessable","detail":"input is wrong","code":"x","errors":[{"field":"url","message":"is empty"}]}"#;
        let error = ApiResponse { status: 422, body: body.to_owned(), ..ApiResponse::default() }
            .ok()
            .unwrap_err()
            .to_string();
        assert_eq!(error, "the engine answered 422: input is wrong\n  url: is empty");
    }

    #[test]
    fn a_problem_says_when_to_try_again_and_which_flag_names_the_organization() {
        let said = |status, body: &str| {
            let response =
                ApiResponse { status, body: body.to_owned(), retry_after: Some(7), ..ApiResponse::default() };
            response.ok().unwrap_err().to_string()
        };
        let error = said(429, r#"{"detail":"too much","code":"too_many_requests"}"#);
        assert!(error.contains("Retry-After: 7 s"), "{error}");
        let error = said(400, r#"{"detail":"name it","code":"organization_required"}"#);
        assert!(error.contains("--organization") && !error.contains("Retry-After"), "{error}");
    }

    #[test]
    fn the_key_written_by_dev_mode_is_found_and_a_missing_file_is_not_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(DEV_KEY_FILE);
        assert!(read_dev_key(&path).unwrap().is_none());
        std::fs::write(&path, "rb_secret\n").unwrap();
        assert_eq!(read_dev_key(&path).unwrap().unwrap().expose(), "rb_secret");
    }

    #[actix_web::test]
    async fn a_refused_connection_suggests_the_command_to_start() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let engine = EngineClient::new(&address, Secret::new(String::from("k")));
        let error = engine.call(Method::GET, "/v1/webhooks", None).await.err().unwrap().to_string();
        assert!(error.contains("is `ringback serve` running there?"), "{error}");
    }
}
