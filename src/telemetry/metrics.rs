//! The metrics of the contract: registered once, described, and present from the start.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Unit};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use crate::domain::attempt::{AttemptError, LocalFault};
use crate::domain::event_types;

/// What counts as the value of a label that is not one of the known ones.
pub(super) const OTHER: &str = "other";
/// Samples of histograms wait in memory until they are folded into buckets: by a scrape, or this often.
const UPKEEP_PAUSE: Duration = Duration::from_secs(5);

const ACCEPTED: &str = "ringback_events_accepted_total";
const DELIVERIES: &str = "ringback_deliveries_total";
const ATTEMPTS: &str = "ringback_attempts_total";
const ATTEMPT_DURATION: &str = "ringback_attempt_duration_seconds";
const DELIVERY_LATENCY: &str = "ringback_delivery_latency_seconds";
const PENDING: &str = "ringback_deliveries_pending";
const IN_FLIGHT: &str = "ringback_attempts_in_flight";
const ACTIVE: &str = "ringback_endpoints_active";
const BREAKERS: &str = "ringback_breakers_open";
const LOCAL_FAULTS: &str = "ringback_local_faults_total";
const BATCH_ROWS: &str = "ringback_persistence_batch_rows";
const COMMIT: &str = "ringback_persistence_commit_seconds";
const HTTP_REQUESTS: &str = "ringback_http_requests_total";

/// From a receiver next door to the longest timeout that a webhook may have.
const DURATION_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// From a commit on an idle disk to one that makes publishers wait.
const COMMIT_BUCKETS: &[f64] = &[0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
const ROWS_BUCKETS: &[f64] =
    &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0, 20_000.0];

/// Prints all metrics in Prometheus' text format.
pub(crate) type Render = Arc<dyn Fn() -> String + Send + Sync>;

/// The handles; looking a metric up by its name on each attempt would cost more than counting it.
pub(super) struct Metrics {
    /// `None` in tests that could not build a recorder.
    handle: Option<PrometheusHandle>,
    accepted: Labelled,
    pub delivered: Counter,
    pub failed: Counter,
    pub cancelled: Counter,
    attempts: Labelled,
    pub attempt_duration: Histogram,
    pub delivery_latency: Histogram,
    pub deliveries_pending: Gauge,
    pub attempts_in_flight: Gauge,
    pub endpoints_active: Gauge,
    pub breakers_open: Gauge,
    local_faults: Labelled,
    pub batch_rows: Histogram,
    pub commit: Histogram,
}

/// A counter for each known value of its one label.
struct Labelled {
    known: HashMap<&'static str, Counter>,
    /// Counts what is not known.
    other: Counter,
}

impl Labelled {
    fn register(name: &'static str, label: &'static str, values: impl Iterator<Item = &'static str>) -> Self {
        let counter = |value: &'static str| metrics::counter!(name, label => value);
        let known = values.map(|value| (value, counter(value))).collect();
        Self { known, other: counter(OTHER) }
    }

    fn get(&self, value: &str) -> &Counter {
        self.known.get(value).unwrap_or(&self.other)
    }
}

/// Made at the first use, recorder included, so that no handle can be taken before the recorder exists.
pub(super) static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::register);

impl Metrics {
    fn register() -> Self {
        let handle = match recorder() {
            Ok(recorder) => {
                let handle = recorder.handle();
                // fails only where a program that embeds the library counts on its own
                metrics::set_global_recorder(recorder).is_ok().then_some(handle)
            }
            Err(error) => {
                tracing::error!(%error, "metrics can't be built");
                None
            }
        };
        describe();
        let attempt_outcomes = ["success", "http_3xx", "http_4xx", "http_5xx"].into_iter();
        let event_types = event_types::BUILT_IN.iter().chain(event_types::OPERATIONAL);
        metrics::counter!(HTTP_REQUESTS, "route" => "/v1/events", "method" => "POST", "status" => "202")
            .absolute(0);
        Self {
            handle,
            accepted: Labelled::register(ACCEPTED, "event_type", event_types.map(|event_type| event_type.name)),
            delivered: metrics::counter!(DELIVERIES, "outcome" => "success"),
            failed: metrics::counter!(DELIVERIES, "outcome" => "failed"),
            cancelled: metrics::counter!(DELIVERIES, "outcome" => "cancelled"),
            attempts: Labelled::register(
                ATTEMPTS,
                "outcome",
                attempt_outcomes.chain(AttemptError::ALL.iter().map(|error| error.as_str())),
            ),
            attempt_duration: metrics::histogram!(ATTEMPT_DURATION),
            delivery_latency: metrics::histogram!(DELIVERY_LATENCY),
            deliveries_pending: metrics::gauge!(PENDING),
            attempts_in_flight: metrics::gauge!(IN_FLIGHT),
            endpoints_active: metrics::gauge!(ACTIVE),
            breakers_open: metrics::gauge!(BREAKERS),
            local_faults: Labelled::register(
                LOCAL_FAULTS,
                "kind",
                LocalFault::ALL.iter().map(|fault| fault.as_str()),
            ),
            batch_rows: metrics::histogram!(BATCH_ROWS),
            commit: metrics::histogram!(COMMIT),
        }
    }

