//! What a metric is, apart from its value.

/// The declaration of one metric. Everything that knows metrics by name comes from it: registration, the description on
/// `/metrics`, the handles, and the table in the documentation.
#[derive(Debug, Clone, Copy)]
pub struct MetricSpec {
    /// As on `/metrics`.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub kind: MetricKind,
    /// One line for operators.
    pub help: &'static str,
    /// None for most.
    pub labels: &'static [Label],
}

/// The kinds of Prometheus that are used.
#[derive(Debug, Clone, Copy)]
pub enum MetricKind {
    /// Only grows; starts at 0 with the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations.
    Histogram {
        /// Upper bounds; `+Inf` is added.
        buckets: &'static [f64],
    },
}

/// A label of a metric.
#[derive(Debug, Clone, Copy)]
pub struct Label {
    /// For example `outcome`.
    pub name: &'static str,
    pub values: LabelValues,
}

/// The values that a label may have. Nothing that a client chooses is a label.
#[derive(Debug, Clone, Copy)]
pub enum LabelValues {
    /// These; each has a series from the start.
    Closed(fn() -> Vec<&'static str>),
    /// These, and [`OTHER`] for every other value; each has a series from the start.
    ClosedOrOther(fn() -> Vec<&'static str>),
    /// Bounded by the program, but not listed here. The text says by what.
    Bounded(&'static str),
}

/// The value of a label that counts everything that is not listed.
pub const OTHER: &str = "other";

impl MetricKind {
    /// As in Prometheus' `# TYPE` lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram { .. } => "histogram",
        }
    }
}

impl LabelValues {
    /// Every value that is listed, [`OTHER`] included; none if the values are only bounded.
    pub fn listed(self) -> Vec<&'static str> {
        match self {
            Self::Closed(values) => values(),
            Self::ClosedOrOther(values) => values().into_iter().chain([OTHER]).collect(),
            Self::Bounded(_) => Vec::new(),
        }
    }
}

pub(super) const fn counter(name: &'static str, help: &'static str, labels: &'static [Label]) -> MetricSpec {
    MetricSpec { name, kind: MetricKind::Counter, help, labels }
}

pub(super) const fn gauge(name: &'static str, help: &'static str) -> MetricSpec {
    MetricSpec { name, kind: MetricKind::Gauge, help, labels: &[] }
}

pub(super) const fn gauge_with(name: &'static str, help: &'static str, labels: &'static [Label]) -> MetricSpec {
    MetricSpec { name, kind: MetricKind::Gauge, help, labels }
}

pub(super) const fn histogram(name: &'static str, help: &'static str, buckets: &'static [f64]) -> MetricSpec {
    MetricSpec { name, kind: MetricKind::Histogram { buckets }, help, labels: &[] }
}

/// How the engine counts one metric.
pub(super) trait Handle {
    fn register(spec: &MetricSpec) -> Self;
}
