//! How an engine takes its place among the nodes of its database.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use super::super::fairness::event_rates::EventsTaken;
use super::clock::DatabaseClock;
use super::identity::ProcessIdentity;
use super::keeper::{Keeper, KeeperParts, Round};
use super::rights::Rights;
use crate::domain::cluster::neighbours::SharedSettings;
use crate::domain::cluster::{MemberState, Slot};
use crate::domain::random::RandomSource;
use crate::domain::target::PeerAddresses;
use crate::domain::time::Clock;
use crate::store::{Beat, Joining, Store, StoreResult};
use crate::telemetry;

/// What this node says of itself.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct NodeReport {
    pub attempts_in_flight: usize,
    pub pending: u64,
    pub clock_offset_ms: i64,
    /// For the other nodes to compare.
    #[serde(skip_serializing_if = "SharedSettings::is_empty")]
    pub settings: SharedSettings,
    /// For the other nodes' limits.
    #[serde(skip_serializing_if = "EventsTaken::is_empty")]
    pub events_taken: EventsTaken,
}

impl NodeReport {
    /// From a member's row; of another version's, what it has in common with this one.
    pub(crate) fn read(report: &str) -> Self {
        serde_json::from_str(report).unwrap_or_default()
    }
}

/// What a node joins with.
pub struct Identity {
    /// For people.
    pub name: String,
    /// Where other nodes reach its API.
    pub advertise: Option<String>,
    /// How long a node that is silent keeps its rights.
    pub lease: Duration,
    /// What should be the same on all nodes.
    pub settings: SharedSettings,
    /// Gets the addresses of the others.
    pub addresses: PeerAddresses,
}

/// A place in the cluster, before the actors run.
pub struct Joined {
    /// `None`: there is no cluster to look at.
    pub(super) seat: Option<(Keeper, Round)>,
    pub(super) identity: Identity,
    pub(super) clock: Arc<DatabaseClock>,
    rights: Arc<Rights>,
}

impl Joined {
    /// Of an engine that has its store for itself.
    pub(in super::super) fn alone(clock: Arc<dyn Clock>) -> Self {
        let (lease, addresses) = (Duration::ZERO, PeerAddresses::default());
        let settings = SharedSettings::new();
        let identity = Identity { name: String::new(), advertise: None, lease, settings, addresses };
        let rights = Arc::new(Rights::alone(clock.clone()));
        Self { seat: None, identity, clock: Arc::new(DatabaseClock::new(clock)), rights }
    }

    /// The node bits of ids.
    pub fn slot(&self) -> u8 {
        self.seat.as_ref().map_or(0, |(keeper, _)| keeper.me().0)
    }

    /// For the context of the actors.
    pub fn rights(&self) -> &Arc<Rights> {
        &self.rights
    }

    /// Whether other nodes run.
    pub fn has_company(&self) -> bool {
        self.seat.as_ref().is_some_and(|(keeper, round)| company(round, keeper.me()))
    }
}

fn with_rights(round: &Round) -> usize {
    round.view.members.iter().filter(|member| member.state.has_rights()).count()
}

/// Whether other nodes have rights.
pub(super) fn company(round: &Round, me: Slot) -> bool {
    round.view.members.iter().any(|member| member.slot != me && member.state.has_rights())
}

/// Takes a place in the cluster of a database. Blocks.
pub fn join(
    store: &Arc<dyn Store>,
    clock: Arc<DatabaseClock>,
    random: &dyn RandomSource,
    identity: Identity,
) -> StoreResult<Joined> {
    end_rights_of_ended_processes(store.as_ref())?;
    let me = store.join(&joining(&identity, random, clock.as_ref()))?;
    let rights = Arc::new(Rights::none(clock.clone()));
    let parts = KeeperParts {
        store: store.clone(),
        rights: rights.clone(),
        clock: clock.clone(),
        lease: identity.lease,
        me,
        addresses: identity.addresses.clone(),
    };
    let mut keeper = Keeper::new(parts);
    let round = keeper.round(&Beat { state: MemberState::Live, report: String::new() })?;
    telemetry::NodeJoined { slot: me, name: &identity.name, members: with_rights(&round) }.emit();
    Ok(Joined { seat: Some((keeper, round)), identity, clock, rights })
}

/// What a node says of itself when it joins.
pub(super) fn joining(identity: &Identity, random: &dyn RandomSource, clock: &dyn Clock) -> Joining {
    Joining {
        lease: identity.lease,
        incarnation: SmallRng::from_seed(random.seed()).next_u64() as i64,
        name: identity.name.clone(),
        process: ProcessIdentity::stored(ProcessIdentity::own().as_ref()),
        advertise: identity.advertise.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: clock.now(),
    }
}

/// A process that was killed on this machine: nobody has to wait for the end of its lease.
fn end_rights_of_ended_processes(store: &dyn Store) -> StoreResult<()> {
    for member in store.members()? {
        if member.state.has_rights() && ProcessIdentity::has_ended(&member.process) && store.fence(&member, &[])? {
            telemetry::FormerProcessEnded { member: &member }.emit();
        }
    }
    Ok(())
}
