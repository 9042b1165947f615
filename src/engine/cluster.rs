//! What this engine joins the cluster of its database with.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::reachable;
use crate::actors::cluster::joining::Identity;
use crate::config::Settings;
use crate::config::keys::KEYS;
use crate::domain::target::PeerAddresses;

/// `listen` is the address that the API has, with its real port.
pub(super) fn identity(settings: &Settings, listen: SocketAddr, addresses: PeerAddresses) -> Identity {
    let cluster = &settings.cluster;
    let own = (!listen.ip().is_unspecified()).then(|| format!("http://{listen}"));
    Identity {
        name: cluster.name.clone().unwrap_or_else(|| format!("{}:{}", host_name(), reachable(listen).port())),
        advertise: cluster.advertise.clone().or(own),
        lease: cluster.lease,
        settings: shared_settings(settings),
        addresses,
    }
}

/// Settings that decide what happens to an event and its deliveries, whichever node handles them, and what a customer sees.
const SHARED: [&str; 27] = [
    "allow_http",
    "allowed_networks",
    "allowed_ports",
    "signature_header_prefix",
    "builtin_event_types",
    "unknown_event_types",
    "delivery.breaker_failure_threshold",
    "delivery.breaker_initial_pause_seconds",
    "delivery.breaker_max_pause_seconds",
    "delivery.disable_after_seconds",
    "delivery.retention_seconds",
    "ca_file",
    "egress_proxy",
    "egress_proxy_resolves",
    "defaults.retry",
    "defaults.retry_policy",
    "defaults.timeout",
    "defaults.max_in_flight",
    "limits.webhooks_per_organization",
    "limits.event_types_per_organization",
    "limits.events_per_second_per_organization",
    "portal.name",
    "portal.accent_color",
    "portal.frame_ancestors",
    "svix.retry_schedule",
    "svix.default_signature_type",
    "svix.whitelabel_headers",
];

fn shared_settings(settings: &Settings) -> BTreeMap<String, String> {
    let shared = KEYS.iter().filter(|key| SHARED.contains(&key.name));
    // one that is not set is compared, too
    shared
        .map(|key| (key.name.to_owned(), key.show(settings).unwrap_or_else(|| String::from("not set"))))
        .collect()
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_that_nodes_compare_exists_and_no_secret_is_among_them() {
        let shared = shared_settings(&Settings::default());
        assert_eq!(shared.len(), SHARED.len(), "{shared:?}");
        assert!(shared.keys().all(|name| !name.contains("key") && !name.contains("url")), "{shared:?}");
    }
}
