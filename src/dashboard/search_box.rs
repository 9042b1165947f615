//! The search in the frame around every page.

use maud::{Markup, html};

use super::viewer::Viewer;
use crate::api::auth::Permission;

/// Characters of a search: as long as a URL may be.
pub(super) const MAX_CHARACTERS: usize = 2_048;
pub(super) const HINT: &str = "An event, delivery or webhook by its ID, a webhook by part of its URL, or a tag.";

/// The box, for whoever may read.
pub(super) fn field(viewer: &Viewer) -> Markup {
    html! {
        @if viewer.caller.organization_id().is_some() && viewer.may(Permission::Read) {
            form.search role="search" method="get" action="/search" {
                label.sr for="search" { "Search" }
                input #search type="search" name="q" placeholder="Search" title=(HINT) maxlength=(MAX_CHARACTERS)
                    autocomplete="off" spellcheck="false" aria-keyshortcuts="/";
            }
        }
    }
}
