//! Client certificate and OAuth 2.0 of a webhook: in its form, and on its page.

use maud::{Markup, html};
use serde_json::{Map, Value, json};

use crate::api::webhook_settings::MASK;
use crate::dashboard::components::{self, Complaints, count};
use crate::dashboard::form::Form;
use crate::dashboard::time;
use crate::domain::credentials::{CertificateFacts, CertificateState, ClientAuthentication, OAuth2};
use crate::domain::endpoint::Endpoint;
use crate::domain::time::UnixMillis;

/// What a browser sends of a ticked box.
const TICKED: &str = "on";

/// A text field of `oauth2`: name, label, help.
type TextField = (&'static str, &'static str, &'static str);

const OAUTH2_TEXTS: [TextField; 5] = [
    (
        "token_url",
        "Token URL",
        "The token endpoint of your authorization server. Leave all of these fields empty to send no token.",
    ),
    ("client_id", "Client ID", "As the authorization server knows the sender of these events."),
    (
        "client_secret",
        "Client secret",
        "Can’t be read back: ******** keeps the current one, for the same token URL.",
    ),
    ("scope", "Scope", "Separated by spaces; optional."),
    ("audience", "Audience", "Only for servers that require it; optional."),
];

/// These settings as the form holds them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct CredentialsDraft {
    /// A new certificate and its key; empty: the current one stays.
    pub certificate: String,
    pub private_key: String,
    pub removes_certificate: bool,
    /// As [`OAUTH2_TEXTS`].
    pub oauth2: [String; 5],
    pub in_form: bool,
}

impl CredentialsDraft {
    pub(super) fn of(endpoint: &Endpoint) -> Self {
        let Some(oauth2) = endpoint.credentials.oauth2.as_deref() else { return Self::default() };
        let OAuth2 { token_url, client_id, scope, audience, client_authentication, .. } = oauth2;
        let optional = |text: &Option<String>| text.clone().unwrap_or_default();
        let oauth2 = [token_url.clone(), client_id.clone(), MASK.to_owned(), optional(scope), optional(audience)];
        Self { oauth2, in_form: *client_authentication == ClientAuthentication::Post, ..Self::default() }
    }

    pub(super) fn read(form: &Form) -> Self {
        let pem = |name: &str| form.text(name).trim().replace("\r\n", "\n");
        Self {
            certificate: pem("client_certificate.certificate"),
            private_key: pem("client_certificate.private_key"),
            removes_certificate: form.text("client_certificate.removed") == TICKED,
            oauth2: OAUTH2_TEXTS.map(|(name, ..)| form.text(&format!("oauth2.{name}")).trim().to_owned()),
            in_form: form.text("oauth2.in_form") == TICKED,
        }
    }

    /// The fields of the API call. A certificate that stays is none of them.
    pub(super) fn add_to(&self, body: &mut Map<String, Value>) {
        let given = |texts: &mut dyn Iterator<Item = (&str, &String)>| -> Map<String, Value> {
            texts.filter(|(_, text)| !text.is_empty()).map(|(name, text)| (name.to_owned(), json!(text))).collect()
        };
        let mut pems = [("certificate", &self.certificate), ("private_key", &self.private_key)].into_iter();
        let certificate = given(&mut pems);
        if self.removes_certificate {
            body.insert("client_certificate".to_owned(), Value::Null);
        } else if !certificate.is_empty() {
            body.insert("client_certificate".to_owned(), Value::Object(certificate));
        }
        let mut oauth2 = given(&mut OAUTH2_TEXTS.iter().map(|(name, ..)| *name).zip(&self.oauth2));
        if !oauth2.is_empty() && self.in_form {
            oauth2.insert("client_authentication".to_owned(), json!(ClientAuthentication::Post.as_str()));
        }
        let oauth2 = if oauth2.is_empty() { Value::Null } else { Value::Object(oauth2) };
        body.insert("oauth2".to_owned(), oauth2);
    }
}

/// The cards of the form. `current` is the certificate that is there.
pub(super) fn cards(
    draft: &CredentialsDraft,
    current: Option<&CertificateFacts>,
    complaints: &Complaints<'_>,
) -> Markup {
    html! {
        (certificate_card(draft, current, complaints))
        (oauth2_card(draft, complaints))
    }
}

fn certificate_card(
    draft: &CredentialsDraft,
    current: Option<&CertificateFacts>,
    complaints: &Complaints<'_>,
) -> Markup {
    let area = |name: &str, value: &str| {
        html! {
            textarea id=(name) name=(name) rows="4" aria-describedby={ (name) "-help" } spellcheck="false" { (value) }
        }
    };
    let is_whole = complaints.about("client_certificate").any(|error| !error.field.contains('.'));
    html! {
        section.card {
            h2 { "Client certificate" }
            p.dim { "Shown to a receiver that asks for one during the TLS handshake (mTLS), by this webhook alone." }
            @if let Some(facts) = current {
                p.break { "Current: " (facts.subject) ", until " (time::utc(facts.not_after)) ". It stays unless you replace or remove it." }
            }
            (components::field("client_certificate.certificate", "Certificate", "PEM: the webhook’s own certificate, then its intermediates.", complaints,
                &area("client_certificate.certificate", &draft.certificate)))
            (components::field("client_certificate.private_key", "Private key", "PEM, without a password. It is stored encrypted and never shown again.", complaints,
                &area("client_certificate.private_key", &draft.private_key)))
            @if current.is_some() || draft.removes_certificate {
                label.check {
                    input type="checkbox" name="client_certificate.removed" value=(TICKED) checked[draft.removes_certificate];
                    span { "Remove the certificate" small { "The webhook then shows none." } }
                }
            }
            @if is_whole { (complaints.at("client_certificate")) }
        }
    }
}

