//! `/`: an organization's health at a glance.

use actix_web::{HttpResponse, web};
use maud::html;

use super::error::PageError;
use super::guard::see_other;
use super::layout::{self, Section};
use super::parts;
use super::viewer::Viewer;
use crate::api::Api;
use crate::api::auth::Caller;

/// `GET /`.
pub async fn read(viewer: Viewer, api: web::Data<Api>) -> Result<HttpResponse, PageError> {
    if viewer.caller == Caller::Admin {
        return Ok(see_other("/organizations"));
    }
    let organization_id = viewer.organization_id()?;
    let states = api.store(move |store| store.endpoint_states(organization_id)).await?;
    let content = html! {
        div.head { h1 { "Overview" } }
        p { (parts::number(states.healthy)) " healthy" }
    };
    Ok(layout::page(&viewer, Section::Overview, "Overview", &content))
}
