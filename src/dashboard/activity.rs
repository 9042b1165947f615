//! Deliveries over time, in steps for charts.

use std::time::Duration;

use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::charts::{self, Series, Step};
use super::{components, time};
use crate::domain::statistics::{PERIOD, PeriodCounts, PeriodStatistics};
use crate::domain::time::UnixMillis;

/// Steps of a chart that does not reach back further, because there was nothing yet. Smaller: few broad bars. Larger: a bar at
/// the edge of an empty chart.
const FEWEST_STEPS: usize = 8;
/// With fewer steps since the beginning there is no chart.
const FEWEST_WITH_CHART: usize = 3;

/// The period that a chart covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChartRange {
    Hour,
    Day,
    Week,
}

impl ChartRange {
    pub(crate) const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Week];

    /// Parses the value in an address.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|range| range.as_str() == text)
    }

    /// For whoever chose none: a day, or an hour of what is no older.
    pub(crate) fn fitting(age: Duration) -> Self {
        if age < Self::Hour.step() * Self::Hour.steps() { Self::Hour } else { Self::Day }
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
    /// Whether what is shown began so lately that a chart would be one bar.
    is_too_young: bool,
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
        Self { range, steps, total, is_too_young: false }
    }

    /// Without the steps before the beginning of what is shown, but for a few.
    pub(crate) fn beginning(mut self, began: UnixMillis) -> Self {
        let length = self.range.step();
        let before = self.steps.iter().take_while(|(start, _)| *start + length <= began).count();
        let after = self.steps.len() - before;
        self.is_too_young = after < FEWEST_WITH_CHART;
        self.steps.drain(..self.steps.len().saturating_sub(after.max(FEWEST_STEPS)));
        self
    }

    /// Replaces a chart without data.
    pub(crate) fn nothing(&self) -> Option<Markup> {
        if self.total == PeriodCounts::default() {
            return Some(html! { p.dim { "No attempts in this period." } });
        }
        self.is_too_young
            .then(|| html! { p.dim { "Too early for a chart: it begins to show something after ten minutes." } })
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
    fn a_range_that_nobody_chose_is_no_longer_than_what_there_is() {
        let parsed = ["1h", "24h", "7d", "", "9y"].map(ChartRange::parse);
        assert_eq!(parsed, [Some(ChartRange::Hour), Some(ChartRange::Day), Some(ChartRange::Week), None, None]);
        let fitting = [0, 300, 3_599, 3_600, 900_000].map(|age| ChartRange::fitting(Duration::from_secs(age)));
        let [hour, day] = [ChartRange::Hour, ChartRange::Day];
        assert_eq!(fitting, [hour, hour, hour, day, day]);
    }

    #[test]
    fn a_chart_begins_with_what_it_shows_and_is_none_while_it_would_be_one_bar() {
        let began = |minutes: u64| NOW - Duration::from_secs(minutes * 60);
        let chart = |minutes| Activity::of(ChartRange::Hour, [&period(NOW, 3, 1)], NOW).beginning(began(minutes));
        assert!(chart(5).nothing().is_some() && chart(30).nothing().is_none());
        assert_eq!([5, 30, 50, 600].map(|minutes| chart(minutes).steps.len()), [8, 8, 11, 12]);
        assert_eq!(chart(30).steps.last().map(|(_, counts)| counts.succeeded), Some(3));
    }
}