fn oauth2_card(draft: &CredentialsDraft, complaints: &Complaints<'_>) -> Markup {
    let is_whole = complaints.about("oauth2").any(|error| !error.field.contains('.'));
    html! {
        section.card {
            h2 { "OAuth 2.0" }
            p.dim { "With client credentials, every request carries a token in " code { "authorization" } ". It is fetched before it is needed, and again when the receiver responds with 401." }
            @for ((name, label, help), value) in OAUTH2_TEXTS.iter().zip(&draft.oauth2) {
                (components::text_field(&format!("oauth2.{name}"), label, help, value, "text", complaints))
            }
            label.check {
                input type="checkbox" name="oauth2.in_form" value=(TICKED) checked[draft.in_form];
                span { "Send ID and secret in the form" small { "client_secret_post; otherwise in a header (client_secret_basic)." } }
            }
            @if is_whole { (complaints.at("oauth2")) }
            @else { (complaints.at("oauth2.client_authentication")) }
        }
    }
}

/// The terms on the webhook's page; nothing without credentials.
pub(super) fn facts(endpoint: &Endpoint, now: UnixMillis) -> Markup {
    html! {
        @if let Some(certificate) = endpoint.credentials.client_certificate.as_deref() {
            @let facts = certificate.facts();
            dt { "Client certificate" }
            dd.break {
                (facts.subject) br;
                span.dim.small { "issued by " (facts.issuer) ", " (ends(facts, now)) br; "SHA-256 " code { (facts.fingerprint) } }
            }
        }
        @if let Some(oauth2) = endpoint.credentials.oauth2.as_deref() {
            dt { "OAuth 2.0" }
            dd.break {
                "client " code { (oauth2.client_id) } " at " (oauth2.token_url)
                @if let Some(scope) = &oauth2.scope { br; span.dim.small { "scope " (scope) } }
            }
        }
    }
}

fn ends(facts: &CertificateFacts, now: UnixMillis) -> String {
    match facts.days_left(now) {
        None => format!("expired on {}", time::utc(facts.not_after)),
        Some(0) => "expires in less than a day".to_owned(),
        Some(days) => format!("expires in {}", count(days, "day", "days")),
    }
}

/// A note when the certificate has ended, or will soon.
pub(super) fn notice(endpoint: &Endpoint, now: UnixMillis) -> Markup {
    let certificate = endpoint.credentials.client_certificate.as_deref();
    let facts = certificate.map(|certificate| certificate.facts());
    html! {
        @if let Some(facts) = facts.filter(|facts| facts.state(now) != CertificateState::Valid) {
            p.note-box.(if facts.not_after > now { "warn" } else { "bad" }) #certificate-ends {
                "The client certificate " (ends(facts, now)) ". Replace it in the settings: receivers refuse one that has expired."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts_until(not_after: UnixMillis) -> CertificateFacts {
        CertificateFacts {
            subject: "CN=a".to_owned(),
            issuer: "CN=b".to_owned(),
            not_before: UnixMillis(0),
            not_after,
            fingerprint: String::new(),
        }
    }

    #[test]
    fn the_end_of_a_certificate_is_told_in_days() {
        let day = 86_400_000;
        let facts = facts_until(UnixMillis(100 * day));
        assert_eq!(ends(&facts, UnixMillis(88 * day)), "expires in 12 days");
        assert_eq!(ends(&facts, UnixMillis(99 * day + 1)), "expires in less than a day");
        assert!(ends(&facts, UnixMillis(100 * day)).starts_with("expired on 1970-04-11"));
    }

    #[test]
    fn what_stays_is_not_sent_and_what_is_removed_is_null() {
        let body = |draft: &CredentialsDraft| {
            let mut body = Map::new();
            draft.add_to(&mut body);
            Value::Object(body)
        };
        assert_eq!(body(&CredentialsDraft::default()), json!({"oauth2": null}));
        let removing = CredentialsDraft { removes_certificate: true, ..CredentialsDraft::default() };
        assert_eq!(body(&removing), json!({"client_certificate": null, "oauth2": null}));
        let texts = ["https://a.example", "id", MASK, "", "api"].map(str::to_owned);
        let full = CredentialsDraft {
            certificate: "c".to_owned(),
            oauth2: texts,
            in_form: true,
            ..CredentialsDraft::default()
        };
        let oauth2 = json!({
            "token_url": "https://a.example", "client_id": "id", "client_secret": MASK, "audience": "api",
            "client_authentication": "client_secret_post",
        });
        assert_eq!(body(&full), json!({"client_certificate": {"certificate": "c"}, "oauth2": oauth2}));
    }
}
