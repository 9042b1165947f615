//! The report as one self-contained page.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::table::{conditions, figures};
use super::{Figures, Report, charts};
use crate::domain::time::UnixMillis;
use crate::load::error::LoadError;

const STYLE: &str = "\
body{font:16px/1.5 system-ui,sans-serif;max-width:900px;margin:2rem auto;padding:0 1rem;color:#1a202c;background:#fff}\
pre{overflow-x:auto;font-size:13px;line-height:1.3}svg{max-width:100%;height:auto}\
h1{margin-bottom:0}h2{margin-top:2rem}.muted{color:#555}";

/// The whole report.
pub fn page(report: &Report) -> Result<String, LoadError> {
    let mut sections = Vec::new();
    if let Some(alone) = &report.alone {
        sections.push(("Alone", section(alone)?));
    }
    sections.push(("RunFigures", section(&report.measured)?));
    let title = format!("ringback load: {}", report.name);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (title) }
                p { (report.scenario.summary) }
                p.muted {
                    (conditions(report)) br;
                    "ringback " (report.version) ", " (UnixMillis(report.started_at as i64).to_string())
                }
                pre { (figures(report)) }
                @for (name, section) in &sections {
                    @if sections.len() > 1 { h2 { (name) } }
                    (section)
                }
            }
        }
    };
    Ok(page.into_string())
}

fn section(figures: &Figures) -> Result<Markup, LoadError> {
    Ok(html! {
        h3 { "Throughput" }
        (PreEscaped(charts::throughput(&figures.seconds)?))
        h3 { "End-to-end latency over time" }
        (PreEscaped(charts::latency(&figures.seconds)?))
        h3 { "Distribution of the end-to-end latency" }
        (PreEscaped(charts::histogram(&figures.histogram)?))
    })
}
