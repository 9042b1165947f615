//! The panels of the dashboard for Grafana: one table, from which `packaging/grafana/ringback.json` is made.

/// How a panel shows its queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The last values, as numbers.
    Number,
    /// Values over time.
    Lines,
    /// The same, one on top of the other.
    Stacked,
}

pub(super) struct Panel {
    pub(super) title: &'static str,
    pub(super) kind: Kind,
    /// A unit of Grafana.
    pub(super) unit: &'static str,
    /// Legend and expression. `$S` stands for the labels of the nodes that are chosen.
    pub(super) queries: &'static [(&'static str, &'static str)],
}

pub(super) struct Row {
    pub(super) title: &'static str,
    pub(super) panels: &'static [Panel],
}

const fn number(
    title: &'static str,
    unit: &'static str,
    queries: &'static [(&'static str, &'static str)],
) -> Panel {
    Panel { title, kind: Kind::Number, unit, queries }
}

const fn lines(
    title: &'static str,
    unit: &'static str,
    queries: &'static [(&'static str, &'static str)],
) -> Panel {
    Panel { title, kind: Kind::Lines, unit, queries }
}

const fn stacked(
    title: &'static str,
    unit: &'static str,
    queries: &'static [(&'static str, &'static str)],
) -> Panel {
    Panel { title, kind: Kind::Stacked, unit, queries }
}

/// The 50th, 95th and 99th percentile of a histogram.
macro_rules! percentiles {
    ($metric:literal) => {
        &[
            ("p50", percentiles!("0.5", $metric)),
            ("p95", percentiles!("0.95", $metric)),
            ("p99", percentiles!("0.99", $metric)),
        ]
    };
    ($quantile:literal, $metric:literal) => {
        concat!(
            "histogram_quantile(",
            $quantile,
            ", sum by (le) (rate(",
            $metric,
            "_bucket{$S}[$__rate_interval])))"
        )
    };
}

