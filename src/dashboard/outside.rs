//! What customers see who came by a sign-in link and are not signed in: no form for a key, which they don't have, but the way back.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use maud::html;

use super::layout;
use super::portal::Portal;
use super::viewer::Preferences;

/// Why they are not signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outside {
    SignedOut,
    /// The session ended, or what it was for is gone.
    Over,
    /// The link was used, or is too old.
    LinkOver,
    /// The browser keeps no cookie, as some do in frames.
    NoCookie,
}

impl Outside {
    fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::SignedOut => ("You are signed out", "To come back, open this page again from there."),
            Self::Over => ("Your session is over", "To go on, open this page again from there."),
            Self::LinkOver => (
                "This link opens nothing any more",
                "This link was already used, or is too old. Go back to where you found it, and open a new one.",
            ),
            Self::NoCookie => (
                "The browser did not keep the sign-in",
                "Allow cookies for this site, or open this page in a window of its own instead of inside another page.",
            ),
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::SignedOut | Self::Over => StatusCode::OK,
            Self::LinkOver | Self::NoCookie => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }
}

/// With the way back, when it is known: a web address.
pub(super) fn page(
    request: &HttpRequest,
    portal: &Portal,
    outside: Outside,
    return_url: Option<&str>,
) -> HttpResponse {
    let (title, text) = outside.texts();
    let text = text.replace("from there", &format!("from {}", portal.product()));
    let content = html! {
        div.card {
            header { span.brand { (portal.heading()) } }
            h1 { (title) }
            p { (text) }
            @if let Some(url) = return_url {
                p.actions { (layout::way_back(portal, url, "button primary")) }
            }
        }
    };
    layout::door(outside.status(), &Preferences::of(request), Some(portal), title, &content)
}
