//! The table of deliveries, shared by several pages.

use maud::{Markup, html};

use crate::dashboard::choices::Webhooks;
use crate::dashboard::viewer::Viewer;
use crate::dashboard::{components, time};
use crate::domain::delivery::DeliveryRecord;

/// With the id of a form, each row has a checkbox `id` that belongs to that form.
pub(crate) fn table(viewer: &Viewer, rows: &[DeliveryRecord], webhooks: &Webhooks, form: Option<&str>) -> Markup {
    html! {
        div.wide { table.stack.rows {
            thead { tr {
                @if form.is_some() {
                    th scope="col" { input type="checkbox" data-all="id" aria-label="Select all shown" autocomplete="off"; }
                }
                @for name in ["Status", "Event type and webhook", "Response", "Created"] { th scope="col" { (name) } }
            } }
            tbody { @for row in rows { (line(viewer, row, webhooks, form)) } }
        } }
    }
}

fn line(viewer: &Viewer, row: &DeliveryRecord, webhooks: &Webhooks, form: Option<&str>) -> Markup {
    html! {
        tr id={ "row-" (row.id) } {
            @if let Some(form) = form {
                td.pick {
                    input id={ "box-" (row.id) } type="checkbox" name="id" value=(row.id) form=(form)
                        aria-label={ "Select " (row.event_type) " " (row.id) } autocomplete="off";
                }
            }
            td.state { div data-label="Status" { (components::status(row.status)) } }
            td.subject {
                div.type data-label="Event type" { a href={ "/logs/" (row.id) } title={ "Delivery " (row.id) } { (components::event_type(&row.event_type)) } }
                div.small data-label="Webhook" { (webhooks.link(row.endpoint_id)) }
            }
            td.result {
                div data-label="Response" { (components::answer(row.response_code, row.error.as_deref())) }
                (attempts(row))
            }
            td.when {
                div data-label="Created" { (time::instant(row.created_at, viewer.zone())) }
                div.dim.small data-label="Next / finished" { (when(viewer, row)) }
            }
        }
    }
}

/// How many attempts there were; on a phone only the number.
pub(crate) fn attempts(row: &DeliveryRecord) -> Markup {
    let noun = if row.attempt_count == 1 { " attempt" } else { " attempts" };
    html! { div.dim.small.tries data-label="Attempts" { (row.attempt_count) span.wordy { (noun) } } }
}

/// When a pending delivery is attempted next, or when a finished one ended.
fn when(viewer: &Viewer, row: &DeliveryRecord) -> Markup {
    html! {
        @match (row.next_attempt_at, row.finished_at) {
            (Some(next), _) if time::is_due(next, viewer.now) => { span title=(time::utc(next)) { "due now" } }
            (Some(next), _) => { span.wordy { "next " } (time::relative(next, viewer.now, viewer.zone())) }
            (None, Some(finished)) => { span.wordy { "ended " } (time::relative(finished, viewer.now, viewer.zone())) }
            (None, None) => { span.dim { "–" } }
        }
    }
}
