//! Deliveries over time, in steps for charts.

use std::time::Duration;

use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::charts::{self, Series, Step};
use super::{components, time};
use crate::domain::statistics::{PERIOD, PeriodCounts, PeriodStatistics};
use crate::domain::time::UnixMillis;

/// The period that a chart covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChartRange {
    Hour,
    Day,
    Week,
}

impl ChartRange {
    pub(crate) const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Week];

    /// Parses the value in an address; a day if it is unknown.
    pub(crate) fn parse(text: &str) -> Self {
        Self::ALL.into_iter().find(|range| range.as_str() == text).unwrap_or(Self::Day)
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::Day => "24h",
            Self::Week => "7d",
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hour => "Last hour",
            Self::Day => "Last 24 hours",
            Self::Week => "Last 7 days",
        }
    }

    fn steps(self) -> u32 {
        match self {
            Self::Hour => 12,
            Self::Day => 48,
            Self::Week => 84,
        }
    }

    /// The length of a step, a multiple of the statistics' period.
    fn step(self) -> Duration {
        match self {
            Self::Hour => PERIOD,
            Self::Day => PERIOD * 6,
            Self::Week => PERIOD * 24,
        }
    }

    /// The start of the first step; steps begin at round times.
    pub(crate) fn since(self, now: UnixMillis) -> UnixMillis {
        let length = self.step().as_millis() as i64;
        let last = UnixMillis(now.0.div_euclid(length) * length);
        last - self.step() * (self.steps() - 1)
    }
}

/// The counts of each step and their total.
pub(crate) struct Activity {
    range: ChartRange,
    steps: Vec<(UnixMillis, PeriodCounts)>,
    pub total: PeriodCounts,
}

