//! Settings: built-in defaults < `ringback.toml` < `RINGBACK_*` variables < flags. Unknown keys are refused.
//! An empty variable counts as not set, and `RINGBACK_MASTER_KEY_FILE` names a file that contains the value (likewise for
//! the admin key, the database URL, the egress proxy, the headers for the collector and the secret of the Svix-compatible API).
//!
//! [`keys::KEYS`] is the one table of settings: the file, the variables, `config check` and the documentation are made
//! from it. [`load::load`] merges the sources and reports every mistake at once.

mod documentation;
mod egress_proxy;
mod environment;
pub mod keys;
mod load;
mod otlp;
mod portal;
mod readers;
mod setting_key;
mod svix;
mod value;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::domain::egress_proxy::EgressProxy;
use crate::domain::endpoint::EndpointDefaults;
use crate::domain::event_types::EventTypePolicy;
use crate::domain::secret::Secret;
use crate::domain::target::PortRange;

pub use crate::telemetry::LogFormat;
pub use documentation::{documentation, example_file};
pub use load::{Flags, Loaded, Origin, SettingsError, SettingsProblem, inspect, load, merge};
pub use otlp::OtlpSettings;
pub use portal::{AccentColor, Logo, PortalSettings};
pub use svix::SvixSettings;

/// The effective settings of `serve`.
#[derive(Clone)]
pub struct Settings {
    /// Where the API and the dashboard listen.
    pub listen: SocketAddr,
    /// `sqlite://path` or `postgres://…`.
    pub database_url: String,
    /// Without one, organizations can't be managed.
    pub admin_key: Option<Secret>,
    /// 32 bytes in base64.
    pub master_key: Option<Secret>,
    /// Relaxes the rules for a developer's machine.
    pub dev: bool,
    /// Accept `http:` targets.
    pub allow_http: bool,
    /// Exceptions to the SSRF rules.
    pub allowed_networks: Vec<IpNet>,
    /// Ports that webhooks may use; empty = 80, 443 and those from 1024 up that browsers don't block.
    pub allowed_ports: Vec<PortRange>,
    /// Name servers; empty = the system's.
    pub dns_servers: Vec<SocketAddr>,
    /// Certificate authorities in PEM, trusted in addition to the built-in ones.
    pub ca_file: Option<PathBuf>,
    /// What requests to receivers go through.
    pub egress_proxy: Option<EgressProxy>,
    /// Whether it looks names up.
    pub egress_proxy_resolves: bool,
    /// `tracing` filter, for example `info` or `ringback=debug`.
    pub log: String,
    /// Text or JSON.
    pub log_format: LogFormat,
    /// Log a line for each request.
    pub access_log: bool,
    /// Where `/metrics` is served instead of on `listen`.
    pub metrics_listen: Option<SocketAddr>,
    /// For example `x-callintel`, for `x-callintel-signature`.
    pub signature_header_prefix: String,
    /// The table `[delivery]`.
    pub delivery: DeliverySettings,
    /// The table `[limits]`.
    pub limits: LimitSettings,
    /// The table `[defaults]`.
    pub defaults: EndpointDefaults,
    /// Which event types there are besides those that somebody defined.
    pub event_types: EventTypePolicy,
    /// The table `[cluster]`.
    pub cluster: ClusterSettings,
    /// The table `[portal]`.
    pub portal: PortalSettings,
    /// The table `[svix]`.
    pub svix: SvixSettings,
    /// Traces.
    pub otlp: OtlpSettings,
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
            egress_proxy: None,
            egress_proxy_resolves: false,
            log: String::from("info"),
            log_format: LogFormat::Text,
            access_log: false,
            metrics_listen: None,
            signature_header_prefix: String::from("x-callintel"),
            delivery: DeliverySettings::default(),
            limits: LimitSettings::default(),
            defaults: EndpointDefaults::default(),
            event_types: EventTypePolicy::default(),
            cluster: ClusterSettings::default(),
            portal: PortalSettings::default(),
            svix: SvixSettings::default(),
            otlp: OtlpSettings::default(),
        }
    }
}

/// Bounds and durations of the delivery engine.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliverySettings {
    /// Endpoint supervisors alive at once. Too small: endpoints wait for each other. Too large: a restart with
    /// many pending endpoints costs memory.
    pub max_active_endpoints: usize,
    /// Bytes of event bodies in memory for delivery; a body that does not fit stays in the database until its turn.
    pub payload_memory_bytes: usize,
    /// Events received but not yet committed; above it, publishers get 503.
    pub max_uncommitted_events: usize,
    /// The same bound in bytes of event bodies.
    pub max_uncommitted_bytes: usize,
    /// Failed deliveries in a row that open an endpoint's breaker.
    pub breaker_failure_threshold: u32,
    /// How long a breaker stays open the first time; doubles each time after that.
    pub breaker_initial_pause: Duration,
    /// The longest pause between two probes of an open breaker.
    pub breaker_max_pause: Duration,
    /// How long an endpoint without work keeps its supervisor.
    pub idle_linger: Duration,
    /// An endpoint that fails for this long without one success is disabled.
    pub disable_after: Duration,
    /// How long events are kept with their deliveries; pending deliveries are never removed.
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

/// A node among others on one PostgreSQL database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSettings {
    /// `http://host:port`; `None`: `listen`, when that is no wildcard.
    pub advertise: Option<String>,
    /// How long a node that is silent keeps its rights.
    pub lease: Duration,
    /// `None`: host name and port.
    pub name: Option<String>,
}

impl Default for ClusterSettings {
    fn default() -> Self {
        Self { advertise: None, lease: Duration::from_secs(6), name: None }
    }
}

/// How much one organization may have; 0 = as much as it likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitSettings {
    /// Webhooks, disabled ones included.
    pub webhooks_per_organization: u32,
    /// Event types of its own, which are held in memory with their schemas.
    pub event_types_per_organization: u32,
    /// Events that it may publish in a second, on average; as many may come at once.
    pub events_per_second_per_organization: u32,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            webhooks_per_organization: 1_000,
            event_types_per_organization: 1_000,
            events_per_second_per_organization: 0,
        }
    }
}
