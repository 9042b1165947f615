//! The part of a webhook's page about its signing secret, hidden until it is revealed.

use std::time::Duration;

use maud::{Markup, html};

use super::form::signature_options;
use super::snippets::VARIABLE;
use crate::dashboard::components;
use crate::dashboard::time;
use crate::dashboard::viewer::Viewer;
use crate::domain::endpoint::Endpoint;
use crate::domain::secret::SecretKind;
use crate::domain::sent_request::HeaderStyle;
use crate::domain::time::UnixMillis;

/// How long the page after a creation or rotation shows the new secret. Larger: a bookmark of that page reveals it
/// later.
const SHOWN_FOR: Duration = Duration::from_secs(600);
pub(crate) const DEFAULT_OVERLAP_SECONDS: &str = OVERLAPS[0].0;
/// How long the old secret stays valid, in seconds.
const OVERLAPS: [(&str, &str); 4] =
    [("86400", "24 hours"), ("3600", "1 hour"), ("604800", "7 days"), ("0", "no time: it stops working now")];

/// Whether the page after a creation or rotation shows the secret.
pub(crate) fn is_fresh(endpoint: &Endpoint, now: UnixMillis) -> bool {
    now.since(endpoint.updated_at) < SHOWN_FOR
}

pub(crate) fn card(viewer: &Viewer, endpoint: &Endpoint, is_revealed: bool) -> Markup {
    let previous: Vec<UnixMillis> =
        endpoint.valid_previous_secrets(viewer.now).map(|previous| previous.expires_at).collect();
    let instant =
        |at| html! { (time::instant(at, viewer.zone())) " (" (time::relative(at, viewer.now, viewer.zone())) ")" };
    let address = format!("/webhooks/{}", endpoint.id);
    let has_public_key = endpoint.secret.kind() == SecretKind::Ed25519;
    html! {
        section.card #secret {
            h2 { @if has_public_key { "Public key" } @else { "Signing secret" } }
            @if has_public_key {
                (components::copyable("secret-text", &endpoint.secret.shown()))
                p.small.dim { "Receivers verify signatures with it. It is no secret; the private key that signs is shown to nobody. Receivers can also fetch it, at "
                    code { "/.well-known/webhook-keys/" (endpoint.id) } "." }
            } @else if is_revealed {
                (components::copyable("secret-text", endpoint.secret.expose()))
                p.small.dim { "Store it with your receiver's other secrets, for example in the environment variable " code { (VARIABLE) } "." }
            } @else {
                form.copy method="post" action={ (address) "/secret" } hx-post={ (address) "/secret" } hx-target="#secret" hx-swap="outerHTML" {
                    code { "whsec_••••••••••••••••" }
                    button.small { "Reveal" }
                }
            }
            @match previous.as_slice() {
                [] => {}
                [until] => {
                    p.note-box.warn { "The previous secret is still valid, until " (instant(*until)) ". By then every receiver must use the new one." }
                }
                several => {
                    div.note-box.warn {
                        p { "Previous secrets are still valid, newest first:" }
                        ul { @for until in several { li { "until " (instant(*until)) } } }
                        p { "By then every receiver must use the new one." }
                    }
                }
            }
            div.actions { button.small type="button" data-opens="#rotate" { "Rotate…" } }
            dialog #rotate aria-labelledby="rotate-title" {
                form.lines method="post" action={ (address) "/rotate" } {
                    h2 #rotate-title { "Rotate the signing secret" }
                    p { (what_rotation_does(endpoint)) }
                    div.field {
                        label for="overlap" { "The old secret is valid for" }
                        select id="overlap" name="overlap" { @for (seconds, name) in OVERLAPS { option value=(seconds) { (name) } } }
                    }
                    div.field {
                        label for="signature" { "The new one is" }
                        select id="signature" name="signature" { (signature_options(has_public_key)) }
                    }
                    p.small.dim { "If the secret leaked, choose “no time”; secrets rotated earlier stay valid until they expire. Receivers then refuse every event until they have the new secret, and refused events are retried only if the response is a 5xx, or the webhook retries 4xx." }
                    div.actions { button.primary { "Rotate secret" } button type="button" data-closes { "Cancel" } }
                }
            }
        }
    }
}

fn what_rotation_does(endpoint: &Endpoint) -> &'static str {
    match (endpoint.secret.kind(), endpoint.header_style) {
        (SecretKind::Ed25519, _) => {
            "A new private key is created, and its public key shown. While the old one is valid, every request is signed with both, and receivers may use either public key. Update your receivers within that time."
        }
        (SecretKind::Hmac, HeaderStyle::Svix | HeaderStyle::Standard) => {
            "A new secret is created and shown. While the old one is valid, every request is signed with both, and receivers may use either. Update your receivers within that time."
        }
        (SecretKind::Hmac, HeaderStyle::Native) => {
            "A new secret is created and shown. While the old one is valid, receivers may use either without losing events: an attempt that is refused with 401 or 403 is repeated at once, signed with the other secret. Update your receivers within that time."
        }
    }
}
