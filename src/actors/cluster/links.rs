//! Tells other nodes what was committed here for their endpoints.
//!
//! A push says where to look; what there is, is in the database. One that can't be delivered is replaced by a mark in the
//! other node's row, which it sees with its next beat; and if this node ends before, the others see that, and look by themselves.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::super::context::ActorContext;
use super::super::mailbox::post;
use super::super::messages::{Announce, Announced, Announcement, ClusterChanged, LookNow, Nudge, Pushed};
use super::push::{PUSH_HEADER, PUSH_PATH, Push, PushKey};
use super::rights::{ClusterSeen, Holding};
use crate::domain::cluster::{Partition, Slot};
use crate::domain::ids::EndpointId;
use crate::domain::time::UnixMillis;
use crate::telemetry;
use crate::transport::{PeerMessage, Peers};
use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Recipient, SpawnHandle, WrapFuture};

/// Endpoints of which others have to be told. Smaller: they look at everything for a short outage. Larger: more memory, at 100
/// bytes each.
const MAX_ANNOUNCEMENTS: usize = 100_000;
/// Endpoints in one push, of 60 bytes each.
const MAX_IN_A_PUSH: usize = 2_000;
/// Pause when an endpoint has no owner, or is being handed over.
const RETRY: Duration = Duration::from_millis(50);

/// The links actor.
pub struct Links {
    context: Arc<ActorContext>,
    key: PushKey,
    router: Recipient<Announced>,
    membership: Recipient<LookNow>,
    peers: Arc<dyn Peers>,
    outbox: HashMap<EndpointId, Announcement>,
    nudges: HashSet<Slot>,
    in_flight: HashSet<Slot>,
    retry: Option<SpawnHandle>,
}

impl Links {
    pub(crate) fn new(
        context: Arc<ActorContext>,
        (key, peers): (PushKey, Arc<dyn Peers>),
        router: Recipient<Announced>,
        membership: Recipient<LookNow>,
    ) -> Self {
        Self {
            context,
            key,
            router,
            membership,
            peers,
            outbox: HashMap::new(),
            nudges: HashSet::new(),
            in_flight: HashSet::new(),
            retry: None,
        }
    }

    fn add(&mut self, announcements: Vec<Announcement>) {
        for announcement in announcements {
            match self.outbox.entry(announcement.endpoint_id) {
                std::collections::hash_map::Entry::Vacant(place) => _ = place.insert(announcement),
                std::collections::hash_map::Entry::Occupied(mut known) => known.get_mut().merge(announcement),
            }
        }
    }

    fn flush(&mut self, ctx: &mut Context<Self>) {
        if self.outbox.is_empty() && self.nudges.is_empty() {
            return;
        }
        let seen = self.context.rights.seen();
        let mut own = Vec::new();
        let mut of_others: HashMap<Slot, Vec<Announcement>> = HashMap::new();
        let mut kept = HashMap::new();
        for (endpoint_id, announcement) in std::mem::take(&mut self.outbox) {
            let partition = Partition::of(endpoint_id);
            match seen.map.owner(partition) {
                Some(slot) if Some(slot) == seen.me => match self.context.rights.holding(partition) {
                    Holding::Owned => own.push(announcement),
                    Holding::HandingOver | Holding::None => _ = kept.insert(endpoint_id, announcement),
                },
                Some(slot) if !self.in_flight.contains(&slot) => {
                    of_others.entry(slot).or_default().push(announcement);
                }
                _ => _ = kept.insert(endpoint_id, announcement),
            }
        }
        self.outbox = kept;
        if !own.is_empty() {
            post(&self.router, Announced(own));
        }
        for slot in self.nudges.difference(&self.in_flight) {
            of_others.entry(*slot).or_default();
        }
        for (slot, mut announcements) in of_others {
            self.nudges.remove(&slot);
            self.add(announcements.split_off(announcements.len().min(MAX_IN_A_PUSH)));
            self.send(slot, announcements, &seen, ctx);
        }
        if self.outbox.len() > MAX_ANNOUNCEMENTS {
            let slots: HashSet<Slot> =
                self.outbox.keys().filter_map(|id| seen.map.owner(Partition::of(*id))).collect();
            self.outbox.clear();
            slots.into_iter().for_each(|slot| self.mark(slot, Vec::new(), ctx));
        }
        if !self.outbox.is_empty() && self.retry.is_none() {
            self.retry = Some(ctx.run_later(RETRY, |actor, ctx| {
                actor.retry = None;
                actor.flush(ctx);
            }));
        }
    }

