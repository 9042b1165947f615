//! The pages with the form: adding and editing a webhook.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use maud::html;

use super::draft::Draft;
use super::event_type_options::EventTypeOptions;
use super::form::{self, WebhookForm};
use super::{crumbs, pretty_sample, webhook_id};
use crate::api::audit::Author;
use crate::api::problem::{ErrorCode, InputError, Problem};
use crate::api::{Api, webhooks};
use crate::dashboard::components::Complaints;
use crate::dashboard::error::PageError;
use crate::dashboard::form::Form;
use crate::dashboard::layout::{self, Section};
use crate::dashboard::response::see_other;
use crate::dashboard::viewer::Viewer;
use crate::domain::endpoint::Endpoint;
use crate::domain::filter::FieldError;

/// The first sample to test a filter with.
const FIRST_SAMPLE: &str = "call.completed";

/// `GET /webhooks/new`.
pub(crate) async fn new(viewer: Viewer, api: web::Data<Api>) -> Result<HttpResponse, PageError> {
    let draft = Draft::of(&api.blank_webhook(), &[]);
    page(&viewer, &api, None, &draft, None, &Form::default()).await
}

/// `POST /webhooks`.
pub(crate) async fn create(
    viewer: Viewer,
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let form = Form::read(&request, payload).await?;
    let draft = Draft::read(&form);
    let created = match draft.body() {
        Ok(mut body) => {
            // null means "without", which is the default of a new webhook
            body.retain(|_, value| !value.is_null());
            let body = serde_json::Value::Object(body).to_string();
            webhooks::create_from(&api, &viewer.author(), viewer.organization_id()?, body.as_bytes()).await
        }
        Err(problem) => Err(problem),
    };
    match created {
        Ok(endpoint) => Ok(see_other(&format!("/webhooks/{}?done=created", endpoint.id))),
        Err(problem) => page(&viewer, &api, None, &draft, Some(&problem), &form).await,
    }
}

/// `GET /webhooks/{webhook_id}/edit`.
pub(crate) async fn edit(
    viewer: Viewer,
    request: HttpRequest,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let endpoint = find(&viewer, &request, &api).await?;
    let types = EventTypeOptions::of(&api, endpoint.organization_id).await?;
    let draft = Draft::of(&endpoint, &types.names());
    page(&viewer, &api, Some(&endpoint), &draft, None, &Form::default()).await
}

/// `POST /webhooks/{webhook_id}/edit`.
pub(crate) async fn update(
    viewer: Viewer,
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let endpoint = find(&viewer, &request, &api).await?;
    let form = Form::read(&request, payload).await?;
    let draft = Draft::read(&form);
    match write(&api, &viewer.author(), &endpoint, &draft, form.text("version")).await {
        Ok(()) => Ok(see_other(&format!("/webhooks/{}?done=saved", endpoint.id))),
        Err(problem) => page(&viewer, &api, Some(&endpoint), &draft, Some(&problem), &form).await,
    }
}

async fn write(
    api: &web::Data<Api>,
    by: &Author,
    endpoint: &Endpoint,
    draft: &Draft,
    version: &str,
) -> Result<(), Problem> {
    let types = EventTypeOptions::of(api, endpoint.organization_id).await?;
    let changes = draft.changes(&Draft::of(endpoint, &types.names()))?;
    if changes.is_empty() {
        return Ok(());
    }
    // the engine disables webhooks too, so other changes must not be overwritten unseen
    if version.parse() != Ok(endpoint.version) {
        let detail = "the webhook was changed or disabled since you opened this form; check your settings below, \
                      and save again to overwrite the other changes";
        return Err(Problem::new(ErrorCode::Conflict, detail));
    }
    let body = serde_json::Value::Object(changes).to_string();
    webhooks::update_from(api, by, endpoint.organization_id, endpoint.id, body.as_bytes()).await.map(|_| ())
}

async fn find(viewer: &Viewer, request: &HttpRequest, api: &Api) -> Result<Endpoint, Problem> {
    let id = webhook_id(request)?;
    Ok(api.find_endpoint(viewer.organization_id()?, id).await?.endpoint)
}

async fn page(
    viewer: &Viewer,
    api: &Api,
    endpoint: Option<&Endpoint>,
    draft: &Draft,
    problem: Option<&Problem>,
    sent: &Form,
) -> Result<HttpResponse, PageError> {
    let organization_id = viewer.organization_id()?;
    let types = EventTypeOptions::of(api, organization_id).await?;
    let first =
        draft.subscriptions().into_iter().find(|asked| types.names().contains(asked)).unwrap_or(FIRST_SAMPLE);
    let sample_type = sent.given("sample_type").unwrap_or(first);
    let sample = match sent.given("sample") {
        Some(sample) => sample.to_owned(),
        None => pretty_sample(api, organization_id, sample_type).await?.unwrap_or_default(),
    };
    let address = endpoint.map(|endpoint| format!("/webhooks/{}", endpoint.id));
    let title = if endpoint.is_some() { "Edit webhook" } else { "Add webhook" };
    // while other errors are corrected, the conflict has not been shown yet
    let is_conflict = problem.is_some_and(|problem| problem.code() == ErrorCode::Conflict);
    let seen = sent.text("version").parse().ok().filter(|_| !is_conflict);
    let content = WebhookForm {
        draft,
        types: &types,
        complaints: Complaints::of(problem),
        action: &address.as_ref().map_or("/webhooks".to_owned(), |address| format!("{address}/edit")),
        back: address.as_deref().unwrap_or("/webhooks"),
        version: endpoint.map(|endpoint| seen.unwrap_or(endpoint.version)),
        certificate: endpoint
            .and_then(|endpoint| endpoint.credentials.client_certificate.as_deref())
            .map(|certificate| certificate.facts()),
        sample: (sample_type, &sample),
    };
    let markup = html! {
        div.head { div { (crumbs(endpoint)) h1 { (title) } } }
        (form::form(&content))
    };
    let status = match problem.map(|problem| problem.code().status()) {
        None => StatusCode::OK,
        Some(status) if status.is_server_error() => status,
        Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Ok(layout::with_status(status, viewer, Section::Webhooks, title, &markup))
}

/// An error of this page about one field.
pub(crate) fn complaint(field: &str, message: String) -> Problem {
    let error = FieldError { field: field.to_owned(), message };
    Problem::input(vec![InputError { code: ErrorCode::ValidationFailed, error }])
}
