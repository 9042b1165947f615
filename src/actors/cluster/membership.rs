//! The actor around the keeper: tells router, scheduler and links of gains and losses, and joins again after a loss of all rights.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Recipient, ResponseActFuture, SpawnHandle, WrapFuture,
};

use super::super::context::ActorContext;
use super::super::mailbox::post;
use super::super::messages::{
    Abandon, ClusterChanged, DropRecords, EndpointReleased, Flush, HandOver, HandOverAll, Leave, LookNow, Nudge,
    Rescan, ResolveDoubt,
};
use super::super::settings_cache::SettingsCache;
use super::clock::DatabaseClock;
use super::joining::{Identity, Joined, NodeReport, company, joining};
use super::keeper::{Keeper, KeeperParts, Round};
use super::rights::{ClusterSeen, Holding, Rights};
use crate::domain::cluster::lease::BEAT;
use crate::domain::cluster::neighbours::{Neighbours, Own};
use crate::domain::cluster::{Member, MemberState, Partition, Slot};
use crate::domain::ids::{EndpointId, IdGenerator};
use crate::store::{Beat, StoreError, StoreResult};
use crate::telemetry::gauges::EngineGauge;
use crate::telemetry::{self, StoreOperation};

/// Pause after joining again failed.
const JOIN_RETRY: Duration = Duration::from_secs(1);

/// Where the membership sends its messages.
pub(crate) struct MembershipPorts {
    pub hand_over: Recipient<HandOver>,
    pub abandon: Recipient<Abandon>,
    pub drop_records: Recipient<DropRecords>,
    pub rescan: Recipient<Rescan>,
    pub resolver: Recipient<ResolveDoubt>,
    pub flush: Recipient<Flush>,
    pub changed: Recipient<ClusterChanged>,
    pub nudge: Recipient<Nudge>,
}

/// The deliveries that wait for this node, as they were counted last.
#[derive(Default)]
struct PendingCount {
    count: AtomicU64,
    is_counting: AtomicBool,
}

/// The membership actor.
pub(crate) struct Membership {
    context: Arc<ActorContext>,
    settings: Arc<SettingsCache>,
    ids: Arc<Mutex<IdGenerator>>,
    clock: Arc<DatabaseClock>,
    identity: Identity,
    ports: MembershipPorts,
    /// Not here while a round runs, and while it joins again.
    keeper: Option<Keeper>,
    me: Slot,
    state: MemberState,
    last: Option<Round>,
    looks: Option<i64>,
    next: Option<SpawnHandle>,
    look_again: bool,
    is_handing_over: bool,
    pending: Arc<PendingCount>,
    rounds: u64,
    /// Rounds up to this one began before partitions were given away, and may have seen them as this node's.
    outdated_rounds: u64,
    /// Ended while a hand-over that may pin them was written.
    released: Vec<EndpointId>,
    neighbours: Neighbours,
}

impl Membership {
    pub(crate) fn new(
        context: Arc<ActorContext>,
        settings: Arc<SettingsCache>,
        ids: Arc<Mutex<IdGenerator>>,
        joined: Joined,
        ports: MembershipPorts,
    ) -> Self {
        let me = Slot(joined.slot());
        let Joined { seat, identity, clock, .. } = joined;
        let (keeper, round) = seat.unzip();
        Self {
            context,
            settings,
            ids,
            clock,
            identity,
            ports,
            me,
            keeper,
            state: MemberState::Live,
            last: round,
            looks: None,
            next: None,
            look_again: false,
            is_handing_over: false,
            pending: Arc::default(),
            rounds: 0,
            outdated_rounds: 0,
            released: Vec::new(),
            neighbours: Neighbours::default(),
        }
    }

    fn rights(&self) -> &Arc<Rights> {
        &self.context.rights
    }

    // ---- rounds