    fn send(&mut self, slot: Slot, announcements: Vec<Announcement>, seen: &ClusterSeen, ctx: &mut Context<Self>) {
        let mut members = seen.members.iter().map(|(member, _)| member);
        let member = members.find(|member| member.slot == slot && member.state.has_rights());
        let Some((member, address)) = member.and_then(|member| Some((member, member.advertise.clone()?))) else {
            return self.mark(slot, announcements, ctx);
        };
        self.in_flight.insert(slot);
        let body = serde_json::to_vec(&Push::of(&announcements, slot, member.incarnation)).unwrap_or_default();
        let header = self.key.sign(self.context.now(), &body);
        let answer = self.key.answer_to(&header);
        let url = format!("{address}{PUSH_PATH}");
        let message = PeerMessage { url, header: (PUSH_HEADER, header), body, answer };
        ctx.spawn(self.peers.tell(message).into_actor(self).map(move |is_delivered, actor, ctx| {
            actor.in_flight.remove(&slot);
            telemetry::PushEnded { is_delivered }.emit();
            if !is_delivered {
                actor.mark(slot, announcements, ctx);
            }
            actor.flush(ctx);
        }));
    }

    /// Marks another node's row, so that it looks by itself.
    fn mark(&mut self, slot: Slot, announcements: Vec<Announcement>, ctx: &mut Context<Self>) {
        self.in_flight.insert(slot);
        let store = self.context.store.clone();
        let marked = async move { tokio::task::spawn_blocking(move || store.ask_to_look(&[slot])).await };
        ctx.spawn(marked.into_actor(self).map(move |marked, actor, ctx| {
            let is_marked = matches!(marked, Ok(Ok(())));
            // it has to learn of them in some way; that a breaker was reset, no look into the database tells it
            actor.add(announcements.into_iter().filter(|it| !is_marked || it.reset.is_some()).collect());
            // not more often than it looks
            ctx.run_later(crate::domain::cluster::lease::BEAT, move |actor, ctx| {
                actor.in_flight.remove(&slot);
                actor.flush(ctx);
            });
        }));
    }
}

impl Announcement {
    fn merge(&mut self, later: Self) {
        self.since = match (self.since, later.since) {
            (Some(known), Some(new)) => Some(UnixMillis::min(known, new)),
            _ => None,
        };
        self.reset = later.reset.or(self.reset.take());
    }
}

impl Actor for Links {
    type Context = Context<Self>;
}

impl Handler<Announce> for Links {
    type Result = ();
    fn handle(&mut self, Announce(announcements): Announce, ctx: &mut Self::Context) {
        self.add(announcements);
        self.flush(ctx);
    }
}

impl Handler<Pushed> for Links {
    type Result = ();
    fn handle(&mut self, pushed: Pushed, ctx: &mut Self::Context) {
        if pushed.announcements.is_empty() {
            post(&self.membership, LookNow);
        }
        self.add(pushed.announcements);
        self.flush(ctx);
    }
}

impl Handler<Nudge> for Links {
    type Result = ();
    fn handle(&mut self, _: Nudge, ctx: &mut Self::Context) {
        let seen = self.context.rights.seen();
        let others = seen.members.iter().map(|(member, _)| member).filter(|member| member.state.has_rights());
        self.nudges.extend(others.map(|member| member.slot).filter(|slot| Some(*slot) != seen.me));
        self.flush(ctx);
    }
}

impl Handler<ClusterChanged> for Links {
    type Result = ();
    fn handle(&mut self, _: ClusterChanged, ctx: &mut Self::Context) {
        self.flush(ctx);
    }
}
