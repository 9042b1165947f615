//! The bar above the pages of the operator's view.

use maud::{Markup, html};

use super::viewer::Viewer;

/// Says whose pages these are, and leads back.
pub(super) fn bar(viewer: &Viewer) -> Markup {
    html! {
        @if let (true, Some(organization_id)) = (viewer.is_operator, viewer.caller.organization_id()) {
            aside.viewing aria-label="Operator’s view" {
                span { "You view the pages of " strong { (viewer.organization.as_deref().unwrap_or_default()) } " as operator. What you change here, you change for this organization." }
                a href={ "/organizations/" (organization_id) } { "Leave this view" }
            }
        }
    }
}
