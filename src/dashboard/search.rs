//! One search for all of an organization: an id leads to its page, part of a URL to webhooks, and other text to what has it
//! as a tag.

use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};

use super::error::PageError;
use super::form::Form;
use super::layout::{self, Section};
use super::response::see_other;
use super::search_box::{HINT, MAX_CHARACTERS};
use super::viewer::Viewer;
use super::{components, long_url};
use crate::api::problem::{ErrorCode, Problem};
use crate::api::{Api, logs, webhooks};
use crate::domain::health::EndpointState;
use crate::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
use crate::store::{EndpointSearch, EndpointStart};

/// Webhooks that are shown; whoever finds more types more.
const MOST_WEBHOOKS: &str = "limit=20";

/// What a text can be the id of.
enum Named {
    Event(EventId),
    Delivery(DeliveryId),
    Webhook(EndpointId),
}

impl Named {
    fn read(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let event = || text.parse().ok().map(Self::Event);
        let delivery = || text.parse().ok().map(Self::Delivery);
        event().or_else(delivery).or_else(|| text.parse().ok().map(Self::Webhook))
    }

    /// The address of its page, if the organization has it.
    async fn find(&self, api: &Api, organization_id: OrganizationId) -> Result<Option<String>, Problem> {
        let found = match *self {
            Self::Event(id) => {
                let event = api.read(organization_id, move |store| store.event(organization_id, id)).await?;
                return Ok(event.map(|_| format!("/events/{id}")));
            }
            Self::Delivery(id) => logs::detail(api, organization_id, id).await.map(|_| format!("/logs/{id}")),
            Self::Webhook(id) => api.find_endpoint(organization_id, id).await.map(|_| format!("/webhooks/{id}")),
        };
        match found {
            Ok(address) => Ok(Some(address)),
            Err(problem) if problem.code() == ErrorCode::NotFound => Ok(None),
            Err(problem) => Err(problem),
        }
    }
}

/// `GET /search?q=`.
pub(crate) async fn read(
    viewer: Viewer,
    request: HttpRequest,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let query = Form::parse(request.query_string().as_bytes());
    // a database would refuse them, and nothing has them in its name
    let visible = query.text("q").chars().filter(|character| !character.is_control());
    let text: String = visible.take(MAX_CHARACTERS).collect();
    let organization_id = viewer.organization_id()?;
    let content = match Named::read(&text) {
        _ if text.is_empty() => html! { p { (HINT) } },
        Some(named) => match named.find(&api, organization_id).await? {
            Some(address) => return Ok(see_other(&address)),
            None => {
                let help = html! { p { "This organization has nothing with the ID " code { (text) } ". What is older than the retention of the log is removed from it." } };
                html! { section.card { (components::empty("Not found", &help)) } }
            }
        },
        None => {
            let search = EndpointSearch::Url(text.clone());
            let found = webhooks::search(&api, organization_id, search, MOST_WEBHOOKS).await?;
            html! { (webhooks_with(&found.data)) (tags(&text)) }
        }
    };
    let page = html! {
        div.head { h1 { "Search" @if !text.is_empty() { ": " (text) } } }
        (content)
    };
    Ok(layout::page(&viewer, Section::Search, "Search", &page))
}

fn webhooks_with(found: &[EndpointStart]) -> Markup {
    html! {
        section.card.flush #found {
            header { h2 { "Webhooks with this in the URL" } }
            ul.items {
                @for EndpointStart { endpoint, health } in found {
                    li {
                        div.what {
                            (long_url::link(&format!("/webhooks/{}", endpoint.id), &endpoint.url))
                            (components::state(EndpointState::of(endpoint, Some(health))))
                        }
                        @if let Some(description) = &endpoint.description { p.dim { (description) } }
                    }
                }
                @if found.is_empty() { li { p.dim { "None." } } }
            }
        }
    }
}

fn tags(text: &str) -> Markup {
    let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("tag", text).finish();
    html! {
        section.card #tagged {
            h2 { "Tags" }
            ul.plain {
                li { a href={ "/events?" (query) } { "Events with the tag " (text) } }
                li { a href={ "/logs?" (query) } { "Deliveries with the tag " (text) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_known_by_its_form_in_either_case() {
        assert!(matches!(Named::read("msg_0000000000001"), Some(Named::Event(EventId(1)))));
        assert!(matches!(Named::read("DLV_0000000000002"), Some(Named::Delivery(DeliveryId(2)))));
        assert!(matches!(Named::read("wh_0000000000003"), Some(Named::Webhook(EndpointId(3)))));
        for text in ["", "msg_", "msg_1", "org_0000000000001", "example.com", "wh_00000000000030"] {
            assert!(Named::read(text).is_none(), "{text}");
        }
    }

    #[test]
    fn what_was_typed_is_escaped() {
        let shown = tags("a&b\"<script>").into_string();
        assert!(shown.contains("/events?tag=a%26b%22%3Cscript%3E") && !shown.contains("<script"), "{shown}");
    }
}
