//! The metrics of the contract, each declared once: see [`DECLARED`]. All of them are registered, described, and
//! exposed from the start.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use super::http_requests::HttpRequests;
use super::metric_spec::{Handle, counter, gauge, gauge_with, histogram};
pub use super::metric_spec::{Label, LabelValues, MetricKind, MetricSpec, OTHER};
use crate::domain::attempt::{AttemptError, LocalFault};
use crate::domain::cluster::MemberState;
use crate::domain::credentials::CertificateState;
use crate::domain::delivery::DeliveryStatus;
use crate::domain::event_types;
use crate::domain::health::EndpointState;

/// Of this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Samples of histograms wait in memory until they are folded into buckets: by a scrape, or this often.
const UPKEEP_PAUSE: Duration = Duration::from_secs(5);

/// From a receiver next door to the longest timeout that a webhook may have.
const DURATION_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// Around leases, which are 3 to 60 s (6 by default).
const TAKEOVER_BUCKETS: &[f64] = &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 15.0, 20.0, 30.0, 60.0, 90.0];
/// From a commit on an idle disk to one that makes publishers wait.
const COMMIT_BUCKETS: &[f64] = &[0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
const ROWS_BUCKETS: &[f64] =
    &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0, 20_000.0];

/// Reasons for the loss of spans: the queue was full, the collector did not take them, or does not want them.
pub(super) const SPAN_LOSSES: [&str; 3] = ["queue_full", "not_taken", "refused"];

/// Makes [`DECLARED`] and the handles from one list of declarations.
macro_rules! declare {
    ($($field:ident: $handle:ty = $spec:expr;)*) => {
        /// Every metric of the engine. `/metrics` exposes those of the process (`process_…`) as well.
        pub const DECLARED: &[MetricSpec] = &[$($spec,)*];

        /// The handles: looking a metric up by its name on each attempt would cost more than counting it.
        pub(super) struct Metrics {
            /// `None` where another program that embeds this library has a recorder already.
            exporter: Option<PrometheusHandle>,
            $(pub(super) $field: $handle,)*
        }

        impl Metrics {
            fn register(exporter: Option<PrometheusHandle>) -> Self {
                Self { exporter, $($field: <$handle>::register(&$spec),)* }
            }
        }
    };
}

