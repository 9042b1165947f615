//! What a run does: a built-in scenario, or a TOML file of the same form.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::receiver_behaviour::Behaviour;

/// Built-in scenarios: name and TOML text.
pub const BUILT_IN: [(&str, &str); 7] = [
    ("throughput", include_str!("scenarios/throughput.toml")),
    ("fanout", include_str!("scenarios/fanout.toml")),
    ("latency", include_str!("scenarios/latency.toml")),
    ("isolation", include_str!("scenarios/isolation.toml")),
    ("backlog", include_str!("scenarios/backlog.toml")),
    ("recovery", include_str!("scenarios/recovery.toml")),
    ("many-endpoints", include_str!("scenarios/many-endpoints.toml")),
];

/// Less data has no room for the stamp that the receiver looks for.
pub(crate) const MIN_PAYLOAD_BYTES: usize = 64;
/// An engine refuses larger bodies (contract).
pub(crate) const MAX_PAYLOAD_BYTES: usize = 10 * 1024 * 1024 - 1024;
/// Of one batch (contract).
pub(crate) const MAX_BATCH: usize = 1_000;

/// What a run does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// One line for people.
    pub summary: String,
    /// The steps of the run.
    #[serde(default)]
    pub kind: ScenarioKind,
    /// Number of organizations; events are spread evenly over them.
    #[serde(default = "one")]
    pub organizations: usize,
    /// Webhooks of each organization; every event of the organization goes to all of them.
    #[serde(default = "one")]
    pub webhooks: usize,
    /// Of each webhook; absent means the engine's default.
    #[serde(default)]
    pub max_in_flight: Option<u32>,
    /// Size of an event's `data`.
    #[serde(default = "kibibyte")]
    pub payload_bytes: usize,
    /// How events are published.
    pub publish: PublishPlan,
    /// How receivers behave; shares apply to the webhooks of each organization. Empty means that all answer 200.
    #[serde(default)]
    pub receivers: Vec<ReceiverShare>,
    /// Bounds for `--check`.
    #[serde(default)]
    pub expect: Expectations,
}

/// The steps of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScenarioKind {
    /// Publish, and wait until everything has arrived.
    #[default]
    Steady,
    /// The same twice: with the healthy receivers alone, then with all of them.
    Isolation,
    /// Build up a backlog in the database, then release and drain it.
    Backlog,
    /// Kill the engine in the middle of the run, and start it again.
    Recovery,
}

/// How events are published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishPlan {
    /// Events in one request; 1 publishes single events.
    #[serde(default = "one")]
    pub batch: usize,
    /// Concurrent requests. With a rate this is the maximum; a request that is due while none is free waits, and its latency
    /// includes the wait.
    pub connections: usize,
    /// Events per second at a constant pace, whatever the responses do; absent means that each response is followed by the next
    /// request.
    #[serde(default)]
    pub rate: Option<f64>,
    /// Events that are measured.
    pub events: u64,
    /// Events before them, which are not measured.
    #[serde(default)]
    pub warm_up_events: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReceiverShare {
    /// Share of the webhooks of each organization, 0 to 1.
    pub share: f64,
    /// How they answer.
    #[serde(flatten)]
    pub behaviour: Behaviour,
}

/// Bounds for `--check`; each is a ratio within the run.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectations {
    /// Deliveries per second to the posts per second of the baseline, at least.
    pub deliveries_to_bare: Option<f64>,
    /// The same on PostgreSQL.
    pub deliveries_to_bare_postgres: Option<f64>,
    /// Median end-to-end latency to the sum of the baseline's median round trip and one sync of the disk, at most.
    pub p50_to_bare_and_sync: Option<f64>,
    /// 99th percentile of the end-to-end latency to the same sum of medians, at most.
    pub p99_to_bare_and_sync: Option<f64>,
    /// Deliveries per second at the healthy receivers with the others to those without, at least.
    pub healthy_deliveries_ratio: Option<f64>,
    /// 99th percentile of the healthy receivers' latency with the others to that without, at most.
    pub healthy_p99_ratio: Option<f64>,
}

/// Why a scenario cannot be used.
#[derive(Debug, Error)]
pub enum ScenarioError {
    /// Neither a built-in scenario nor a file.
    #[error("there is no scenario `{0}`; use a built-in one ({names}) or the path of a .toml file", names = names())]
    Unknown(String),
    /// Not TOML, or not a scenario.
    #[error("{name}: {error}")]
    Malformed {
        /// Name of the scenario.
        name: String,
        /// Includes the line.
        error: toml::de::Error,
    },
    /// A value is out of its bounds.
    #[error("{0}")]
    Value(String),
}

fn names() -> String {
    BUILT_IN.map(|(name, _)| name).join(", ")
}

