//! The settings as a page of the documentation.

use std::fmt::Write;

use super::{RETRY_POLICY, Requirement, SETTINGS, Setting, SettingKind};
use crate::domain::retry::RetryPolicy;

impl Setting {
    fn type_and_bounds(&self) -> (&'static str, String) {
        match &self.kind {
            SettingKind::Boolean { .. } => ("boolean", String::new()),
            SettingKind::Integer { bounds, .. } => ("integer", format!("{} to {}", bounds.start(), bounds.end())),
            SettingKind::Text { max_characters, .. } => ("string", format!("at most {max_characters} characters")),
            SettingKind::Structured(structured) => (structured.type_name, structured.bounds.to_owned()),
        }
    }

    fn default_in_words(&self) -> String {
        match self.requirement {
            Requirement::Required { .. } => String::from("required"),
            Requirement::CreationOnly { .. } => String::from("generated; settable only at creation"),
            Requirement::Optional => format!("`{}`", self.default()),
        }
    }
}

/// The page `docs/webhook-settings.md`.
pub fn page() -> String {
    let mut page = String::from(
        "# Settings of a webhook\n\nThe fields of `POST /v1/webhooks` and `PATCH /v1/webhooks/{id}`. A change leaves settings that are \
         not in its body unchanged; `null` restores a default. A webhook that was read can be written back with changes: in a body with its \
         `id`, fields that can't be set are ignored, and hidden values keep what is stored. Made from `src/api/webhook_settings/table.rs`.\n\n\
         | setting | type | bounds | default | meaning | example |\n|---|---|---|---|---|---|\n",
    );
    for setting in SETTINGS {
        let (type_name, bounds) = setting.type_and_bounds();
        let (name, default, help, example) =
            (setting.name, setting.default_in_words(), setting.help, setting.example);
        let _ = writeln!(page, "| `{name}` | {type_name} | {bounds} | {default} | {help} | `{example}` |");
    }
    page.push_str(
        "| `signature` | string | `hmac`, `ed25519` | `\"hmac\"`; settable only at creation, and with a rotation of the secret | What signs: a \
         secret that the receiver has too, or a private key whose public key it gets ([signatures](signatures.md#public-keys)) | `\"ed25519\"` |\n",
    );
    page.push_str(
        "\n## `retry_policy`\n\nFields that are left out have their default.\n\n\
         | field | type | bounds | default | meaning |\n|---|---|---|---|---|\n",
    );
    for field in &RETRY_POLICY {
        let type_name = if field.is_whole { "integer" } else { "number" };
        let (least, most, default) =
            (field.bounds.start(), field.bounds.end(), (field.get)(&RetryPolicy::default()));
        let (name, help) = (field.name, field.help);
        let _ = writeln!(page, "| `{name}` | {type_name} | {least} to {most} | `{default}` | {help} |");
    }
    page.push_str(CREDENTIALS);
    page
}

const CREDENTIALS: &str = "
## `client_certificate`

To set it, send `certificate` (PEM: the webhook's own certificate, then its intermediates, at most 10) and `private_key` (PEM without a \
password: RSA of 2,048 to 8,192 bits, ECDSA with P-256 or P-384, or Ed25519). Refused: a key that does not fit, a certificate that has \
expired or is not valid yet, a webhook whose URL is `http:`. It reads back as `subject`, `issuer`, `not_before`, `not_after` and \
`sha256_fingerprint`; the private key is stored encrypted and never read back. Sent back like this, it keeps the stored certificate; that \
of another one is refused. `null` removes it.

Each attempt of the webhook, test events included, shows it to a receiver that asks; no request of another webhook does, also not one to the \
same host: connections and TLS sessions are kept apart by certificate. A replaced certificate is used by the attempts after the change. The \
page of the webhook in the dashboard warns from 21 days before it expires. A receiver that refuses it makes the attempt a `tls_failure` \
with the reason.

## `oauth2`

| field | bounds | default | meaning |
|---|---|---|---|
| `token_url` | as `url` | required | the token endpoint |
| `client_id` | 1 to 1,024 characters | required | printable ASCII |
| `client_secret` | 1 to 4,096 characters | required | reads as `********`, and keeps its value when that is sent back with the same `token_url` |
| `scope` | 1 to 1,024 characters | none | scopes, separated by spaces |
| `audience` | 1 to 1,024 characters | none | for servers that require it |
| `client_authentication` | `client_secret_basic`, `client_secret_post` | `client_secret_basic` | how the client names itself |

Before an attempt that has no valid token, the engine asks for one (RFC 6749, section 4.4) and keeps it in memory until shortly before \
`expires_in`: a tenth of its life, at most 30 s; five minutes without `expires_in`; never for less than a second or more than a day. Each \
webhook has its own tokens and asks for one at a time. Asking and sending together have the webhook's `timeout`. The request goes the same \
guarded way as a delivery: the same addresses, no redirects, at most 16 KiB of response.

When the receiver responds with 401 and the token was there for 5 s, the same attempt gets another token and sends the request once more; \
the log shows the second response. Without a token the attempt fails as `token_failure` with the reason in `error_detail`, nothing is sent \
to the receiver, and the delivery is retried as after any failure. The log masks `authorization`, and a token \
that the receiver repeats in its response reads as `[token]`.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_json_and_every_setting_has_one_line_of_help() {
        for setting in SETTINGS {
            let example: Result<serde_json::Value, _> = serde_json::from_str(setting.example);
            assert!(example.is_ok(), "{}: its example is not JSON", setting.name);
            assert!(!setting.help.is_empty() && !setting.help.ends_with('.'), "{}: help", setting.name);
        }
    }
}
