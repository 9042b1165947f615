//! Code samples for a webhook's receiver: verifying signatures, and trying it out without the engine.

use maud::{Markup, html};

use crate::domain::endpoint::Endpoint;
use crate::domain::secret::SecretKind;
use crate::domain::sent_request::HeaderStyle;

/// The environment variable from which the code reads the secret.
pub(crate) const VARIABLE: &str = "WEBHOOK_SECRET";
/// The header prefix in the files; replaced by the deployment's own.
const PREFIX: &str = "x-callintel";
const URL: &str = "'https://receiver.example/'";

struct Snippet {
    name: &'static str,
    title: &'static str,
    text: &'static str,
}

static SNIPPETS: [Snippet; 4] = [
    Snippet { name: "python", title: "Python", text: include_str!("../../../examples/receiver.py") },
    Snippet { name: "node", title: "Node", text: include_str!("../../../examples/receiver.mjs") },
    Snippet { name: "rust", title: "Rust", text: include_str!("../../../examples/receiver/verify.rs") },
    Snippet { name: "curl", title: "curl (send a sample)", text: include_str!("snippets/send.sh") },
];

/// For a webhook whose receivers have a public key; they look for both names of its headers.
static WITH_PUBLIC_KEY: [Snippet; 2] = [
    Snippet { name: "python", title: "Python", text: include_str!("snippets/ed25519.py") },
    Snippet { name: "node", title: "Node", text: include_str!("snippets/ed25519.mjs") },
];

fn filled(snippet: &Snippet, prefix: &str, url: &str) -> String {
    // in a shell, a quote ends a string, an escaped one stands outside, and the next one begins another string
    let quoted = format!("'{}'", url.replace('\'', r"'\''"));
    // headers are looked up in lower case
    snippet.text.replace(PREFIX, &prefix.to_ascii_lowercase()).replace(URL, &quoted)
}

/// The code samples; `chosen` is the name in the address.
pub(crate) fn card(endpoint: &Endpoint, prefix: &str, chosen: &str) -> Markup {
    let snippets: &[Snippet] = match (endpoint.secret.kind(), endpoint.header_style) {
        (SecretKind::Ed25519, _) => &WITH_PUBLIC_KEY,
        (SecretKind::Hmac, HeaderStyle::Native) => &SNIPPETS,
        (SecretKind::Hmac, HeaderStyle::Svix | HeaderStyle::Standard) => &[],
    };
    let current = snippets.iter().find(|snippet| snippet.name == chosen).or(snippets.first());
    html! {
        section.card #verify {
            h2 { "Verify signatures" }
            (explanation(endpoint, prefix))
            @if let Some(current) = current {
                nav.tabs aria-label="Languages" { @for snippet in snippets {
                    @let address = format!("/webhooks/{}?snippet={}", endpoint.id, snippet.name);
                    a href={ (address) "#verify" } hx-get=(address) hx-select="#verify" hx-target="#verify" hx-swap="outerHTML"
                        aria-current=[(snippet.name == current.name).then_some("true")] { (snippet.title) }
                } }
                pre #snippet tabindex="0" { code { (filled(current, prefix, &endpoint.url)) } }
                div.actions { button.small type="button" data-copy="#snippet" { "Copy" } }
            }
        }
    }
}

/// What signs this webhook's requests, and what verifies them.
fn explanation(endpoint: &Endpoint, prefix: &str) -> Markup {
    let [.., header] = endpoint.header_style.names();
    html! {
        @match (endpoint.secret.kind(), endpoint.header_style) {
            (SecretKind::Ed25519, _) => p.dim { "Anyone can send requests to a URL. The ed25519 signature in " code { (header) }
                " behind " code { "v1a," } " proves that an event comes from here, and when it was sent; refuse requests without a valid one. The code expects this webhook’s public key. Libraries that verify " code { "v1," }
                " alone refuse these requests." },
            (SecretKind::Hmac, HeaderStyle::Svix | HeaderStyle::Standard) => p.dim { "Anyone can send requests to a URL. The signature in " code { (header) }
                ", made with this webhook’s secret, proves that an event comes from here, and when it was sent; refuse requests without a valid one. Libraries of Svix and those for Standard Webhooks verify it with this secret." },
            (SecretKind::Hmac, HeaderStyle::Native) => p.dim { "Anyone can send requests to a URL. The signature in " code { (prefix) "-signature" }
                ", made with this webhook’s secret, proves that an event comes from here; refuse requests without a valid one. The code expects the secret in " code { (VARIABLE) } ". Libraries for Standard Webhooks work as well, with the same secret: they read " code { "webhook-signature" } ", which also covers the time of sending." },
        }
    }
}

#[cfg(test)]
#[path = "../../../examples/receiver/verify.rs"]
mod verify;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::domain::secret::Secret;
    use crate::domain::signing::SigningKey;

    #[test]
    fn code_samples_use_the_deployments_headers_and_the_webhooks_url() {
        for snippet in &SNIPPETS {
            assert!(snippet.text.contains(PREFIX), "{}", snippet.name);
            let filled = filled(snippet, "X-Acme", "https://a.example/'$(id)'");
            assert!(!filled.contains(PREFIX) && filled.contains("x-acme-signature"), "{}", snippet.name);
        }
        let shell = filled(&SNIPPETS[3], "x", "https://a.example/'$(id)'");
        assert!(shell.contains(r"url='https://a.example/'\''$(id)'\'''"), "{shell}");
    }

    #[test]
    fn the_rust_sample_accepts_only_valid_signatures() {
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
        let body = Bytes::from_static(b"{\"a\":1}");
        let signature = SigningKey::new(&secret).sign_document(&body);
        let is_genuine = |header: &str, value: &str| {
            verify::is_genuine(secret.expose(), &body, |name| (name == header).then_some(value))
        };
        assert!(is_genuine("x-callintel-signature", &signature));
        assert!(is_genuine("x-callintel-signature-previous", &signature));
        assert!(!is_genuine("x-other", &signature));
        for wrong in ["", "é", &signature[2..], &signature.replace(|c: char| c.is_ascii_digit(), "a")] {
            assert!(!is_genuine("x-callintel-signature", wrong), "{wrong}");
        }
    }
}