    pub(super) fn accepted(&self, event_type: &str) -> &Counter {
        self.accepted.get(event_type)
    }

    pub(super) fn attempts(&self, outcome: &str) -> &Counter {
        self.attempts.get(outcome)
    }

    pub(super) fn local_faults(&self, kind: &str) -> &Counter {
        self.local_faults.get(kind)
    }
}

/// Counts an answered request; `route` is the pattern that matched, never the path.
pub(super) fn count_http_request(route: &str, method: &str, status: u16) {
    LazyLock::force(&METRICS);
    let method = match method {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => OTHER,
    };
    let labels = [("route", route.to_owned()), ("method", method.to_owned()), ("status", status.to_string())];
    metrics::counter!(HTTP_REQUESTS, &labels).increment(1);
}

fn recorder() -> Result<metrics_exporter_prometheus::PrometheusRecorder, BuildError> {
    let exactly = |name: &str| Matcher::Full(name.to_owned());
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(exactly(ATTEMPT_DURATION), DURATION_BUCKETS)?
        .set_buckets_for_metric(exactly(DELIVERY_LATENCY), DURATION_BUCKETS)?
        .set_buckets_for_metric(exactly(COMMIT), COMMIT_BUCKETS)?
        .set_buckets_for_metric(exactly(BATCH_ROWS), ROWS_BUCKETS)?;
    Ok(builder.build_recorder())
}

fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_counter!(ACCEPTED, "Events accepted, by type; an organization's own types count as other");
    describe_counter!(DELIVERIES, "Deliveries that reached their end, by outcome");
    describe_counter!(ATTEMPTS, "HTTP requests to receivers, by class of answer or kind of failure");
    describe_histogram!(ATTEMPT_DURATION, Unit::Seconds, "From the start of an attempt to its answer or failure");
    describe_histogram!(
        DELIVERY_LATENCY,
        Unit::Seconds,
        "From accepting an event to its acknowledgement, first attempts only"
    );
    describe_gauge!(PENDING, "Deliveries that wait for their next attempt");
    describe_gauge!(IN_FLIGHT, "HTTP requests to receivers under way");
    describe_gauge!(ACTIVE, "Endpoint supervisors alive");
    describe_gauge!(BREAKERS, "Endpoints whose circuit breaker is open");
    describe_counter!(LOCAL_FAULTS, "Attempts that were not made for want of files, memory or ports, by kind");
    describe_histogram!(BATCH_ROWS, "Events, deliveries and outcomes written by one commit");
    describe_histogram!(COMMIT, Unit::Seconds, "Duration of a commit");
    describe_counter!(HTTP_REQUESTS, "Requests answered by the API, by route pattern, method and status");
    metrics_process::Collector::default().describe();
}

/// Sets up the metrics of this process and returns what prints them.
pub fn install_metrics() -> Render {
    LazyLock::force(&METRICS);
    if let Some(handle) = METRICS.handle.clone() {
        let upkeep = move || {
            loop {
                std::thread::sleep(UPKEEP_PAUSE);
                handle.run_upkeep();
            }
        };
        // it lives as long as the process and owns nothing that must be closed
        if let Err(error) = std::thread::Builder::new().name(String::from("metrics-upkeep")).spawn(upkeep) {
            tracing::warn!(%error, "no thread for the upkeep of metrics; they are kept up by scrapes alone");
        }
    }
    let process = metrics_process::Collector::default();
    Arc::new(move || {
        process.collect();
        METRICS.handle.as_ref().map(PrometheusHandle::render).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_of_the_contract_is_there_from_the_start() {
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
            "ringback_deliveries_pending ",
            "ringback_attempts_in_flight ",
            "ringback_endpoints_active ",
            "ringback_breakers_open ",
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
    fn a_value_that_is_not_known_counts_as_other() {
        let before = value("ringback_events_accepted_total{event_type=\"other\"}");
        METRICS.accepted("acme.invented.type").increment(1);
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
