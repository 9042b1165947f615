//! Tells the applications of the management environment what the store has noticed about the webhooks of the environments that
//! they are named after: Svix's operational webhooks.
//!
//! The notices wait in the store, where they were written with what they tell. From there organizations take turns: a few
//! notices of each are published at a time, and no more than an application's endpoints take. So a storm of one organization
//! waits here, where others pass it, and not in the queues of endpoints, which keep their order. A notice is removed when its
//! message is stored; the message has the notice's cause as its idempotency key, so that it is stored once whoever repeats it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::ids::{ApplicationId, AttemptId, EndpointName};
use crate::actors::handle::EngineHandle;
use crate::actors::publication::{Publication, PublishError};
use crate::domain::ids::{DeliveryId, EndpointId, EventId, OrganizationId};
use crate::domain::notice::{NoticeKind, NoticedAttempt};
use crate::domain::time::UnixMillis;
use crate::store::{IdempotencyKey, Notice, StoreResult};

/// Notices of one organization in a turn. Smaller: more commits for the same. Larger: others wait longer for their turns.
const A_TURN: usize = 16;
/// Messages that are due at an application's fastest endpoint while more are published. Smaller: a fast one waits for turns.
/// Larger: a notice waits longer behind those of others that were published before it.
const DUE_AT_MOST: usize = 64;
/// Pause while nothing waits: what another node has written is seen after it, and what this one has at once. Smaller: an idle
/// database is asked more often. Larger: another node's notices wait longer.
const IDLE_PAUSE: Duration = Duration::from_secs(1);
/// Pause while no application takes more; doubled after each round up to the longest, which is that without work. Smaller: the
/// database is asked more often. Larger: a fast endpoint idles.
const HELD_PAUSE: Duration = Duration::from_millis(5);
/// What an attempt without a response has for a status, as with Svix's server.
const NO_RESPONSE: u16 = 0;

/// Begins to tell, on this thread and for as long as it lives.
pub fn start(engine: EngineHandle) {
    let mut teller = Teller {
        engine,
        behind: None,
        has_told: false,
        resume_at: HashMap::new(),
        held_at: HashMap::new(),
        held_pause: HELD_PAUSE,
        may_be_more: true,
    };
    actix_web::rt::spawn(async move {
        loop {
            teller.work().await;
        }
    });
}

struct Teller {
    engine: EngineHandle,
    /// The organization that had the last turn in this round.
    behind: Option<OrganizationId>,
    /// Something was told in this round.
    has_told: bool,
    /// Applications that took no more in the last round, and whose turn it was: it is first in this one, or those at the beginning
    /// would fill up every time what the application takes.
    resume_at: HashMap<OrganizationId, OrganizationId>,
    /// The same in this round.
    held_at: HashMap<OrganizationId, OrganizationId>,
    /// After the next round in which nothing is told.
    held_pause: Duration,
    /// The store may hold notices although nobody listens any more.
    may_be_more: bool,
}

/// What a turn found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// There may be more.
    Taken,
    /// No application takes more now.
    Held,
    /// Nothing waits.
    Idle,
}

impl Teller {
    /// Takes a turn, or waits for the next one.
    async fn work(&mut self) {
        self.may_be_more |= self.engine.has_listeners();
        let turn = match self.may_be_more && self.engine.is_teller() {
            true => self.turn().await,
            false => Ok(Turn::Idle),
        };
        match turn {
            Ok(Turn::Taken) => {}
            Ok(Turn::Held) => {
                tokio::time::sleep(self.held_pause).await;
                self.held_pause = (2 * self.held_pause).min(IDLE_PAUSE);
            }
            Ok(Turn::Idle) => {
                let _ = tokio::time::timeout(IDLE_PAUSE, self.engine.noticed()).await;
            }
            Err(error) => {
                tracing::debug!(%error, "notices can't be told yet");
                tokio::time::sleep(IDLE_PAUSE).await;
            }
        }
    }

    async fn turn(&mut self) -> StoreResult<Turn> {
        let behind = self.behind;
        let page = self.engine.read_for_all(move |store| store.notices(behind, A_TURN)).await?;
        let Some(last) = page.last() else {
            let was_first = self.behind.take().is_none();
            self.may_be_more = !was_first;
            self.resume_at = std::mem::take(&mut self.held_at);
            return Ok(match (was_first, std::mem::take(&mut self.has_told)) {
                (true, _) => Turn::Idle,
                (false, true) => Turn::Taken,
                (false, false) => Turn::Held,
            });
        };
        self.behind = Some(last.organization_id);
        let mut of_applications: BTreeMap<OrganizationId, Vec<Notice>> = BTreeMap::new();
        for notice in page {
            of_applications.entry(notice.application_id).or_default().push(notice);
        }
        for (application_id, notices) in of_applications {
            if self.tell(application_id, notices).await? {
                self.has_told = true;
                self.held_pause = HELD_PAUSE;
            }
        }
        Ok(Turn::Taken)
    }