impl Scenario {
    /// One of the built-in scenarios.
    pub fn built_in(name: &str) -> Result<Self, ScenarioError> {
        let known = BUILT_IN.iter().find(|(known, _)| *known == name);
        let (_, text) = known.ok_or_else(|| ScenarioError::Unknown(name.to_owned()))?;
        Self::parse(name, text)
    }

    /// Reads a scenario from TOML.
    pub fn parse(name: &str, text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self =
            toml::from_str(text).map_err(|error| ScenarioError::Malformed { name: name.to_owned(), error })?;
        scenario.check()?;
        Ok(scenario)
    }

    /// Checks the bounds of all values.
    pub fn check(&self) -> Result<(), ScenarioError> {
        let publish = &self.publish;
        let share: f64 = self.receivers.iter().map(|receivers| receivers.share).sum();
        let wrong = [
            (self.organizations == 0, "organizations must be at least 1"),
            (self.webhooks == 0, "webhooks must be at least 1"),
            (publish.connections == 0, "connections must be at least 1"),
            (publish.events == 0, "events must be at least 1"),
            (!(1..=MAX_BATCH).contains(&publish.batch), "a batch has 1 to 1,000 events"),
            (
                !(MIN_PAYLOAD_BYTES..=MAX_PAYLOAD_BYTES).contains(&self.payload_bytes),
                "payload_bytes must be 64 to 10,484,736",
            ),
            (self.max_in_flight.is_some_and(|limit| !(1..=256).contains(&limit)), "max_in_flight is 1 to 256"),
            (publish.rate.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())), "rate must be above 0"),
            (!self.receivers.is_empty() && (share - 1.0).abs() > 0.001, "the receivers' shares must add up to 1"),
            (
                self.receivers.iter().any(|receivers| !receivers.behaviour.is_valid()),
                "a parameter of a receiver is out of range",
            ),
            (
                self.kind == ScenarioKind::Isolation && self.healthy() == 0,
                "isolation needs some receivers with the behaviour ok",
            ),
            (self.kind == ScenarioKind::Recovery && publish.rate.is_none(), "recovery needs a rate"),
        ];
        match wrong.iter().find(|(is_wrong, _)| *is_wrong) {
            Some((_, text)) => Err(ScenarioError::Value((*text).to_owned())),
            None => Ok(()),
        }
    }

    /// The behaviour of each webhook of an organization, in order.
    pub(crate) fn behaviours(&self) -> Vec<Behaviour> {
        let mut all = Vec::with_capacity(self.webhooks);
        let mut share = 0.0;
        for receivers in &self.receivers {
            share += receivers.share;
            let count = (share * self.webhooks as f64).round() as usize;
            all.resize(count.clamp(all.len(), self.webhooks), receivers.behaviour);
        }
        all.resize(self.webhooks, self.receivers.last().map_or(Behaviour::Ok, |receivers| receivers.behaviour));
        all
    }

    /// Number of webhooks of an organization that always answer 200 at once.
    pub(crate) fn healthy(&self) -> usize {
        self.behaviours().iter().filter(|behaviour| **behaviour == Behaviour::Ok).count()
    }
}

fn one() -> usize {
    1
}

fn kibibyte() -> usize {
    1_024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_scenario_is_valid() {
        for (name, _) in BUILT_IN {
            let scenario = Scenario::built_in(name).unwrap();
            assert_eq!(scenario.behaviours().len(), scenario.webhooks, "{name}");
        }
        let error = Scenario::built_in("trough").unwrap_err().to_string();
        assert!(error.contains("throughput") && error.contains("many-endpoints"), "{error}");
    }

    #[test]
    fn shares_divide_the_webhooks_of_an_organization() {
        let half = Scenario::built_in("isolation").unwrap();
        let behaviours = half.behaviours();
        assert_eq!((half.healthy(), behaviours.len()), (10, 20));
        assert_eq!((behaviours[9], behaviours[10]), (Behaviour::Ok, Behaviour::Hanging));
    }

    #[test]
    fn an_invalid_scenario_is_refused_with_the_reason() {
        let with = |change: &dyn Fn(&mut Scenario)| {
            let mut scenario = Scenario::built_in("isolation").unwrap();
            change(&mut scenario);
            scenario.check().unwrap_err().to_string()
        };
        assert!(with(&|it| it.publish.batch = 1_001).contains("batch"));
        assert!(with(&|it| it.payload_bytes = 3).contains("payload_bytes"));
        assert!(with(&|it| it.publish.rate = Some(f64::NAN)).contains("rate"));
        assert!(with(&|it| it.receivers[0].share = 0.7).contains("shares"));
        let error = Scenario::parse("mine.toml", "summary = \"x\"\nweb_hooks = 3\n").unwrap_err().to_string();
        assert!(error.contains("mine.toml") && error.contains("web_hooks"), "{error}");
    }
}