    fn round(&mut self, ctx: &mut Context<Self>) {
        if let Some(next) = self.next.take() {
            ctx.cancel_future(next);
        }
        let Some(mut keeper) = self.keeper.take() else {
            self.look_again = true;
            return;
        };
        let begin = self.context.clock.uptime();
        self.rounds += 1;
        let number = self.rounds;
        self.count_pending();
        let (state, offset) = (self.state, self.clock.offset_ms());
        let rates = self.context.event_rates.get();
        let events_taken = rates.map(|rates| rates.taken()).unwrap_or_default();
        let settings = self.identity.settings.clone();
        let pending = self.pending.count.load(Ordering::Relaxed);
        let round = async move {
            let done = tokio::task::spawn_blocking(move || {
                let report = NodeReport {
                    attempts_in_flight: EngineGauge::AttemptsInFlight.guards(),
                    pending,
                    clock_offset_ms: offset,
                    settings,
                    events_taken,
                };
                let report = serde_json::to_string(&report).unwrap_or_default();
                let round = keeper.round(&Beat { state, report });
                (keeper, round)
            });
            done.await.ok()
        };
        ctx.spawn(round.into_actor(self).map(move |done, actor, ctx| {
            let took = actor.context.clock.uptime().saturating_sub(begin);
            match done {
                Some((keeper, Ok(round))) => {
                    actor.keeper = Some(keeper);
                    match number > actor.outdated_rounds {
                        true => actor.apply(round, ctx),
                        false => actor.look_again = true,
                    }
                }
                Some((_, Err(StoreError::Fenced))) | None => return actor.rights_ended(ctx),
                Some((keeper, Err(error))) => {
                    actor.keeper = Some(keeper);
                    let (operation, now) = (StoreOperation::Beat, actor.context.now());
                    telemetry::StoreUnavailable { operation, now, error: &error, retry_in: BEAT }.emit();
                }
            }
            actor.schedule(BEAT.saturating_sub(took), ctx);
        }));
    }

    /// For the next report. Apart from the round: after a start the first count can take long, and no beat may wait for it.
    fn count_pending(&self) {
        if self.pending.is_counting.swap(true, Ordering::AcqRel) {
            return;
        }
        let (pending, context) = (self.pending.clone(), self.context.clone());
        drop(tokio::task::spawn_blocking(move || {
            if let Ok(count) = context.store.count_pending_of(&|id| context.rights.has(id)) {
                pending.count.store(count, Ordering::Relaxed);
            }
            pending.is_counting.store(false, Ordering::Release);
        }));
    }

    fn schedule(&mut self, pause: Duration, ctx: &mut Context<Self>) {
        let pause = if std::mem::take(&mut self.look_again) { Duration::ZERO } else { pause };
        self.next = Some(ctx.run_later(pause, |actor, ctx| {
            actor.next = None;
            actor.round(ctx);
        }));
    }

    fn apply(&mut self, round: Round, ctx: &mut Context<Self>) {
        self.catch_up(&round);
        let must_look = self.must_look(&round);
        let has_gained = self.take_gains(&round);
        let has_news_for_others = round.ended > 0;
        let released = self.rights().set_kept_elsewhere(&round.ownership.pins, self.me);
        self.learn_rates(&round);
        self.look_at_neighbours(&round);
        self.show(&round);
        self.last = Some(round);
        if must_look || has_gained || !released.is_empty() {
            // what others have committed for endpoints of this node, where their queues were read already
            self.context.queue_cursors.doubt();
            post(&self.ports.rescan, Rescan);
        }
        self.hand_over_what_is_wanted(ctx);
        post(&self.ports.changed, ClusterChanged);
        if has_news_for_others {
            post(&self.ports.nudge, Nudge);
        }
    }

    fn catch_up(&self, round: &Round) {
        if round.view.last_change > self.settings.applied() {
            let settings = self.settings.clone();
            let resolver = self.ports.resolver.clone();
            actix::spawn(async move {
                let read = tokio::task::spawn_blocking({
                    let settings = settings.clone();
                    move || settings.catch_up()
                });
                if !matches!(read.await, Ok(Ok(()))) {
                    settings.doubt();
                    post(&resolver, ResolveDoubt);
                }
            });
        }
    }

