//! The router as a part of a cluster: what others have committed for endpoints of this node, and partitions that are handed
//! over or lost.

use std::collections::HashSet;
use std::time::Duration;

use actix::{AsyncContext, Context, Handler, ResponseFuture};
use tokio::sync::oneshot;

use super::super::cluster::rights::Holding;
use super::super::mailbox::post;
use super::super::messages::{
    Abandon, Announce, Announced, Announcement, HandOver, MoreInStore, ResetBreaker, Retire, Schedule,
    SupervisorDrain,
};
use super::Router;
use crate::domain::cluster::Partition;
use crate::domain::ids::{EndpointId, OrganizationId};
use crate::store::AgendaRow;

/// How long a hand-over waits for attempts in flight: most end within it, and nobody else has to wait for their end. Smaller:
/// more endpoints wait for a message from here. Larger: all endpoints of a partition pause for longer.
const GRACE: Duration = Duration::from_millis(200);

/// Endpoints that still have an attempt in flight.
type Busy = Vec<(EndpointId, OrganizationId)>;

/// A hand-over that waits for the end of supervisors.
pub(super) struct HandingOver {
    partitions: HashSet<Partition>,
    done: oneshot::Sender<Busy>,
    number: u64,
}

impl Router {
    pub(super) fn announce(&self, announcements: Vec<Announcement>) {
        if !announcements.is_empty() {
            post(&self.peers.cluster.announce, Announce(announcements));
        }
    }

    fn in_partitions(&self, partitions: &HashSet<Partition>) -> Busy {
        let of_them = self.supervised.iter().filter(|(id, _)| partitions.contains(&Partition::of(**id)));
        of_them.map(|(id, supervised)| (*id, supervised.organization_id)).collect()
    }

    /// A supervisor has ended: who waits for that?
    pub(super) fn tell_cluster(&mut self, endpoint_id: EndpointId) {
        if self.pinned.remove(&endpoint_id) {
            post(&self.peers.cluster.released, super::super::messages::EndpointReleased(endpoint_id));
        }
        if self.supervised.is_empty() {
            for abandoned in self.abandoned.drain(..) {
                // an error means that nobody waits any more
                let _ = abandoned.send(());
            }
        }
        let ended: Vec<u64> = self
            .handing_over
            .iter()
            .filter(|waiting| self.in_partitions(&waiting.partitions).is_empty())
            .map(|waiting| waiting.number)
            .collect();
        ended.into_iter().for_each(|number| self.end_hand_over(number));
    }

    fn end_hand_over(&mut self, number: u64) {
        let Some(place) = self.handing_over.iter().position(|waiting| waiting.number == number) else { return };
        let HandingOver { partitions, done, .. } = self.handing_over.swap_remove(place);
        let busy = self.in_partitions(&partitions);
        self.pinned.extend(busy.iter().map(|(id, _)| *id));
        let _ = done.send(busy);
    }

    fn take_announced(&mut self, announced: Announcement) -> Option<AgendaRow> {
        let Announcement { organization_id, endpoint_id, since, reset } = announced;
        if since.is_none() {
            self.context.queue_cursors.forget(endpoint_id);
        }
        let cursors = self.context.clone();
        let Some(supervised) = self.supervisor(organization_id, endpoint_id, true) else {
            if let Some(since) = since {
                cursors.queue_cursors.lower(endpoint_id, since);
            }
            return Some(AgendaRow { endpoint_id, organization_id, due_at: cursors.now() });
        };
        if let Some(reset) = reset {
            supervised.sent += 1;
            post(&supervised.addr, ResetBreaker(reset));
        }
        if supervised.credits.overflow(since) {
            supervised.sent += 1;
            post(&supervised.addr, MoreInStore);
        }
        None
    }
}

impl Handler<Announced> for Router {
    type Result = ();
    fn handle(&mut self, Announced(announcements): Announced, _: &mut Self::Context) {
        let mut postponed = Vec::new();
        let mut of_others = Vec::new();
        for announcement in announcements {
            match self.context.rights.holding(Partition::of(announcement.endpoint_id)) {
                Holding::Owned => postponed.extend(self.take_announced(announcement)),
                // it was handed over meanwhile
                Holding::HandingOver | Holding::None => of_others.push(announcement),
            }
        }
        self.announce(of_others);
        if !postponed.is_empty() && !self.is_draining {
            post(&self.peers.scheduler.schedule, Schedule(postponed));
        }
    }
}

impl Handler<HandOver> for Router {
    type Result = ResponseFuture<Busy>;
    fn handle(&mut self, HandOver(partitions): HandOver, ctx: &mut Context<Self>) -> Self::Result {
        let partitions: HashSet<Partition> = partitions.into_iter().collect();
        let of_them = self.supervised.iter_mut().filter(|(id, _)| partitions.contains(&Partition::of(**id)));
        for (_, supervised) in of_them {
            supervised.sent += 1;
            post(&supervised.addr, SupervisorDrain);
        }
        let (done, handed_over) = oneshot::channel();
        self.next_generation += 1;
        let number = self.next_generation;
        let is_idle = self.in_partitions(&partitions).is_empty();
        self.handing_over.push(HandingOver { partitions, done, number });
        match is_idle {
            true => self.end_hand_over(number),
            false => _ = ctx.run_later(GRACE, move |router, _| router.end_hand_over(number)),
        }
        // an error means that the router has ended, and with it its supervisors
        Box::pin(async move { handed_over.await.unwrap_or_default() })
    }
}

impl Handler<Abandon> for Router {
    type Result = ResponseFuture<()>;
    fn handle(&mut self, _: Abandon, _: &mut Context<Self>) -> Self::Result {
        self.pinned.clear();
        for supervised in self.supervised.values() {
            post(&supervised.addr, Retire);
        }
        let (done, abandoned) = oneshot::channel();
        match self.supervised.is_empty() {
            true => _ = done.send(()),
            false => self.abandoned.push(done),
        }
        Box::pin(async move {
            let _ = abandoned.await;
        })
    }
}