declare! {
    build_info: GaugeByLabel = gauge_with(
        "ringback_build_info",
        "The version that runs; always 1",
        &[Label { name: "version", values: LabelValues::Closed(versions) }],
    );
    events_accepted: CounterByLabel = counter(
        "ringback_events_accepted_total",
        "Events accepted, by type; an organization's own types count as other",
        &[Label { name: "event_type", values: LabelValues::ClosedOrOther(event_type_names) }],
    );
    deliveries: CounterByLabel = counter(
        "ringback_deliveries_total",
        "Deliveries that ended, by outcome",
        &[Label { name: "outcome", values: LabelValues::Closed(delivery_outcomes) }],
    );
    attempts: CounterByLabel = counter(
        "ringback_attempts_total",
        "HTTP requests to receivers, by class of response or kind of error",
        &[Label { name: "outcome", values: LabelValues::ClosedOrOther(attempt_outcomes) }],
    );
    attempt_duration: Histogram = histogram(
        "ringback_attempt_duration_seconds",
        "Response time: from the start of an attempt to its response or error",
        DURATION_BUCKETS,
    );
    delivery_latency: Histogram = histogram(
        "ringback_delivery_latency_seconds",
        "From accepting an event to a receiver's 2xx, for first attempts only",
        DURATION_BUCKETS,
    );
    deliveries_pending: Gauge = gauge(
        "ringback_deliveries_pending",
        "Pending deliveries: due, waiting for a retry, or in flight",
    );
    oldest_pending: Gauge = gauge(
        "ringback_oldest_pending_age_seconds",
        "How long ago the oldest pending delivery was created, whatever it waits for; 0 when nothing is pending",
    );
    attempts_in_flight: Gauge = gauge("ringback_attempts_in_flight", "HTTP requests to receivers in flight");
    endpoints_active: Gauge = gauge("ringback_endpoints_active", "Endpoint supervisors in memory");
    webhooks: GaugeByLabel = gauge_with(
        "ringback_webhooks",
        "Webhooks by state, counted every 15 s, and less often when there are very many",
        &[Label { name: "state", values: LabelValues::Closed(webhook_states) }],
    );
    client_certificates: GaugeByLabel = gauge_with(
        "ringback_client_certificates",
        "Client certificates of active webhooks, by how close their end is: expiring is less than 21 days; counted every minute",
        &[Label { name: "state", values: LabelValues::Closed(certificate_states) }],
    );
    breakers_open: Gauge = gauge("ringback_breakers_open", "Endpoints whose circuit breaker is open");
    retention_lag: Gauge = gauge(
        "ringback_retention_lag_seconds",
        "How far retention is behind: how much older than the retention the next event to be removed is; 0 when there is none",
    );
    database_bytes: Gauge = gauge(
        "ringback_database_bytes",
        "How much room the database takes: the SQLite file with its write-ahead log, or what PostgreSQL says",
    );
    database_log_bytes: Gauge = gauge(
        "ringback_database_log_bytes",
        "Of these, the write-ahead log beside the SQLite file; 0 on PostgreSQL",
    );
    local_faults: CounterByLabel = counter(
        "ringback_local_faults_total",
        "Attempts that could not be made because this machine lacked files, memory or ports, or its egress proxy failed, by kind",
        &[Label { name: "kind", values: LabelValues::ClosedOrOther(local_fault_kinds) }],
    );
    trace_spans_exported: Counter =
        counter("ringback_trace_spans_exported_total", "Spans that the collector of traces took", &[]);
    trace_spans_dropped: CounterByLabel = counter(
        "ringback_trace_spans_dropped_total",
        "Spans that were lost, by reason: the queue was full, or the collector did not take them or refused them",
        &[Label { name: "reason", values: LabelValues::Closed(span_losses) }],
    );
    cluster_nodes: GaugeByLabel = gauge_with(
        "ringback_cluster_nodes",
        "Nodes that share the database, by state",
        &[Label { name: "state", values: LabelValues::Closed(node_states) }],
    );
    cluster_partitions: Gauge = gauge(
        "ringback_cluster_partitions_owned",
        "Of 256 parts of the webhooks, those that this node delivers to",
    );
    cluster_moves: CounterByLabel = counter(
        "ringback_cluster_partition_moves_total",
        "Partitions that this node gave away, or took from a dead one",
        &[Label { name: "reason", values: LabelValues::Closed(move_reasons) }],
    );
    cluster_fenced: Counter = counter(
        "ringback_cluster_fenced_commits_total",
        "How often this node lost its rights, and wrote nothing more with them",
        &[],
    );
    cluster_takeover: Histogram = histogram(
        "ringback_cluster_takeover_seconds",
        "How long a dead node had been silent when this one took over",
        TAKEOVER_BUCKETS,
    );
    cluster_pushes: CounterByLabel = counter(
        "ringback_cluster_pushes_total",
        "Messages to other nodes about what was accepted for their webhooks; what fails is found by looking, at most 1 s later",
        &[Label { name: "outcome", values: LabelValues::Closed(push_outcomes) }],
    );
    cluster_clock_offset: Gauge = gauge(
        "ringback_cluster_clock_offset_seconds",
        "The database's clock, whose time is used, minus this machine's",
    );
    batch_rows: Histogram = histogram(
        "ringback_persistence_batch_rows",
        "Events, deliveries and outcomes written by one commit",
        ROWS_BUCKETS,
    );
    commit: Histogram = histogram("ringback_persistence_commit_seconds", "Duration of a commit", COMMIT_BUCKETS);
    http_requests: HttpRequests = counter(
        "ringback_http_requests_total",
        "Requests to the API and the dashboard, by route pattern, method and status",
        &[
            Label { name: "route", values: LabelValues::Bounded("patterns such as /v1/webhooks/{id}, or unmatched") },
            Label { name: "method", values: LabelValues::Bounded("GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS, other") },
            Label { name: "status", values: LabelValues::Bounded("HTTP status codes") },
        ],
    );
}

fn event_type_names() -> Vec<&'static str> {
    event_types::BUILT_IN.iter().chain(event_types::OPERATIONAL).map(|event_type| event_type.name).collect()
}

fn delivery_outcomes() -> Vec<&'static str> {
    [DeliveryStatus::Success, DeliveryStatus::Failed, DeliveryStatus::Cancelled]
        .map(DeliveryStatus::as_str)
        .to_vec()
}

fn attempt_outcomes() -> Vec<&'static str> {
    let responses = ["success", "http_3xx", "http_4xx", "http_5xx"].into_iter();
    responses.chain(AttemptError::ALL.iter().map(|error| error.as_str())).collect()
}

fn versions() -> Vec<&'static str> {
    vec![VERSION]
}

fn webhook_states() -> Vec<&'static str> {
    EndpointState::ALL.map(EndpointState::as_str).to_vec()
}

fn certificate_states() -> Vec<&'static str> {
    CertificateState::ALL.map(CertificateState::as_str).to_vec()
}

fn span_losses() -> Vec<&'static str> {
    SPAN_LOSSES.to_vec()
}

