//! Settings: built-in defaults < `ringback.toml` < `RINGBACK_*` variables < flags. Unknown keys are refused.
//! An empty variable is as if it were not set, and `RINGBACK_MASTER_KEY_FILE` names a file with the value (the same for the
//! admin key and the database's URL).
//!
//! [`keys::KEYS`] is the one list of what can be set; the file, the variables and `config check` are driven
//! by it. [`load::load`] merges the sources and reports every mistake at once.

mod documentation;
mod environment;
pub mod keys;
mod load;
mod value;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::domain::secret::Secret;
use crate::domain::target::PortRange;

pub use crate::telemetry::LogFormat;
pub use documentation::{documentation, example_file};
pub use load::{Flags, Loaded, SettingsError, SettingsProblem, inspect, load, merge};

/// The effective settings of `serve`.
#[derive(Clone)]
pub struct Settings {
    /// Where the API listens.
    pub listen: SocketAddr,
    /// `sqlite://path` or `postgres://…`.
    pub database_url: String,
    /// The deployment's admin key; without one, organizations can't be managed.
    pub admin_key: Option<Secret>,
    /// 32 bytes in base64; encrypts secrets at rest.
    pub master_key: Option<Secret>,
    /// Loosens the rules for a developer's machine.
    pub dev: bool,
    /// Accept `http:` targets.
    pub allow_http: bool,
    /// Excepted from the SSRF rules.
    pub allowed_networks: Vec<IpNet>,
    /// Ports that webhooks may have; empty = 80, 443 and those from 1024 on that browsers don't block.
    pub allowed_ports: Vec<PortRange>,
    /// Asked instead of the system's; empty = the system's.
    pub dns_servers: Vec<SocketAddr>,
    /// Certificate authorities in PEM, trusted beside the built-in ones.
    pub ca_file: Option<PathBuf>,
    /// `tracing` filter, for example `info` or `ringback=debug`.
    pub log: String,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Where `/metrics` is served instead of on `listen`.
    pub metrics_listen: Option<SocketAddr>,
    /// Of the document's signature headers.
    pub signature_header_prefix: String,
    /// Delivery.
    pub delivery: DeliverySettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080),
            database_url: String::from("sqlite://ringback.db"),
            admin_key: None,
            master_key: None,
            dev: false,
            allow_http: false,
            allowed_networks: Vec::new(),
            allowed_ports: Vec::new(),
            dns_servers: Vec::new(),
            ca_file: None,
            log: String::from("info"),
            log_format: LogFormat::Text,
            metrics_listen: None,
            signature_header_prefix: String::from("x-callintel"),
            delivery: DeliverySettings::default(),
        }
    }
}

/// Bounds and paces of the delivery engine.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliverySettings {
    /// Endpoint supervisors alive at once. Too small: endpoints wait for each other. Too large: a restart with
    /// many pending endpoints costs memory.
    pub max_active_endpoints: usize,
    /// Event bodies held in memory for delivery; what does not fit stays in the database until its turn.
    pub payload_memory_bytes: usize,
    /// Events accepted but not yet committed; beyond it publishers get 503.
    pub max_uncommitted_events: usize,
    /// Bytes of the same.
    pub max_uncommitted_bytes: usize,
    /// Failed deliveries in a row that open an endpoint's breaker.
    pub breaker_failure_threshold: u32,
    /// How long a breaker stays open the first time; doubles every time after.
    pub breaker_initial_pause: Duration,
    /// The longest that a breaker stays open between two probes.
    pub breaker_max_pause: Duration,
    /// An endpoint without work keeps its supervisor for this long.
    pub idle_linger: Duration,
    /// An endpoint that fails for so long without one success is disabled.
    pub disable_after: Duration,
    /// Events are kept so long, with their deliveries; pending ones for ever.
    pub retention: Duration,
}

impl Default for DeliverySettings {
    fn default() -> Self {
        Self {
            max_active_endpoints: 4_000,
            payload_memory_bytes: 128 * 1024 * 1024,
            max_uncommitted_events: 10_000,
            max_uncommitted_bytes: 64 * 1024 * 1024,
            breaker_failure_threshold: 8,
            breaker_initial_pause: Duration::from_secs(5),
            breaker_max_pause: Duration::from_secs(600),
            idle_linger: Duration::from_secs(5),
            disable_after: Duration::from_secs(5 * 86_400),
            retention: Duration::from_secs(30 * 86_400),
        }
    }
}