    /// Tells one application, if it takes more. Returns whether it did.
    async fn tell(&mut self, application_id: OrganizationId, mut notices: Vec<Notice>) -> StoreResult<bool> {
        let resume_at = self.resume_at.get(&application_id);
        notices.retain(|notice| resume_at.is_none_or(|resume_at| notice.organization_id >= *resume_at));
        let Some(first) = notices.first().map(|first| first.organization_id) else { return Ok(false) };
        if self.held_at.contains_key(&application_id) {
            return Ok(false);
        }
        let now = self.engine.now();
        let due = self.engine.read_for_all(move |store| store.least_due(application_id, now, DUE_AT_MOST));
        let done = match due.await? {
            // it was deleted
            None => notices.iter().map(|notice| notice.id).collect(),
            Some(DUE_AT_MOST..) => {
                self.held_at.insert(application_id, first);
                return Ok(false);
            }
            Some(_) => self.publish(application_id, notices).await?,
        };
        let has_told = !done.is_empty();
        if has_told {
            self.engine.write_for_all(move |store| store.remove_notices(&done)).await?;
        }
        Ok(has_told)
    }

    /// Returns which of them are done.
    async fn publish(&self, application_id: OrganizationId, notices: Vec<Notice>) -> StoreResult<Vec<i64>> {
        let (mut done, mut published, mut publications) = (Vec::new(), Vec::new(), Vec::new());
        for notice in notices {
            match self.publication(application_id, &notice).await? {
                Some(publication) => {
                    published.push(notice.id);
                    publications.push(publication);
                }
                None => done.push(notice.id),
            }
        }
        match self.engine.publish_all(publications, None).await {
            Ok(results) => {
                let is_over = |error: &PublishError| {
                    matches!(error, PublishError::OrganizationDeleted | PublishError::IdempotencyKeyReused)
                };
                let told = published.into_iter().zip(results);
                done.extend(
                    told.filter(|(_, result)| result.as_ref().err().is_none_or(is_over)).map(|(id, _)| id),
                );
            }
            Err(error) => tracing::debug!(%error, "notices can't be published yet"),
        }
        Ok(done)
    }

    /// The message that tells a notice; `None` when there is nothing to tell.
    async fn publication(
        &self,
        application_id: OrganizationId,
        notice: &Notice,
    ) -> StoreResult<Option<Publication>> {
        let Some(kind) = notice.kind else { return Ok(None) };
        if let Some(attempt) = notice.facts.attempt.filter(|attempt| attempt.needs_failure)
            && !self.failed_before(notice.organization_id, attempt).await?
        {
            return Ok(None);
        }
        let body = json!({"type": kind.event_type(), "data": data(kind, notice)});
        // an object of strings and numbers always serializes
        let Ok(body) = RawValue::from_string(body.to_string()) else { return Ok(None) };
        let now = self.engine.now();
        let time = (now.to_string(), now);
        let mut publication = Publication::new(application_id, kind.event_type().to_owned(), time, body);
        publication.has_free_type = true;
        publication.idempotency = Some(IdempotencyKey::of_notice(&notice.cause));
        Ok(Some(publication))
    }

    /// Whether the attempt before this one failed.
    async fn failed_before(&self, owner: OrganizationId, attempt: NoticedAttempt) -> StoreResult<bool> {
        let id = DeliveryId(attempt.delivery_id);
        let Some(delivery) = self.engine.read_for_all(move |store| store.delivery(owner, id)).await? else {
            return Ok(false);
        };
        let before = delivery.attempts.iter().find(|known| known.number + 1 == attempt.number);
        Ok(before.is_some_and(|before| before.response_code.is_none_or(|code| !(200..300).contains(&code))))
    }
}

/// The `data` of a message, in the names of this API.
fn data(kind: NoticeKind, notice: &Notice) -> Value {
    let facts = &notice.facts;
    let mut data = Map::new();
    let mut add = |name: &str, value: Option<Value>| {
        data.extend(value.map(|value| (name.to_owned(), value)));
    };
    add("appId", Some(json!(ApplicationId(notice.organization_id).to_string())));
    add("appUid", facts.organization_uid.as_ref().map(|uid| json!(uid)));
    add("endpointId", Some(json!(EndpointName(EndpointId(facts.endpoint_id)).to_string())));
    add("endpointUid", facts.endpoint_uid.as_ref().map(|uid| json!(uid)));
    if kind == NoticeKind::Disabled {
        add("failSince", facts.failing_since.map(|since| json!(UnixMillis(since).to_string())));
        add("trigger", Some(json!(if facts.is_automatic { "automatic" } else { "manual" })));
    }
    if let Some(attempt) = facts.attempt {
        let id = AttemptId { delivery_id: DeliveryId(attempt.delivery_id), number: attempt.number };
        add("msgId", Some(json!(EventId(attempt.event_id).to_string())));
        add("msgEventId", facts.event_uid.as_ref().map(|uid| json!(uid)));
        let last = json!({
            "id": id,
            "responseStatusCode": attempt.response_code.unwrap_or(NO_RESPONSE),
            "timestamp": UnixMillis(attempt.at).to_string(),
        });
        add("lastAttempt", Some(last));
    }
    Value::Object(data)
}