fn local_fault_kinds() -> Vec<&'static str> {
    LocalFault::ALL.iter().map(|fault| fault.as_str()).collect()
}

fn node_states() -> Vec<&'static str> {
    [MemberState::Joining, MemberState::Live, MemberState::Leaving, MemberState::Fenced]
        .map(MemberState::as_str)
        .to_vec()
}

fn move_reasons() -> Vec<&'static str> {
    vec!["balance", "death", "leave"]
}

fn push_outcomes() -> Vec<&'static str> {
    vec!["delivered", "failed"]
}

/// Prints all metrics in Prometheus' text format.
pub(crate) type Render = Arc<dyn Fn() -> String + Send + Sync>;

impl Handle for Gauge {
    fn register(spec: &MetricSpec) -> Self {
        metrics::gauge!(spec.name)
    }
}

impl Handle for Counter {
    fn register(spec: &MetricSpec) -> Self {
        metrics::counter!(spec.name)
    }
}

impl Handle for Histogram {
    fn register(spec: &MetricSpec) -> Self {
        metrics::histogram!(spec.name)
    }
}

/// A gauge for each value of the metric's one label.
pub(super) struct GaugeByLabel(HashMap<&'static str, Gauge>);

impl Handle for GaugeByLabel {
    fn register(spec: &MetricSpec) -> Self {
        let series = |label: &'static Label| {
            let gauge = |value: &'static str| metrics::gauge!(spec.name, label.name => value);
            label.values.listed().into_iter().map(move |value| (value, gauge(value)))
        };
        Self(spec.labels.iter().flat_map(series).collect())
    }
}

impl GaugeByLabel {
    pub(super) fn set(&self, value: &str, count: usize) {
        if let Some(gauge) = self.0.get(value) {
            gauge.set(count as f64);
        }
    }
}

/// A counter for each listed value of the metric's one label.
pub(super) struct CounterByLabel {
    listed: HashMap<&'static str, Counter>,
    /// For values that are not listed; counts nothing if the label has no [`OTHER`].
    other: Counter,
}

impl Handle for CounterByLabel {
    fn register(spec: &MetricSpec) -> Self {
        let series = |label: &'static Label| {
            let counter = |value: &'static str| metrics::counter!(spec.name, label.name => value);
            label.values.listed().into_iter().map(move |value| (value, counter(value)))
        };
        let mut listed: HashMap<_, _> = spec.labels.iter().flat_map(series).collect();
        Self { other: listed.remove(OTHER).unwrap_or(Counter::noop()), listed }
    }
}

impl CounterByLabel {
    pub(super) fn get(&self, value: &str) -> &Counter {
        self.listed.get(value).unwrap_or(&self.other)
    }
}

/// Made at the first use, recorder included, so that no handle can be taken before the recorder exists.
pub(super) static METRICS: LazyLock<Metrics> = LazyLock::new(|| {
    let exporter = match recorder() {
        Ok(recorder) => {
            let exporter = recorder.handle();
            // fails only where a program that embeds the library has a recorder of its own
            metrics::set_global_recorder(recorder).is_ok().then_some(exporter)
        }
        Err(error) => {
            tracing::error!(%error, "metrics can't be built");
            None
        }
    };
    describe();
    let metrics = Metrics::register(exporter);
    metrics.build_info.set(VERSION, 1);
    metrics
});

fn recorder() -> Result<metrics_exporter_prometheus::PrometheusRecorder, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for spec in DECLARED {
        if let MetricKind::Histogram { buckets } = spec.kind {
            builder = builder.set_buckets_for_metric(Matcher::Full(spec.name.to_owned()), buckets)?;
        }
    }
    Ok(builder.build_recorder())
}

fn describe() {
    for MetricSpec { name, kind, help, .. } in DECLARED {
        match kind {
            MetricKind::Counter => metrics::describe_counter!(*name, *help),
            MetricKind::Gauge => metrics::describe_gauge!(*name, *help),
            MetricKind::Histogram { .. } => metrics::describe_histogram!(*name, *help),
        }
    }
    metrics_process::Collector::default().describe();
}

