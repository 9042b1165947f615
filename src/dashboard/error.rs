//! The error page.

use std::fmt;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use maud::{Markup, html};

use super::portal::Portal;
use super::response::protect;
use super::viewer::Preferences;
use super::visitor::portal_of;
use super::{components, layout};
use crate::api::problem::{ErrorCode, Problem};
use crate::api::routes::unknown_route;

#[derive(Debug)]
pub(crate) struct PageError(pub Problem);

impl From<Problem> for PageError {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl fmt::Display for PageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ResponseError for PageError {
    fn status_code(&self) -> StatusCode {
        self.0.code().status()
    }

    fn error_response(&self) -> HttpResponse {
        let Self(problem) = self;
        let title = title(problem, "This key can’t do that");
        layout::plain(problem.code().status(), title, &content(problem, title))
    }
}

/// The same for whoever came by a sign-in link.
pub(super) fn for_visitor(problem: &Problem, portal: &Portal, request: &HttpRequest) -> HttpResponse {
    let title = title(problem, "You can’t do that");
    let look = Preferences::of(request);
    layout::door(problem.code().status(), &look, Some(portal), title, &content(problem, title))
}

fn title(problem: &Problem, forbidden: &'static str) -> &'static str {
    match problem.code() {
        ErrorCode::NotFound => "Not found",
        ErrorCode::Forbidden => forbidden,
        ErrorCode::Unavailable | ErrorCode::Overloaded => "Temporarily unavailable",
        _ => problem.code().title(),
    }
}

fn content(problem: &Problem, title: &str) -> Markup {
    html! {
        div.card {
            h1 { (title) }
            p { (components::sentence(problem.detail())) }
            @if !problem.errors().is_empty() {
                ul { @for error in problem.errors() { li { code { (error.field) } ": " (error.message) } } }
            }
            p.actions { a.button.primary href="/" { "Go to overview" } }
        }
    }
}

/// API paths always get the API's errors, even in a browser.
const API: &str = "/v1";

/// The fallback for unknown paths: a page for browsers, a JSON problem for programs.
pub(crate) async fn nowhere(request: HttpRequest) -> HttpResponse {
    let path = request.path();
    let is_api = path.strip_prefix(API).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if is_api || !accept.contains("text/html") {
        return unknown_route(request).await;
    }
    let problem = Problem::new(ErrorCode::NotFound, "there is no page at this address");
    let portal = portal_of(&request);
    let mut response = match &portal {
        Some(portal) => for_visitor(&problem, portal, &request),
        None => PageError(problem).error_response(),
    };
    protect(response.headers_mut(), portal.as_deref().and_then(Portal::frames));
    response
}
