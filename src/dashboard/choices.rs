//! The options of a filter: the organization's webhooks by URL, and the event types.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};

use super::long_url;
use crate::api::offered_types::{OfferedType, TypeOrigin, offered};
use crate::api::problem::Problem;
use crate::api::{Api, webhooks};
use crate::domain::event_types::OPERATIONAL;
use crate::domain::ids::{EndpointId, OrganizationId};

/// The API's page size. With more webhooks, a text field for the id replaces the list.
const MOST_WEBHOOKS: &str = "limit=200";

#[derive(Default)]
pub(crate) struct Webhooks {
    urls: BTreeMap<EndpointId, String>,
    /// Newest first; only the first page.
    listed: Vec<EndpointId>,
    is_whole: bool,
}

impl Webhooks {
    /// Reads the first page.
    pub(crate) async fn read(api: &Api, organization_id: OrganizationId) -> Result<Self, Problem> {
        let page = webhooks::page(api, organization_id, MOST_WEBHOOKS).await?;
        let listed = page.data.iter().map(|row| row.endpoint.id).collect();
        let urls = page.data.into_iter().map(|row| (row.endpoint.id, row.endpoint.url)).collect();
        Ok(Self { urls, listed, is_whole: page.next_cursor.is_none() })
    }

    /// Reads webhooks that are shown on the page and missing from the first page.
    pub(crate) async fn add(
        &mut self,
        api: &Api,
        organization_id: OrganizationId,
        shown: impl Iterator<Item = EndpointId>,
    ) -> Result<(), Problem> {
        let unknown: BTreeSet<EndpointId> = shown.filter(|id| !self.urls.contains_key(id)).collect();
        if unknown.is_empty() || self.is_whole {
            return Ok(());
        }
        let found = api.read(organization_id, move |store| {
            let rows = unknown.into_iter().map(|id| store.find_endpoint(organization_id, id));
            rows.collect::<Result<Vec<_>, _>>()
        });
        self.urls.extend(found.await?.into_iter().flatten().map(|row| (row.endpoint.id, row.endpoint.url)));
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// Whether a webhook exists; only for those that were read.
    pub(crate) fn exists(&self, id: EndpointId) -> bool {
        self.urls.contains_key(&id)
    }

    /// A link to a webhook, without `https://`. A deleted webhook has no URL any more.
    pub(crate) fn link(&self, id: EndpointId) -> Markup {
        html! {
            @match self.urls.get(&id) {
                Some(url) => { a.url href={ "/webhooks/" (id) } title=(url) { (long_url::shortened(url.strip_prefix("https://").unwrap_or(url))) } }
                None => { span.dim title=(id) { "deleted webhook" } }
            }
        }
    }

    /// A select by URL, or a text field for the id when there are too many webhooks. `any` labels the empty option.
    pub(crate) fn control(&self, name: &str, chosen: &str, any: Option<&str>) -> Markup {
        let is_listed = |id: &EndpointId| id.to_string() == chosen;
        html! {
            @if self.is_whole {
                select id=(name) name=(name) aria-describedby={ (name) "-error" } {
                    @if let Some(any) = any { option value="" { (any) } }
                    @for id in &self.listed {
                        option value=(id) selected[is_listed(id)] { (self.urls.get(id).map_or("", String::as_str)) }
                    }
                    @if !chosen.is_empty() && !self.listed.iter().any(is_listed) {
                        option value=(chosen) selected { (chosen) }
                    }
                }
            } @else {
                input id=(name) name=(name) value=(chosen) placeholder="wh_…" aria-describedby={ (name) "-error" };
            }
        }
    }
}

pub(crate) struct Choices {
    pub webhooks: Webhooks,
    own_types: Vec<String>,
    shared_types: Vec<String>,
}

impl Choices {
    pub(crate) async fn read(api: &Api, organization_id: OrganizationId) -> Result<Self, Problem> {
        let webhooks = Webhooks::read(api, organization_id).await?;
        let types = offered(api, organization_id).await?;
        let (own, shared): (Vec<_>, Vec<_>) = types.into_iter().partition(|it| it.origin == TypeOrigin::Own);
        let names = |types: Vec<OfferedType>| types.into_iter().map(|it| it.name).collect();
        Ok(Self { webhooks, own_types: names(own), shared_types: names(shared) })
    }

    /// Event types that webhooks can subscribe to, in groups; no group is empty.
    pub(crate) fn event_types(&self) -> Vec<(&'static str, Vec<&str>)> {
        let mut groups = self.publishable();
        groups.push(("Operational", OPERATIONAL.iter().map(|event_type| event_type.name).collect()));
        groups
    }

    /// Event types that can be published, in groups; no group is empty.
    pub(crate) fn publishable(&self) -> Vec<(&'static str, Vec<&str>)> {
        let own: Vec<&str> = self.own_types.iter().map(String::as_str).collect();
        let shared: Vec<&str> = self.shared_types.iter().map(String::as_str).collect();
        let groups = [("Custom", own), ("Catalogue", shared)];
        groups.into_iter().filter(|(_, names)| !names.is_empty()).collect()
    }

    pub(crate) fn has_event_type(&self, name: &str) -> bool {
        self.event_types().iter().any(|(_, names)| names.contains(&name))
    }
}