/// Sets up the metrics of this process and returns the function that prints them.
pub fn install_metrics() -> Render {
    LazyLock::force(&METRICS);
    if let Some(exporter) = METRICS.exporter.clone() {
        let upkeep = move || {
            loop {
                std::thread::sleep(UPKEEP_PAUSE);
                exporter.run_upkeep();
            }
        };
        // it lives as long as the process and owns nothing that must be closed
        if let Err(error) = std::thread::Builder::new().name(String::from("metrics-upkeep")).spawn(upkeep) {
            tracing::warn!(%error, "no thread for the upkeep of metrics; only scrapes fold samples into buckets");
        }
    }
    let process = metrics_process::Collector::default();
    Arc::new(move || {
        process.collect();
        METRICS.exporter.as_ref().map(PrometheusHandle::render).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The lines `# <keyword> <name> <text>` of the engine's own metrics, as (name, text).
    fn comments<'a>(text: &'a str, keyword: &str) -> BTreeSet<(&'a str, &'a str)> {
        let start = format!("# {keyword} ");
        let lines = text.lines().filter_map(|line| line.strip_prefix(&start)?.split_once(' '));
        lines.filter(|(name, _)| name.starts_with("ringback_")).collect()
    }

    #[test]
    fn metrics_are_exposed_exactly_as_they_are_declared() {
        let text = install_metrics()();
        let kinds = DECLARED.iter().map(|spec| (spec.name, spec.kind.as_str())).collect();
        assert_eq!(comments(&text, "TYPE"), kinds);
        assert_eq!(comments(&text, "HELP"), DECLARED.iter().map(|spec| (spec.name, spec.help)).collect());
        for spec in DECLARED {
            match (spec.kind, spec.labels) {
                (MetricKind::Histogram { buckets }, []) => {
                    let start = format!("{}_bucket{{le=\"", spec.name);
                    let bounds = text.lines().filter_map(|line| line.strip_prefix(&start)?.split_once('"'));
                    let bounds: Vec<f64> = bounds.filter_map(|(bound, _)| bound.parse().ok()).collect();
                    assert_eq!(bounds, buckets.iter().copied().chain([f64::INFINITY]).collect::<Vec<_>>());
                }
                (_, []) => assert!(text.contains(&format!("\n{} ", spec.name)), "{} has no value", spec.name),
                (_, [label]) => {
                    let start = format!("{}{{{}=\"", spec.name, label.name);
                    let values = text.lines().filter_map(|line| line.strip_prefix(&start)?.split_once("\"} "));
                    let values: BTreeSet<&str> = values.map(|(value, _)| value).collect();
                    assert_eq!(values, label.values.listed().into_iter().collect(), "{}", spec.name);
                }
                (_, labels) => {
                    let start = format!("{}{{", spec.name);
                    let series = text.lines().find_map(|line| line.strip_prefix(&start)).unwrap();
                    let names = series.split("\",").filter_map(|label| label.split_once('='));
                    let names: Vec<&str> = names.map(|(name, _)| name).collect();
                    assert_eq!(names, labels.iter().map(|label| label.name).collect::<Vec<_>>());
                }
            }
        }
    }

    #[test]
    fn every_metric_of_the_contract_is_exposed_from_the_start() {
        let text = install_metrics()();
        for line in [
            "ringback_events_accepted_total{event_type=\"other\"}",
            "ringback_deliveries_total{outcome=\"success\"}",
            "ringback_deliveries_total{outcome=\"failed\"}",
            "ringback_deliveries_total{outcome=\"cancelled\"}",
            "ringback_attempts_total{outcome=\"success\"}",
            "ringback_attempts_total{outcome=\"blocked_address\"}",
            "ringback_attempt_duration_seconds_bucket{le=\"+Inf\"}",
            "ringback_delivery_latency_seconds_bucket{le=\"0.001\"}",
            concat!("ringback_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
            "ringback_deliveries_pending ",
            "ringback_oldest_pending_age_seconds ",
            "ringback_webhooks{state=\"healthy\"} ",
            "ringback_database_bytes ",
            "ringback_attempts_in_flight ",
            "ringback_endpoints_active ",
            "ringback_breakers_open ",
            "ringback_retention_lag_seconds ",
            "ringback_local_faults_total{kind=\"open_files\"} ",
            "ringback_persistence_batch_rows_bucket{le=\"2000\"}",
            "ringback_persistence_commit_seconds_count ",
            "ringback_http_requests_total{route=\"/v1/events\",method=\"POST\",status=\"202\"}",
            "process_cpu_seconds_total ",
            "process_resident_memory_bytes ",
            "process_open_fds ",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let name = line.split(' ').next().unwrap_or_default();
            assert!(text.contains(&format!("# HELP {name} ")), "{name} has no description");
        }
    }

    #[test]
    fn a_value_that_is_not_listed_counts_as_other() {
        let before = value("ringback_events_accepted_total{event_type=\"other\"}");
        METRICS.events_accepted.get("acme.invented.type").increment(1);
        let text = install_metrics()();
        assert!(value("ringback_events_accepted_total{event_type=\"other\"}") > before);
        assert!(!text.contains("acme.invented"));
    }

    fn value(series: &str) -> f64 {
        let text = install_metrics()();
        let line = text.lines().find(|line| line.starts_with(series)).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }
}
