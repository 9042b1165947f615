//! The part of a webhook's page about its signing secret, hidden until it is revealed.

use std::time::Duration;

use maud::{Markup, html};

use super::snippets::VARIABLE;
use crate::dashboard::components;
use crate::dashboard::time;
use crate::dashboard::viewer::Viewer;
use crate::domain::endpoint::Endpoint;
use crate::domain::time::UnixMillis;

/// How long a new secret is shown openly to whoever opens the page that making it led to. Larger: a bookmark of
/// that page shows it later, too.
const SHOWN_FOR: Duration = Duration::from_secs(600);
/// Chosen unless another overlap is.
pub(crate) const DEFAULT_OVERLAP_SECONDS: &str = OVERLAPS[0].0;
/// For how long the old secret may sign along, in seconds.
const OVERLAPS: [(&str, &str); 4] = [
    ("86400", "24 hours"),
    ("3600", "1 hour"),
    ("604800", "7 days"),
    ("0", "not at all: from now on it is refused"),
];

/// Whether the page that a creation or a rotation led to shows the secret openly.
pub(crate) fn is_fresh(endpoint: &Endpoint, now: UnixMillis) -> bool {
    now.since(endpoint.updated_at) < SHOWN_FOR
}

/// The part of the webhook's page about it, for those who may see it.
pub(crate) fn card(viewer: &Viewer, endpoint: &Endpoint, is_revealed: bool) -> Markup {
    let previous: Vec<UnixMillis> =
        endpoint.valid_previous_secrets(viewer.now).map(|previous| previous.expires_at).collect();
    let instant =
        |at| html! { (time::instant(at, viewer.zone())) " (" (time::relative(at, viewer.now, viewer.zone())) ")" };
    let address = format!("/webhooks/{}", endpoint.id);
    html! {
        section.card #secret {
            h2 { "Signing secret" }
            @if is_revealed {
                (components::copyable("secret-text", endpoint.secret.expose()))
                p.small.dim { "Keep it where your receiver keeps its other secrets, for example as the environment variable " code { (VARIABLE) } "." }
            } @else {
                form.copy method="post" action={ (address) "/secret" } hx-post={ (address) "/secret" } hx-target="#secret" hx-swap="outerHTML" {
                    code { "whsec_••••••••••••••••" }
                    button.small { "Reveal" }
                }
            }
            @match previous.as_slice() {
                [] => {}
                [until] => {
                    p.note-box.warn { "The secret before this one is still valid, until " (instant(*until)) ". By then every receiver must know the new one." }
                }
                several => {
                    div.note-box.warn {
                        p { "The secrets before this one are still valid, the newest first:" }
                        ul { @for until in several { li { "until " (instant(*until)) } } }
                        p { "By then every receiver must know the new one." }
                    }
                }
            }
            div.actions { button.small type="button" data-opens="#rotate" { "Rotate…" } }
            dialog #rotate aria-labelledby="rotate-title" {
                form.lines method="post" action={ (address) "/rotate" } {
                    h2 #rotate-title { "Rotate the signing secret" }
                    p { "A new secret is made and shown. While the old one is valid, receivers may know either, so that nothing is lost: what is refused with \
                        401 or 403 is sent again at once, signed with the other. Exchange the secret there within that time." }
                    div.field {
                        label for="overlap" { "The old secret is valid for" }
                        select id="overlap" name="overlap" { @for (seconds, name) in OVERLAPS { option value=(seconds) { (name) } } }
                    }
                    p.small.dim { "If the secret got into wrong hands, choose “not at all”; secrets that were rotated away earlier stay valid to their own ends. Receivers refuse every event until they know the new one, and \
                        what they refuse is tried again on schedule only if they answer with 5xx, or the webhook retries 4xx." }
                    div.actions { button.primary { "Rotate the secret" } button type="button" data-closes { "Cancel" } }
                }
            }
        }
    }
}