impl Activity {
    /// Sorts statistics into steps; the last step contains the current period.
    pub(crate) fn of<'a>(
        range: ChartRange,
        statistics: impl IntoIterator<Item = &'a PeriodStatistics>,
        now: UnixMillis,
    ) -> Self {
        let (since, length) = (range.since(now), range.step());
        let mut steps: Vec<(UnixMillis, PeriodCounts)> =
            (0..range.steps()).map(|at| (since + length * at, PeriodCounts::default())).collect();
        let mut total = PeriodCounts::default();
        for period in statistics {
            let offset = period.period_start.0 - since.0;
            let at = usize::try_from(offset.div_euclid(length.as_millis() as i64)).ok();
            if let Some((_, counts)) = at.and_then(|at| steps.get_mut(at)) {
                counts.merge(&period.counts);
                total.merge(&period.counts);
            }
        }
        Self { range, steps, total }
    }

    /// Replaces a chart without data.
    fn nothing(&self) -> Option<Markup> {
        let help = || html! { p.dim { "No attempts in this period." } };
        (self.total == PeriodCounts::default()).then(help)
    }

    fn labels(&self, zone: &TimeZone) -> Vec<Step> {
        let format = if self.range == ChartRange::Week { "%b %-d" } else { "%H:%M" };
        let step = |(start, counts): &(UnixMillis, PeriodCounts)| {
            let end = *start + self.range.step();
            let latency = |percent| counts.latency.percentile(percent).map_or("–".to_owned(), time::milliseconds);
            let title = format!(
                "{} – {}\n{} delivered\n{} failed\n{} attempts retried\np50 {}, p95 {}, p99 {}",
                time::local(*start, zone, "%b %-d, %H:%M"),
                time::local(end, zone, "%H:%M"),
                components::number(counts.succeeded),
                components::number(counts.failed),
                components::number(counts.retried),
                latency(50),
                latency(95),
                latency(99),
            );
            Step { label: time::local(*start, zone, format), title }
        };
        self.steps.iter().map(step).collect()
    }

    fn series(&self, value: impl Fn(&PeriodCounts) -> Option<f64>) -> Vec<Option<f64>> {
        self.steps.iter().map(|(_, counts)| value(counts)).collect()
    }

    /// Deliveries, one bar per step.
    pub(crate) fn deliveries(&self, zone: &TimeZone) -> Markup {
        if let Some(nothing) = self.nothing() {
            return nothing;
        }
        let series = [
            Series { name: "Delivered", class: "ok", values: self.series(|it| Some(it.succeeded as f64)) },
            Series {
                name: "Failed attempt, retried",
                class: "retry",
                values: self.series(|it| Some(it.retried as f64)),
            },
            Series { name: "Failed", class: "bad", values: self.series(|it| Some(it.failed as f64)) },
        ];
        let summary = format!(
            "Deliveries, {}: {} delivered, {} failed, {} attempts failed and were retried",
            self.range.name().to_lowercase(),
            components::number(self.total.succeeded),
            components::number(self.total.failed),
            components::number(self.total.retried),
        );
        charts::bars(&summary, &self.labels(zone), &series)
    }

    /// The share of finished deliveries that succeeded.
    pub(crate) fn success_rate(&self, zone: &TimeZone) -> Markup {
        if let Some(nothing) = self.nothing() {
            return nothing;
        }
        let share = |it: &PeriodCounts| {
            let ended = it.succeeded + it.failed;
            (ended > 0).then(|| it.succeeded as f64 / ended as f64 * 100.0)
        };
        let series = [Series { name: "Success rate", class: "l1", values: self.series(share) }];
        let summary = format!("Success rate, {}: {}", self.range.name().to_lowercase(), self.rate());
        charts::percentages(&summary, &self.labels(zone), &series)
    }

    /// Percentiles of the response time.
    pub(crate) fn latency(&self, zone: &TimeZone) -> Markup {
        if let Some(nothing) = self.nothing() {
            return nothing;
        }
        let percentile = |percent| self.series(|it| it.latency.percentile(percent).map(|value| value as f64));
        let series = [
            Series { name: "p50", class: "l1", values: percentile(50) },
            Series { name: "p95", class: "l2", values: percentile(95) },
            Series { name: "p99", class: "l3", values: percentile(99) },
        ];
        let total = |percent| self.total.latency.percentile(percent).map_or("–".to_owned(), time::milliseconds);
        let summary = format!(
            "Response time, {}: p50 {}, p95 {}, p99 {}",
            self.range.name().to_lowercase(),
            total(50),
            total(95),
            total(99)
        );
        charts::lines(&summary, &self.labels(zone), &series, |value| time::milliseconds(value as u64))
    }

    pub(crate) fn rate(&self) -> String {
        components::percent(self.total.succeeded, self.total.succeeded + self.total.failed)
    }

    /// A chart as wide as a word.
    pub(crate) fn spark(&self) -> Markup {
        let steps: Vec<(u64, u64)> =
            self.steps.iter().map(|(_, counts)| (counts.succeeded, counts.failed + counts.retried)).collect();
        let summary = format!(
            "{}: {} delivered, {} failed, {} attempts retried",
            self.range.name(),
            components::number(self.total.succeeded),
            components::number(self.total.failed),
            components::number(self.total.retried)
        );
        charts::spark(&summary, &steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::statistics::period_start;

    const NOW: UnixMillis = UnixMillis(1_734_345_045_007);

    fn period(at: UnixMillis, succeeded: u64, failed: u64) -> PeriodStatistics {
        let counts = PeriodCounts { succeeded, failed, ..PeriodCounts::default() };
        PeriodStatistics { period_start: period_start(at), counts }
    }

    #[test]
    fn each_period_of_a_range_is_counted_in_exactly_one_step() {
        for range in ChartRange::ALL {
            let length = range.step() * range.steps();
            let periods = (length.as_millis() / PERIOD.as_millis()) as u32;
            let within: Vec<PeriodStatistics> =
                (0..periods).map(|at| period(range.since(NOW) + PERIOD * at, 1, 0)).collect();
            let activity = Activity::of(range, &within, NOW);
            assert_eq!(activity.total.succeeded, u64::from(periods), "{range:?}");
            let each = u64::from(periods / range.steps());
            assert!(activity.steps.iter().all(|(_, counts)| counts.succeeded == each), "{range:?}");
            let before = period(range.since(NOW) - PERIOD, 1, 1);
            assert_eq!(Activity::of(range, [&before], NOW).total, PeriodCounts::default());
        }
    }

    #[test]
    fn the_current_period_is_in_the_last_step() {
        for range in ChartRange::ALL {
            let activity = Activity::of(range, [&period(NOW, 3, 1)], NOW);
            let (start, counts) = activity.steps.last().unwrap();
            assert_eq!((counts.succeeded, activity.rate().as_str()), (3, "75.0 %"), "{range:?}");
            assert!(*start <= NOW && NOW < *start + range.step());
        }
    }

    #[test]
    fn an_unknown_range_means_a_day() {
        assert_eq!(
            ["1h", "24h", "7d", "", "9y"].map(ChartRange::parse),
            [ChartRange::Hour, ChartRange::Day, ChartRange::Week, ChartRange::Day, ChartRange::Day]
        );
    }
}
