//! Webhooks: the list, the form, and the page of one webhook with its actions.

mod actions;
mod condition;
mod credentials;
mod descriptions;
mod detail;
mod draft;
mod event_type_options;
mod filter_rows;
mod form;
mod last_day;
mod list;
mod preview;
mod recent_deliveries;
mod recover;
mod save;
mod secret;
mod secret_card;
mod settings;
mod snippets;
mod test_event;

use actix_web::HttpRequest;
use maud::{Markup, html};

pub(crate) use actions::{delete, resume, set_active};
pub(crate) use detail::read;
pub(crate) use list::list;
pub(crate) use preview::{filter as preview_filter, retry as preview_retry, sample as preview_sample};
pub(crate) use recover::{preview as recover_preview, send as recover_send};
pub(crate) use save::{create, edit, new, update};
pub(crate) use secret::{reveal, rotate};
pub(crate) use test_event::{read as read_test, sample as test_sample, send as send_test_event};

use crate::api::offered_types;
use crate::api::problem::Problem;
use crate::api::{Api, path_id};
use crate::domain::endpoint::Endpoint;
use crate::domain::event::{MAX_JSON_DEPTH, json_depth};
use crate::domain::ids::{EndpointId, OrganizationId};
use crate::domain::json_text::indent;

fn webhook_id(request: &HttpRequest) -> Result<EndpointId, Problem> {
    path_id(request, "webhook_id", "webhook")
}

/// Breadcrumbs.
fn crumbs(endpoint: Option<&Endpoint>) -> Markup {
    html! {
        p.crumbs {
            a href="/webhooks" { "Webhooks" }
            @if let Some(endpoint) = endpoint { " / " a href={ "/webhooks/" (endpoint.id) } { (endpoint.id) } }
        }
    }
}

/// Sample `data` of an event type, indented; `None` for an unknown type.
async fn pretty_sample(api: &Api, organization_id: OrganizationId, name: &str) -> Result<Option<String>, Problem> {
    let sample = offered_types::sample(api, organization_id, name).await?;
    Ok(sample.map(|sample| indent(sample.get(), usize::MAX).text))
}

fn is_too_deep(json: &str) -> bool {
    json_depth(json) > MAX_JSON_DEPTH
}
