//! Resends one delivery, or those selected in the list.

use std::collections::BTreeSet;

use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};

use crate::api::logs::{NotRetried, retry_delivery};
use crate::api::{Api, path_id};
use crate::dashboard::components;
use crate::dashboard::error::PageError;
use crate::dashboard::filters::{Filters, join};
use crate::dashboard::form::Form;
use crate::dashboard::response::see_other;
use crate::dashboard::viewer::Viewer;
use crate::domain::ids::DeliveryId;
use crate::domain::round::Rounds;

/// The id of the form to which the checkboxes in the list belong.
pub(crate) const FORM: &str = "again";
/// No page lists more rows.
const MOST_AT_ONCE: usize = 200;

/// How many of the selected deliveries were queued, and why others were not. The address carries only numbers, so
/// that nobody can put text on the page.
#[derive(Debug, Default, PartialEq, Eq)]
struct ResendCounts {
    queued: u64,
    pending: u64,
    gone: u64,
    erased: u64,
    failed: u64,
}

impl ResendCounts {
    fn of(form: &Form) -> Self {
        let number = |name: &str| form.text(name).parse().unwrap_or(0);
        let [queued, pending, gone, erased, failed] =
            ["queued", "pending", "gone", "erased", "failed"].map(number);
        Self { queued, pending, gone, erased, failed }
    }

    fn query(&self) -> String {
        let parts = [
            ("queued", self.queued),
            ("pending", self.pending),
            ("gone", self.gone),
            ("erased", self.erased),
            ("failed", self.failed),
        ];
        let given: Vec<String> =
            parts.iter().filter(|(_, count)| *count > 0).map(|(name, count)| format!("{name}={count}")).collect();
        given.join("&")
    }

    fn sentences(&self) -> Vec<String> {
        let sentence = |count: u64, one: &str, many: &str| {
            (count > 0).then(|| {
                format!(
                    "{} {}.",
                    components::count(count, "delivery", "deliveries"),
                    if count == 1 { one } else { many }
                )
            })
        };
        let all = [
            sentence(self.queued, "was queued", "were queued"),
            sentence(self.pending, "is still pending", "are still pending"),
            sentence(
                self.gone,
                "can't be resent because its webhook was deleted",
                "can't be resent because their webhook was deleted",
            ),
            sentence(
                self.erased,
                "can't be resent because its payload was erased",
                "can't be resent because their payload was erased",
            ),
            sentence(self.failed, "could not be queued; try again", "could not be queued; try again"),
        ];
        all.into_iter().flatten().collect()
    }
}

/// The button for the selected deliveries; it leads back to the same list.
pub(crate) fn form(filters: &Filters) -> Markup {
    html! {
        form.actions id=(FORM) method="post" action="/logs/retry" {
            input type="hidden" name="query" value=(filters.query());
            button { "Resend " span data-counts="id" { "selected" } }
        }
    }
}

/// The result of [`retry_chosen`].
pub(crate) fn report(form: &Form) -> Markup {
    let tally = ResendCounts::of(form);
    let sentences = tally.sentences();
    html! {
        @if tally.queued > 0 { (components::done(&sentences.join(" "))) }
        @else if !sentences.is_empty() { p.note-box.warn role="status" #done { (sentences.join(" ")) } }
    }
}

/// `POST /logs/retry`.
pub(crate) async fn retry_chosen(
    viewer: Viewer,
    request: HttpRequest,
    payload: web::Payload,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let form = Form::read(&request, payload).await?;
    let organization_id = viewer.organization_id()?;
    let ids: BTreeSet<DeliveryId> =
        form.values("id").filter_map(|id| id.parse().ok()).take(MOST_AT_ONCE).collect();
    let mut tally = ResendCounts::default();
    for id in ids {
        match retry_delivery(&api, organization_id, id, Rounds::Schedule).await {
            Ok(_) => tally.queued += 1,
            Err(NotRetried::StillPending) => tally.pending += 1,
            Err(NotRetried::WebhookGone) => tally.gone += 1,
            Err(NotRetried::PayloadErased) => tally.erased += 1,
            Err(NotRetried::Problem(_)) => tally.failed += 1,
        }
    }
    let filters = Filters::of_query(form.text("query")).query();
    let parts = [filters, tally.query()];
    let query: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
    Ok(see_other(&join("/logs", &query.join("&"))))
}

/// `POST /logs/{delivery_id}/retry`.
pub(crate) async fn retry(
    viewer: Viewer,
    request: HttpRequest,
    api: web::Data<Api>,
) -> Result<HttpResponse, PageError> {
    let id: DeliveryId = path_id(&request, "delivery_id", "delivery")?;
    match retry_delivery(&api, viewer.organization_id()?, id, Rounds::Schedule).await {
        Ok(_) => Ok(see_other(&format!("/logs/{id}?done=queued"))),
        // the page shows the reason and the alternative
        Err(NotRetried::StillPending | NotRetried::WebhookGone | NotRetried::PayloadErased) => {
            Ok(see_other(&format!("/logs/{id}?done=refused")))
        }
        Err(NotRetried::Problem(problem)) => Err(problem.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_of_a_resend_can_not_be_forged_into_text() {
        let tally = ResendCounts { queued: 3, pending: 1, gone: 2, erased: 0, failed: 0 };
        assert_eq!(tally.query(), "queued=3&pending=1&gone=2");
        assert_eq!(ResendCounts::of(&Form::parse(tally.query().as_bytes())), tally);
        let shown = report(&Form::parse(tally.query().as_bytes())).into_string();
        assert!(
            shown.contains("3 deliveries were queued. 1 delivery is still pending. 2 deliveries can"),
            "{shown}"
        );
        let forged =
            report(&Form::parse(b"queued=<script>&gone=-1&pending=1e3&failed=your+account")).into_string();
        assert_eq!(forged, "");
    }
}