pub(super) const ROWS: &[Row] = &[
    Row {
        title: "Overview",
        panels: &[
            number("Nodes that answer", "short", &[("", "sum(up{$S})")]),
            number("Version", "short", &[("{{version}}", "count by (version) (ringback_build_info{$S})")]),
            number("Pending deliveries", "short", &[("", "sum(ringback_deliveries_pending{$S})")]),
            number("Oldest pending delivery", "s", &[("", "max(ringback_oldest_pending_age_seconds{$S})")]),
            number(
                "Attempts that succeed",
                "percentunit",
                &[(
                    "",
                    "sum(rate(ringback_attempts_total{$S, outcome=\"success\"}[5m])) / sum(rate(ringback_attempts_total{$S}[5m]))",
                )],
            ),
            number(
                "Deliveries that failed in 24 hours",
                "short",
                &[("", "sum(increase(ringback_deliveries_total{$S, outcome=\"failed\"}[24h]))")],
            ),
        ],
    },
    Row {
        title: "Publishing",
        panels: &[
            stacked(
                "Events accepted",
                "reqps",
                &[(
                    "{{event_type}}",
                    "topk(10, sum by (event_type) (rate(ringback_events_accepted_total{$S}[$__rate_interval])))",
                )],
            ),
            lines(
                "Requests by status",
                "reqps",
                &[("{{status}}", "sum by (status) (rate(ringback_http_requests_total{$S}[$__rate_interval]))")],
            ),
            lines(
                "Requests by route",
                "reqps",
                &[(
                    "{{method}} {{route}}",
                    "topk(10, sum by (method, route) (rate(ringback_http_requests_total{$S}[$__rate_interval])))",
                )],
            ),
            lines(
                "Requests that were refused",
                "reqps",
                &[(
                    "{{status}} {{route}}",
                    "sum by (status, route) (rate(ringback_http_requests_total{$S, status=~\"4..|5..\"}[$__rate_interval]))",
                )],
            ),
        ],
    },
    Row {
        title: "Delivering",
        panels: &[
            lines(
                "Deliveries that ended",
                "ops",
                &[("{{outcome}}", "sum by (outcome) (rate(ringback_deliveries_total{$S}[$__rate_interval]))")],
            ),
            lines(
                "Attempts",
                "ops",
                &[("{{outcome}}", "sum by (outcome) (rate(ringback_attempts_total{$S}[$__rate_interval]))")],
            ),
            stacked("Pending deliveries", "short", &[("{{instance}}", "ringback_deliveries_pending{$S}")]),
            lines(
                "Age of the oldest pending delivery",
                "s",
                &[("{{instance}}", "ringback_oldest_pending_age_seconds{$S}")],
            ),
            lines(
                "From acceptance to acknowledgement, first attempts",
                "s",
                percentiles!("ringback_delivery_latency_seconds"),
            ),
            stacked("Attempts in flight", "short", &[("{{instance}}", "ringback_attempts_in_flight{$S}")]),
        ],
    },
    Row {
        title: "Receivers",
        panels: &[
            stacked("Webhooks by state", "short", &[("{{state}}", "sum by (state) (ringback_webhooks{$S})")]),
            lines("Open breakers", "short", &[("{{instance}}", "ringback_breakers_open{$S}")]),
            lines("Response times", "s", percentiles!("ringback_attempt_duration_seconds")),
            lines(
                "Attempts that failed",
                "ops",
                &[(
                    "{{outcome}}",
                    "sum by (outcome) (rate(ringback_attempts_total{$S, outcome!=\"success\"}[$__rate_interval]))",
                )],
            ),
            stacked(
                "Client certificates by their end",
                "short",
                &[("{{state}}", "sum by (state) (ringback_client_certificates{$S})")],
            ),
            lines(
                "Webhooks that are delivered to now",
                "short",
                &[("{{instance}}", "ringback_endpoints_active{$S}")],
            ),
        ],
    },
    Row {
        title: "Database",
        panels: &[
            lines("Duration of a commit", "s", percentiles!("ringback_persistence_commit_seconds")),
            lines(
                "Commits",
                "ops",
                &[("{{instance}}", "rate(ringback_persistence_commit_seconds_count{$S}[$__rate_interval])")],
            ),
            lines(
                "Rows in a commit",
                "short",
                &[(
                    "{{instance}}",
                    "rate(ringback_persistence_batch_rows_sum{$S}[$__rate_interval]) / rate(ringback_persistence_batch_rows_count{$S}[$__rate_interval])",
                )],
            ),
            lines(
                "Size of the database",
                "bytes",
                &[
                    ("all", "max(ringback_database_bytes{$S})"),
                    ("write-ahead log (SQLite)", "max(ringback_database_log_bytes{$S})"),
                ],
            ),
            lines("Retention is behind by", "s", &[("", "max(ringback_retention_lag_seconds{$S})")]),
        ],
    },
    Row {
        title: "Cluster",
        panels: &[
            lines("Nodes by state", "short", &[("{{state}}", "max by (state) (ringback_cluster_nodes{$S})")]),
            stacked("Partitions", "short", &[("{{instance}}", "ringback_cluster_partitions_owned{$S}")]),
            lines(
                "Partitions that moved",
                "short",
                &[(
                    "{{reason}}",
                    "sum by (reason) (increase(ringback_cluster_partition_moves_total{$S}[$__rate_interval]))",
                )],
            ),
            lines(
                "Nodes that lost their rights",
                "short",
                &[("{{instance}}", "increase(ringback_cluster_fenced_commits_total{$S}[$__rate_interval])")],
            ),
            lines(
                "Silence before a takeover, longest of an hour",
                "s",
                &[(
                    "p99",
                    "histogram_quantile(0.99, sum by (le) (increase(ringback_cluster_takeover_seconds_bucket{$S}[1h])))",
                )],
            ),
            lines(
                "Messages between nodes",
                "ops",
                &[("{{outcome}}", "sum by (outcome) (rate(ringback_cluster_pushes_total{$S}[$__rate_interval]))")],
            ),
            lines(
                "The database's clock minus the node's",
                "s",
                &[("{{instance}}", "ringback_cluster_clock_offset_seconds{$S}")],
            ),
        ],
    },
    Row {
        title: "Resources",
        panels: &[
            lines(
                "Processors in use",
                "short",
                &[("{{instance}}", "rate(process_cpu_seconds_total{$S}[$__rate_interval])")],
            ),
            lines("Memory", "bytes", &[("{{instance}}", "process_resident_memory_bytes{$S}")]),
            lines(
                "Open files",
                "short",
                &[("{{instance}}", "process_open_fds{$S}"), ("limit of {{instance}}", "process_max_fds{$S}")],
            ),
            lines("Threads", "short", &[("{{instance}}", "process_threads{$S}")]),
            lines(
                "Attempts that this machine could not make",
                "ops",
                &[("{{kind}}", "sum by (kind) (rate(ringback_local_faults_total{$S}[$__rate_interval]))")],
            ),
            lines(
                "Spans for the collector of traces",
                "ops",
                &[
                    ("taken", "sum(rate(ringback_trace_spans_exported_total{$S}[$__rate_interval]))"),
                    (
                        "lost: {{reason}}",
                        "sum by (reason) (rate(ringback_trace_spans_dropped_total{$S}[$__rate_interval]))",
                    ),
                ],
            ),
            lines("Running since", "s", &[("{{instance}}", "time() - process_start_time_seconds{$S}")]),
        ],
    },
];
