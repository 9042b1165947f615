//! The report as text for a terminal.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, Table};

use super::{Figures, Ratio, RatioBound, Report};
use crate::load::latency::Quantiles;

/// The report with its tables and ratios.
pub fn text(report: &Report) -> String {
    let (name, summary) = (&report.name, &report.scenario.summary);
    format!("{name}: {summary}\n{}\n{}", conditions(report), figures(report))
}

pub(crate) fn figures(report: &Report) -> String {
    let mut text = String::new();
    let mut columns = vec![("measured", &report.measured)];
    if let Some(alone) = &report.alone {
        columns.insert(0, ("alone", alone));
    }
    text.push_str(&rates(report, &columns).to_string());
    text.push('\n');
    text.push_str(&latencies(report, &columns).to_string());
    text.push('\n');
    for line in extras(report) {
        text.push_str(&format!("{line}\n"));
    }
    for one in &report.ratios {
        text.push_str(&format!("{}\n", ratio(one)));
    }
    text
}

/// One ratio with its bound.
pub(crate) fn ratio(ratio: &Ratio) -> String {
    let bound = match ratio.bound {
        None => String::new(),
        Some(RatioBound::AtLeast(least)) => format!(" (at least {least})"),
        Some(RatioBound::AtMost(most)) => format!(" (at most {most})"),
    };
    let mark = match (ratio.bound, ratio.holds()) {
        (None, _) => "·",
        (Some(_), true) => "✓",
        (Some(_), false) => "✗",
    };
    format!("{mark} {}: {:.3}{bound}", ratio.name, ratio.value)
}

/// The conditions of the measurement.
pub(crate) fn conditions(report: &Report) -> String {
    let scenario = &report.scenario;
    let pace = match scenario.publish.rate {
        Some(rate) => format!("{rate} events/s"),
        None => format!("{} connections, as fast as possible", scenario.publish.connections),
    };
    format!(
        "{} processors, database {}, {} organizations × {} webhooks, {} bytes of data, batches of {}, {pace}",
        report.processors,
        report.database,
        scenario.organizations,
        scenario.webhooks,
        scenario.payload_bytes,
        scenario.publish.batch,
    )
}

fn new_table(header: &str, columns: &[(&str, &Figures)]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(std::iter::once(header).chain(columns.iter().map(|(name, _)| *name)).map(Cell::new));
    table
}

fn row(table: &mut Table, name: &str, cells: impl IntoIterator<Item = String>) {
    let cells = cells.into_iter().map(|cell| Cell::new(cell).set_alignment(CellAlignment::Right));
    table.add_row(std::iter::once(Cell::new(name)).chain(cells));
}

fn rates(report: &Report, columns: &[(&str, &Figures)]) -> Table {
    let mut table = new_table("", columns);
    let mut each = |name: &str, cell: &dyn Fn(&Figures) -> String| {
        row(&mut table, name, columns.iter().map(|(_, figures)| cell(figures)));
    };
    each("events accepted", &|it| thousands(it.accepted));
    each("accepted/s", &|it| thousands(it.accepted_per_second as u64));
    each("deliveries", &|it| thousands(it.deliveries));
    each("deliveries/s", &|it| thousands(it.deliveries_per_second as u64));
    each("lost", &|it| thousands(it.lost));
    each("duplicated", &|it| thousands(it.duplicated));
    each("answered 429 or 503, repeated", &|it| thousands(it.refused));
    each("not acknowledged", &|it| thousands(it.errors.values().sum()));
    each("engine's CPU per delivery", &|it| {
        optional(it.cpu_micros_per_delivery, |micros| format!("{micros:.1} µs"))
    });
    each("disk per delivery", &|it| optional(it.disk_bytes_per_delivery, |bytes| format!("{bytes:.0} bytes")));
    each("engine's peak memory", &|it| optional(it.resident, |resident| mebibytes(resident.peak)));
    if let Some(baseline) = &report.baseline {
        let cells = columns.iter().map(|_| thousands(baseline.posts_per_second as u64));
        row(&mut table, "baseline posts/s, without an engine", cells);
    }
    table
}

fn latencies(report: &Report, columns: &[(&str, &Figures)]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["latency", "p50", "p90", "p99", "p99.9", "max"]);
    for (name, figures) in columns {
        quantiles(&mut table, &format!("publish ({name})"), figures.publish_latency);
        quantiles(&mut table, &format!("end to end ({name})"), figures.end_to_end);
    }
    if let Some(baseline) = &report.baseline {
        quantiles(&mut table, "baseline round trip", baseline.round_trip);
        quantiles(&mut table, "one sync of the disk", baseline.sync);
    }
    table
}

fn quantiles(table: &mut Table, name: &str, of: Quantiles) {
    row(table, name, [of.p50, of.p90, of.p99, of.p999, of.max].map(duration));
}

fn extras(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(backlog) = &report.backlog {
        lines.push(format!(
            "backlog: {} pending, engine's memory {}, drained in {:.1} s ({}/s)",
            thousands(backlog.pending),
            optional(backlog.resident_bytes, mebibytes),
            backlog.drain_seconds,
            thousands(backlog.drained_per_second as u64),
        ));
    }
    if let Some(recovery) = &report.recovery {
        lines.push(format!(
            "recovery: ready {:.2} s after its start, first delivery after {:.2} s",
            recovery.ready_seconds, recovery.first_delivery_seconds
        ));
    }
    for (reason, count) in report.alone.iter().chain([&report.measured]).flat_map(|figures| &figures.errors) {
        lines.push(format!("not acknowledged: {} × {reason}", thousands(*count)));
    }
    lines
}

fn optional<T>(value: Option<T>, show: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "–".to_owned(), show)
}

/// With a comma between thousands.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Microseconds in a readable unit.
pub(crate) fn duration(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
        _ => format!("{:.2} s", micros as f64 / 1e6),
    }
}

/// Bytes as MiB.
pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{:.0} MiB", bytes as f64 / 1_048_576.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_units_are_readable() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([7, 1_500, 2_340_000].map(duration), ["7 µs", "1.5 ms", "2.34 s"]);
        assert_eq!(mebibytes(64 * 1_048_576), "64 MiB");
    }

    #[test]
    fn a_ratio_is_marked_by_whether_it_is_within_its_bound() {
        let with = |value, bound| ratio(&Ratio { name: "a to b", value, bound });
        assert_eq!(with(0.5, Some(RatioBound::AtLeast(0.4))), "✓ a to b: 0.500 (at least 0.4)");
        assert_eq!(with(3.5, Some(RatioBound::AtMost(3.0))), "✗ a to b: 3.500 (at most 3)");
        assert_eq!(with(f64::NAN, Some(RatioBound::AtMost(3.0))).chars().next(), Some('✗'));
        assert_eq!(with(1.0, None).chars().next(), Some('·'));
    }
}
