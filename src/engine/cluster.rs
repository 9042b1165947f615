//! What this engine joins the cluster of its database with.

use std::net::SocketAddr;

use super::reachable;
use crate::actors::cluster::joining::Identity;
use crate::config::Settings;
use crate::domain::target::PeerAddresses;

/// `listen` is the address that the API has, with its real port.
pub(super) fn identity(settings: &Settings, listen: SocketAddr, addresses: PeerAddresses) -> Identity {
    let cluster = &settings.cluster;
    let own = (!listen.ip().is_unspecified()).then(|| format!("http://{listen}"));
    Identity {
        name: cluster.name.clone().unwrap_or_else(|| format!("{}:{}", host_name(), reachable(listen).port())),
        advertise: cluster.advertise.clone().or(own),
        lease: cluster.lease,
        addresses,
    }
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
