//! The report as text for a terminal.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, Table};

use super::report::{FairnessReport, FairnessRow, FairnessVerdict};
use crate::load::report::table::{duration, thousands};

/// The report as a table, followed by what is not met.
pub fn text(report: &FairnessReport) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header([
        "aggressor",
        "publish p50",
        "publish p99",
        "end to end p50",
        "end to end p99",
        "victim's 429/503, errors, missing",
        "aggressor has",
        "requests",
        "2xx",
        "429/503",
        "attempts",
        "",
    ]);
    for row in &report.rows {
        table.add_row(cells(row));
    }
    let mut text = format!("{}\n{table}\n", conditions(report));
    for row in &report.rows {
        for line in &row.broken {
            text.push_str(&format!("{} {}: {line}\n", mark(row.verdict), row.aggressor));
        }
    }
    text
}

fn conditions(report: &FairnessReport) -> String {
    let FairnessReport { processors, database, scale, rounds, turn_seconds, events_per_second, .. } = report;
    format!(
        "fairness: what a victim with {events_per_second} events/s notices of another organization (alone → beside it)\n\
         {processors} processors, database {database}, scale {scale}, {rounds} × {turn_seconds} s alone and beside"
    )
}

fn cells(row: &FairnessRow) -> Vec<Cell> {
    let (alone, beside, counts) = (&row.alone, &row.beside, &row.counts);
    let both = |alone: u64, beside: u64| format!("{} → {}", duration(alone), duration(beside));
    let errors = |of: &super::report::VictimFigures| of.errors.values().sum::<u64>();
    let trouble = format!(
        "{} {} {}",
        alone.refused + beside.refused,
        errors(alone) + errors(beside),
        alone.lost + beside.lost
    );
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    vec![
        Cell::new(row.aggressor),
        right(both(alone.publish_latency.p50, beside.publish_latency.p50)),
        right(both(alone.publish_latency.p99, beside.publish_latency.p99)),
        right(both(alone.end_to_end.p50, beside.end_to_end.p50)),
        right(both(alone.end_to_end.p99, beside.end_to_end.p99)),
        right(trouble),
        right(row.prepared.clone()),
        right(thousands(counts.requests)),
        right(thousands(counts.accepted)),
        right(thousands(counts.refused)),
        right(thousands(counts.attempts)),
        Cell::new(format!("{} {}", mark(row.verdict), word(row.verdict))),
    ]
}

fn mark(verdict: FairnessVerdict) -> &'static str {
    match verdict {
        FairnessVerdict::Met => "✓",
        FairnessVerdict::NotMet => "✗",
        FairnessVerdict::NotAggressive | FairnessVerdict::NotMeasured => "?",
    }
}

fn word(verdict: FairnessVerdict) -> &'static str {
    match verdict {
        FairnessVerdict::Met => "met",
        FairnessVerdict::NotMet => "not met",
        FairnessVerdict::NotAggressive => "not aggressive",
        FairnessVerdict::NotMeasured => "not measured",
    }
}

#[cfg(test)]
mod tests {
    use super::super::aggressor::Aggressor;
    use super::*;

    #[test]
    fn a_row_that_is_not_met_says_why_below_the_table() {
        let report = FairnessReport {
            version: "0",
            database: "sqlite".to_owned(),
            processors: 2,
            started_at: 0,
            scale: 0.5,
            rounds: 2,
            turn_seconds: 6.0,
            events_per_second: 50.0,
            rows: vec![FairnessRow::failed(Aggressor::Tests, "no room".to_owned())],
        };
        let text = text(&report);
        assert!(text.contains("tests") && text.contains("? not measured"), "{text}");
        assert!(text.ends_with("? tests: no room\n"), "{text}");
    }
}
