//! What a run does: named scenarios that come with the program, or a file of the same form.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::behaviour::Behaviour;

/// The scenarios that come with the program: name and text.
pub const BUILT_IN: [(&str, &str); 7] = [
    ("throughput", include_str!("scenarios/throughput.toml")),
    ("fanout", include_str!("scenarios/fanout.toml")),
    ("latency", include_str!("scenarios/latency.toml")),
    ("isolation", include_str!("scenarios/isolation.toml")),
    ("backlog", include_str!("scenarios/backlog.toml")),
    ("recovery", include_str!("scenarios/recovery.toml")),
    ("many-endpoints", include_str!("scenarios/many-endpoints.toml")),
];

/// Fewer bytes of data do not hold what the receiver has to find in it.
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
    pub kind: Kind,
    /// Events are spread evenly over them.
    #[serde(default = "one")]
    pub organizations: usize,
    /// Of each organization; every event of the organization goes to all of them.
    #[serde(default = "one")]
    pub webhooks: usize,
    /// Of each webhook; absent: the engine's default.
    #[serde(default)]
    pub max_in_flight: Option<u32>,
    /// Of the event's `data`.
    #[serde(default = "kibibyte")]
    pub payload_bytes: usize,
    /// How events are published.
    pub publish: Publish,
    /// How receivers behave; shares are of each organization's webhooks. Empty: all are well.
    #[serde(default)]
    pub receivers: Vec<Part>,
    /// What the result is held to with `--check`.
    #[serde(default)]
    pub expect: Expectations,
}

/// The steps of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Publish, and wait until everything has arrived.
    #[default]
    Steady,
    /// The same twice: with the well-behaved receivers alone, then with all of them.
    Isolation,
    /// Everything waits in the database first, and is let go then.
    Backlog,
    /// The engine is killed in the middle, and started again.
    Recovery,
}

/// How events are published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publish {
    /// Events in one request; 1 publishes them singly.
    #[serde(default = "one")]
    pub batch: usize,
    /// Requests at once. With a rate: at most; an instant that finds none free waits, and its waiting counts.
    pub connections: usize,
    /// Events a second at a constant pace, whatever the answers do; absent: each answer is followed by the next
    /// request.
    #[serde(default)]
    pub rate: Option<f64>,
    /// Measured events.
    pub events: u64,
    /// Events before them, which are not measured.
    #[serde(default)]
    pub warm_up_events: u64,
}

/// Some of the webhooks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Of each organization's webhooks, 0 to 1.
    pub share: f64,
    /// What they do.
    #[serde(flatten)]
    pub behaviour: Behaviour,
}

/// Bounds for `--check`; each is a ratio within the run.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectations {
    /// Deliveries a second to the bare reference's posts, at least.
    pub deliveries_to_bare: Option<f64>,
    /// The same on PostgreSQL.
    pub deliveries_to_bare_postgres: Option<f64>,
    /// Median end-to-end latency to the bare median round trip and one sync of the disk, at most.
    pub p50_to_bare_and_sync: Option<f64>,
    /// The same of the 99th percentile, to the same medians.
    pub p99_to_bare_and_sync: Option<f64>,
    /// Healthy deliveries a second with the others beside them to those without, at least.
    pub healthy_deliveries_ratio: Option<f64>,
    /// The same of the 99th percentile of their latency, at most.
    pub healthy_p99_ratio: Option<f64>,
}

/// Why a scenario can't be used.
#[derive(Debug, Error)]
pub enum ScenarioError {
    /// Neither built in nor a file.
    #[error("there is no scenario `{0}`; the built-in ones are {names}, and a path to a .toml file is one too", names = names())]
    Unknown(String),
    /// Not TOML, or not a scenario.
    #[error("{name}: {error}")]
    Malformed {
        /// Of the scenario.
        name: String,
        /// With its line.
        error: toml::de::Error,
    },
    /// A value out of its bounds.
    #[error("{0}")]
    Value(String),
}

fn names() -> String {
    BUILT_IN.map(|(name, _)| name).join(", ")
}

impl Scenario {
    /// One of the built-in ones.
    pub fn built_in(name: &str) -> Result<Self, ScenarioError> {
        let known = BUILT_IN.iter().find(|(known, _)| *known == name);
        let (_, text) = known.ok_or_else(|| ScenarioError::Unknown(name.to_owned()))?;
        Self::parse(name, text)
    }

    /// Reads one that is written as TOML.
    pub fn parse(name: &str, text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self =
            toml::from_str(text).map_err(|error| ScenarioError::Malformed { name: name.to_owned(), error })?;
        scenario.check()?;
        Ok(scenario)
    }

    /// Says which value is out of its bounds.
    pub fn check(&self) -> Result<(), ScenarioError> {
        let publish = &self.publish;
        let share: f64 = self.receivers.iter().map(|part| part.share).sum();
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
                self.receivers.iter().any(|part| !part.behaviour.is_possible()),
                "a receiver's numbers are impossible",
            ),
            (
                self.kind == Kind::Isolation && self.healthy() == 0,
                "isolation needs a share of receivers that are ok",
            ),
            (self.kind == Kind::Recovery && publish.rate.is_none(), "recovery needs a rate"),
        ];
        match wrong.iter().find(|(is_wrong, _)| *is_wrong) {
            Some((_, text)) => Err(ScenarioError::Value((*text).to_owned())),
            None => Ok(()),
        }
    }

    /// What each webhook of an organization does, in order.
    pub(crate) fn behaviours(&self) -> Vec<Behaviour> {
        let mut all = Vec::with_capacity(self.webhooks);
        let mut until = 0.0;
        for part in &self.receivers {
            until += part.share;
            let count = (until * self.webhooks as f64).round() as usize;
            all.resize(count.clamp(all.len(), self.webhooks), part.behaviour);
        }
        all.resize(self.webhooks, self.receivers.last().map_or(Behaviour::Ok, |part| part.behaviour));
        all
    }

    /// Webhooks of an organization that are well.
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
    fn every_built_in_scenario_can_be_used() {
        for (name, _) in BUILT_IN {
            let scenario = Scenario::built_in(name).unwrap();
            assert_eq!(scenario.behaviours().len(), scenario.webhooks, "{name}");
        }
        let error = Scenario::built_in("trough").unwrap_err().to_string();
        assert!(error.contains("throughput") && error.contains("many-endpoints"), "{error}");
    }

    #[test]
    fn shares_divide_an_organizations_webhooks() {
        let half = Scenario::built_in("isolation").unwrap();
        let behaviours = half.behaviours();
        assert_eq!((half.healthy(), behaviours.len()), (10, 20));
        assert_eq!((behaviours[9], behaviours[10]), (Behaviour::Ok, Behaviour::Hanging));
    }

    #[test]
    fn nonsense_is_refused_with_what_is_wrong() {
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
