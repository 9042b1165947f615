//! Which organization uses how much of what all of them share, for the deployment's admin.

use actix_web::{HttpResponse, web};
use maud::{Markup, html};

use super::components::{self, number};
use super::error::PageError;
use super::layout::{self, Section};
use super::viewer::Viewer;
use crate::api::Api;
use crate::api::usage::{self, OrganizationUsageView, ResourceUse, UsageTotals, UsageView};

const TITLE: &str = "Usage";

/// `GET /usage`.
pub(crate) async fn read(viewer: Viewer, api: web::Data<Api>) -> Result<HttpResponse, PageError> {
    let view = usage::view(&api).await?;
    let content = html! {
        div.head {
            h1 { (TITLE) }
        }
        p.dim { "What organizations use now of what all of them share. Rates are averages over the last 10 to 20 seconds." }
        div.stack-live #live data-live hx-get=(viewer.address) hx-trigger="refresh" hx-select="#live" hx-swap="morph:outerHTML" hx-target="this" {
            (totals(&view.totals))
            (organizations(&view))
        }
    };
    Ok(layout::page(&viewer, Section::Usage, TITLE, &content))
}

fn totals(totals: &UsageTotals) -> Markup {
    let resources = [
        ("Webhooks being delivered to", totals.supervisors, plain as fn(usize) -> String),
        ("Attempts in flight", totals.attempts_in_flight, plain),
        ("Event bodies for delivery", totals.payload_bytes, bytes),
        ("Events to be stored", totals.uncommitted_events, plain),
        ("Request bodies", totals.body_bytes, bytes),
    ];
    html! {
        section.card {
            h2 { "All organizations" }
            dl.facts {
                @for (name, ResourceUse { used, capacity }, shown) in resources {
                    dt { (name) }
                    dd { (shown(used)) " of " (shown(capacity)) " (" (components::percent(used as u64, capacity as u64)) ")" }
                }
                dt { "Rows written" } dd { (rate(totals.rows_per_second)) " a second" }
                dt { "Reads" } dd { (rate(totals.reads_per_second)) " a second" }
                dt { "Refused" } dd { (rate(totals.refused_per_minute)) " a minute" }
            }
        }
    }
}

fn organizations(view: &UsageView) -> Markup {
    html! {
        section.card.flush {
            @if view.data.is_empty() {
                (components::empty("Nobody uses anything now", &html! { p { "An organization appears here while it publishes, reads or has deliveries on their way." } }))
            } @else {
                div.wide { table.stack {
                    thead { tr {
                        th scope="col" { "Organization" }
                        th scope="col" { "Webhooks" }
                        th scope="col" { "Attempts" }
                        th scope="col" { "Bodies" }
                        th scope="col" { "Storing" }
                        th scope="col" { "Rows/s" }
                        th scope="col" { "Reads/s" }
                        th scope="col" { "Waiting" }
                        th scope="col" { "Refused/" wbr; "min" }
                    } }
                    tbody { @for row in &view.data { (organization(row)) } }
                } }
            }
        }
        @if view.totals.organizations > view.data.len() {
            p.dim { "The " (view.data.len()) " largest of " (view.totals.organizations) " organizations." }
        }
    }
}

fn organization(row: &OrganizationUsageView) -> Markup {
    let id = row.organization_id;
    html! {
        tr id={ "usage-" (id) } {
            td data-label="Organization" {
                @match &row.name {
                    Some(name) => { a href={ "/organizations/" (id) } title=(id) { (name) } }
                    None => { span.dim title=(id) { "deleted" } }
                }
            }
            td data-label="Webhooks" { (plain(row.supervisors)) }
            td data-label="Attempts" { (plain(row.attempts_in_flight)) }
            td data-label="Bodies" { (bytes(row.payload_bytes + row.body_bytes)) }
            td data-label="Storing" { (plain(row.uncommitted_events)) }
            td data-label="Rows/s" { (rate(row.rows_per_second)) }
            td data-label="Reads/s" { (rate(row.reads_per_second)) }
            td data-label="Waiting" { (plain(row.waiting_reads + row.waiting_changes)) }
            td data-label="Refused/min" { (rate(row.refused_per_minute)) }
        }
    }
}

fn plain(value: usize) -> String {
    number(value as u64)
}

/// Small rates with a tenth.
fn rate(value: f64) -> String {
    if value < 10.0 { format!("{value:.1}") } else { number(value.round() as u64) }
}

fn bytes(value: usize) -> String {
    match value {
        0..1_024 => format!("{value} B"),
        1_024..1_048_576 => format!("{:.1} KiB", value as f64 / 1_024.0),
        _ => format!("{:.1} MiB", value as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!([0.0, 9.96, 12.4, 4_210.5].map(rate), ["0.0", "10.0", "12", "4,211"]);
        assert_eq!([0, 1_023, 1_536, 67_108_864].map(bytes), ["0 B", "1023 B", "1.5 KiB", "64.0 MiB"]);
    }
}
