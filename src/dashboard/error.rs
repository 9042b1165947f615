//! A page that says what went wrong.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use maud::html;

use super::{layout, parts};
use crate::api::problem::{ErrorCode, Problem};

/// Why a page could not be shown.
#[derive(Debug)]
pub struct PageError(pub Problem);

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
        let title = match problem.code() {
            ErrorCode::NotFound => "There is nothing here",
            ErrorCode::Forbidden => "This key may not do that",
            ErrorCode::Unavailable | ErrorCode::Overloaded => "Not available at the moment",
            _ => problem.code().title(),
        };
        let content = html! {
            div.card {
                h1 { (title) }
                p { (parts::sentence(problem.detail())) }
                @if !problem.errors().is_empty() {
                    ul { @for error in problem.errors() { li { code { (error.field) } ": " (error.message) } } }
                }
                p.actions { a.button.primary href="/" { "To the overview" } }
            }
        };
        layout::plain(problem.code().status(), title, &content)
    }
}