    /// Whether something may have been committed for endpoints of this node that nobody told it: others could not tell it, or
    /// have ended before they could.
    fn must_look(&mut self, round: &Round) -> bool {
        let own = round.view.members.iter().find(|member| member.slot == self.me);
        let looks = own.map(|member| member.looks);
        let was_asked = self.looks.is_some() && self.looks != looks;
        self.looks = looks;
        let with_rights = |round: &Round| -> HashSet<(Slot, i64)> {
            let members = round.view.members.iter().filter(|member| member.state.has_rights());
            members.map(|member| (member.slot, member.incarnation)).collect()
        };
        let now = with_rights(round);
        let has_lost_one = self.last.as_ref().is_some_and(|last| !with_rights(last).is_subset(&now));
        was_asked || has_lost_one || round.ended > 0
    }

    fn learn_rates(&self, round: &Round) {
        let Some(rates) = self.context.event_rates.get() else { return };
        let others =
            round.view.members.iter().filter(|member| member.slot != self.me && member.state.has_rights());
        rates.learn(
            others
                .map(|member| ((member.slot, member.incarnation), NodeReport::read(&member.report).events_taken)),
        );
    }

    fn take_gains(&self, round: &Round) -> bool {
        let (rights, now) = (self.rights(), self.context.now());
        let mut has_gained = false;
        for partition in Partition::all() {
            let is_own = round.ownership.map.owner(partition) == Some(self.me);
            match rights.holding(partition) {
                Holding::None if is_own && self.state == MemberState::Live => {
                    rights.hold(partition, Holding::Owned, now);
                    has_gained = true;
                }
                // it is not to be handed over any more
                Holding::HandingOver
                    if is_own
                        && self.state == MemberState::Live
                        && !self.is_handing_over
                        && round.ownership.map.wanted(partition).is_none() =>
                {
                    rights.hold(partition, Holding::Owned, now);
                    has_gained = true;
                }
                Holding::Owned | Holding::HandingOver if !is_own => {
                    rights.hold(partition, Holding::None, now);
                }
                _ => {}
            }
        }
        has_gained
    }

    fn look_at_neighbours(&mut self, round: &Round) {
        let Identity { name, advertise, settings, .. } = &self.identity;
        let own = Own { slot: self.me, name, advertise: advertise.as_deref(), settings };
        let settings_of = |member: &Member| NodeReport::read(&member.report).settings;
        for finding in self.neighbours.look(own, &round.view.members, settings_of) {
            telemetry::NeighbourFound(&finding).emit();
        }
    }

    fn show(&self, round: &Round) {
        let members = round.view.members.iter().cloned().zip(round.silences.iter().copied()).collect();
        let seen = ClusterSeen {
            members,
            map: round.ownership.map.clone(),
            me: Some(self.me),
            clock_offset_ms: self.clock.offset_ms(),
        };
        telemetry::ClusterSeen { members: &round.view.members, map: &seen.map, me: self.me }.emit();
        telemetry::ClockOffset(seen.clock_offset_ms).emit(self.context.now());
        self.rights().set_seen(seen, company(round, self.me));
    }

    /// Without rights, until it has joined again and sees the others.
    fn show_fenced(&self) {
        let mut seen = ClusterSeen::clone(&self.rights().seen());
        let own = seen.members.iter_mut().filter(|(member, _)| member.slot == self.me);
        own.for_each(|(member, _)| member.state = MemberState::Fenced);
        let has_company = self.rights().has_company();
        self.rights().set_seen(seen, has_company);
    }

    // ---- moves

    fn hand_over_what_is_wanted(&mut self, ctx: &mut Context<Self>) {
        let Some(last) = self.last.as_ref().filter(|_| !self.is_handing_over && self.state == MemberState::Live)
        else {
            return;
        };
        let map = &last.ownership.map;
        let moves: Vec<(Partition, Option<Slot>)> = map
            .of(self.me)
            .filter_map(|partition| map.wanted(partition).map(|wanted| (partition, Some(wanted))))
            .collect();
        if !moves.is_empty() {
            let handed_over = self.hand_over(moves, "balance");
            ctx.spawn(handed_over.map(|(), actor: &mut Self, ctx| actor.round(ctx)));
        }
    }

