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
         not in its body unchanged; `null` restores a default. Made from `src/api/webhook_settings/table.rs`.\n\n\
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
    page
}

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