    /// Ends what is under way in partitions, and gives them to others.
    fn hand_over(
        &mut self,
        moves: Vec<(Partition, Option<Slot>)>,
        reason: &'static str,
    ) -> ResponseActFuture<Self, ()> {
        self.is_handing_over = true;
        let now = self.context.now();
        for (partition, _) in &moves {
            self.rights().hold(*partition, Holding::HandingOver, now);
        }
        let partitions = moves.iter().map(|(partition, _)| *partition).collect();
        let (router, flush, store) =
            (self.ports.hand_over.clone(), self.ports.flush.clone(), self.context.store.clone());
        let given = moves.clone();
        let done = async move {
            let busy = router.send(HandOver(partitions)).await.unwrap_or_default();
            // what has ended is on disk before the next owner reads
            let _ = flush.send(Flush).await;
            let busy_now = busy.clone();
            let written = tokio::task::spawn_blocking(move || store.hand_over(&given, &busy_now)).await;
            (written.unwrap_or(Err(StoreError::Fenced)), busy)
        };
        Box::pin(done.into_actor(self).map(move |(written, busy), actor, ctx| {
            actor.is_handing_over = false;
            std::mem::take(&mut actor.released).into_iter().for_each(|id| ctx.notify(EndpointReleased(id)));
            match written {
                Ok(()) => {
                    let now = actor.context.now();
                    for (partition, _) in &moves {
                        actor.rights().hold(*partition, Holding::None, now);
                    }
                    actor.outdated_rounds = actor.rounds;
                    telemetry::PartitionsMoved { count: moves.len(), busy: busy.len(), reason }.emit();
                    post(&actor.ports.nudge, Nudge);
                }
                // it is still wanted: again with the next beat
                Err(error) => tracing::debug!(%error, "partitions can't be handed over yet"),
            }
        }))
    }

    // ---- the end of all rights

    /// Others may act for this node's endpoints: everything that it holds is dropped, and it joins again.
    fn rights_ended(&mut self, ctx: &mut Context<Self>) {
        self.rights().end();
        self.show_fenced();
        // what is in memory may be old, or, after a failover of the database, newer than the rows
        self.settings.become_outdated();
        self.keeper = None;
        self.last = None;
        telemetry::RightsLost { slot: self.me }.emit();
        let (router, persistence) = (self.ports.abandon.clone(), self.ports.drop_records.clone());
        let abandoned = async move {
            let _ = router.send(Abandon).await;
            let _ = persistence.send(DropRecords).await;
        };
        ctx.spawn(abandoned.into_actor(self).map(|_, actor, ctx| actor.join_again(ctx)));
    }

    fn join_again(&mut self, ctx: &mut Context<Self>) {
        if self.state != MemberState::Live {
            return;
        }
        let joining = joining(&self.identity, self.context.random.as_ref(), self.clock.as_ref());
        let store = self.context.store.clone();
        let joined = async move {
            let done = tokio::task::spawn_blocking(move || {
                let slot = store.join(&joining)?;
                Ok((slot, store.largest_id()?))
            });
            done.await.unwrap_or(Err(StoreError::Fenced))
        };
        ctx.spawn(joined.into_actor(self).map(|joined: StoreResult<(Slot, i64)>, actor, ctx| match joined {
            Ok((slot, largest_id)) => actor.joined_again(slot, largest_id, ctx),
            Err(error) => {
                let (operation, now) = (StoreOperation::Beat, actor.context.now());
                telemetry::StoreUnavailable { operation, now, error: &error, retry_in: JOIN_RETRY }.emit();
                ctx.run_later(JOIN_RETRY, Self::join_again);
            }
        }));
    }

    fn joined_again(&mut self, slot: Slot, largest_id: i64, ctx: &mut Context<Self>) {
        self.me = slot;
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        *ids = ids.joined_again(slot.0, largest_id);
        drop(ids);
        let parts = KeeperParts {
            store: self.context.store.clone(),
            rights: self.rights().clone(),
            clock: self.clock.clone(),
            lease: self.identity.lease,
            me: slot,
            addresses: self.identity.addresses.clone(),
        };
        self.keeper = Some(Keeper::new(parts));
        telemetry::NodeJoinedAgain { slot, name: &self.identity.name }.emit();
        self.read_settings_anew(ctx);
    }

    /// Before anything is delivered or accepted.
    fn read_settings_anew(&self, ctx: &mut Context<Self>) {
        let settings = self.settings.clone();
        let read = async move {
            let read = tokio::task::spawn_blocking(move || settings.read_anew());
            read.await.unwrap_or(Err(StoreError::Fenced))
        };
        ctx.spawn(read.into_actor(self).map(|read, actor, ctx| match read {
            Ok(()) => {
                // what was begun before is decided, too
                actor.settings.doubt();
                post(&actor.ports.resolver, ResolveDoubt);
                actor.round(ctx);
            }
            Err(error) => {
                let (operation, now) = (StoreOperation::ResolveDoubt, actor.context.now());
                telemetry::StoreUnavailable { operation, now, error: &error, retry_in: JOIN_RETRY }.emit();
                ctx.run_later(JOIN_RETRY, |actor, ctx| actor.read_settings_anew(ctx));
            }
        }));
    }
}

impl Actor for Membership {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let Some(first) = self.last.take() else { return };
        // a database that can't have several nodes has told everything with this
        let is_shared = first.view.clock.is_some();
        self.apply(first, ctx);
        if is_shared {
            self.schedule(BEAT, ctx);
        }
    }
}

impl Handler<LookNow> for Membership {
    type Result = ();
    fn handle(&mut self, _: LookNow, ctx: &mut Self::Context) {
        self.round(ctx);
    }
}

impl Handler<EndpointReleased> for Membership {
    type Result = ();
    fn handle(&mut self, EndpointReleased(endpoint_id): EndpointReleased, ctx: &mut Self::Context) {
        if self.is_handing_over {
            self.released.push(endpoint_id);
            return;
        }
        let (store, flush) = (self.context.store.clone(), self.ports.flush.clone());
        let done = async move {
            let _ = flush.send(Flush).await;
            tokio::task::spawn_blocking(move || store.unpin(&[endpoint_id]))
                .await
                .unwrap_or(Err(StoreError::Fenced))
        };
        ctx.spawn(done.into_actor(self).map(move |done: StoreResult<()>, actor, ctx| match done {
            Ok(()) => post(&actor.ports.nudge, Nudge),
            Err(StoreError::Fenced) => {}
            // the next owner waits for it
            Err(_) => _ = ctx.run_later(JOIN_RETRY, move |_, ctx| ctx.notify(EndpointReleased(endpoint_id))),
        }));
    }
}

impl Handler<HandOverAll> for Membership {
    type Result = ResponseActFuture<Self, ()>;
    fn handle(&mut self, _: HandOverAll, ctx: &mut Self::Context) -> Self::Result {
        self.state = MemberState::Leaving;
        let heirs = self.last.as_ref().zip(self.keeper.as_ref()).map(|(last, keeper)| keeper.heirs(last));
        let moves = heirs.unwrap_or_default();
        // without another node everything stays here until the end
        if moves.is_empty() || moves.iter().all(|(_, to)| to.is_none()) {
            return Box::pin(async {}.into_actor(self));
        }
        let handed_over = self.hand_over(moves, "leave");
        self.round(ctx);
        handed_over
    }
}

impl Handler<Leave> for Membership {
    type Result = ResponseActFuture<Self, ()>;
    fn handle(&mut self, _: Leave, ctx: &mut Self::Context) -> Self::Result {
        if let Some(next) = self.next.take() {
            ctx.cancel_future(next);
        }
        self.keeper = None;
        let store = self.context.store.clone();
        let left = async move { tokio::task::spawn_blocking(move || store.leave()).await };
        Box::pin(left.into_actor(self).map(|left, actor, _| {
            let is_given_back = matches!(left, Ok(Ok(())));
            telemetry::NodeLeft { slot: actor.me, is_given_back }.emit();
            post(&actor.ports.nudge, Nudge);
        }))
    }
}
