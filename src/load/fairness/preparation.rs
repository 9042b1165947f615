//! Builds up what an aggressor needs before it strikes: webhooks, a backlog, failed deliveries.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use awc::http::Method;
use awc::http::header::HeaderValue;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::Deserialize;
use serde_json::{Value, json};

use super::aggressor::{Aggressor, Scale};
use super::client::{Call, Caller};
use super::garbage::garbage;
use super::receivers::{AggressorReceivers, Behaviour};
use super::strike::StrikePlan;
use crate::domain::event_types::BUILT_IN;
use crate::load::clock::RunClock;
use crate::load::error::LoadError;
use crate::load::report::table::thousands;
use crate::load::target_engine::TargetEngine;

/// Requests at once while webhooks are created: one by one, 10,000 take a minute.
const CREATING: usize = 16;
/// Batches at once while a backlog is built up.
const PUBLISHING: usize = 2;
/// Deliveries of one batch while a backlog is built up. Larger: one of 1,000 webhooks takes minutes on a slow machine.
const BATCH_DELIVERIES: usize = 20_000;
/// Of one batch (contract).
const MAX_BATCH: usize = 1_000;
/// Default limit of webhooks of an organization (contract).
const WEBHOOKS_OF_AN_EVENT: usize = 1_000;
/// Between two looks at how far it is.
const POLL: Duration = Duration::from_millis(100);
/// When nothing has moved for this long, it does not come about.
const STALLED: Duration = Duration::from_secs(60);
/// A backlog counts as built up with this share: each held webhook has sent one delivery of it. And of failed deliveries a few
/// may not be recorded yet.
const ENOUGH: f64 = 0.9;
/// An instant before every run.
const LONG_AGO: &str = "2020-01-01T00:00:00Z";
/// Just under what the engine accepts (contract: 10 MiB).
const LARGE_BYTES: usize = 10 * 1024 * 1024 - 4_096;
const LEAST_LARGE_BYTES: usize = 1024 * 1024;
/// The longest timeout of a webhook (contract), so that hanging receivers hold attempts for long.
const LONG_TIMEOUT_SECONDS: u64 = 30;

/// What an aggressor can use.
pub(crate) struct Ground<'a> {
    pub engine: &'a TargetEngine,
    pub receivers: &'a AggressorReceivers,
    pub clock: RunClock,
    /// Of its organization's owner.
    pub key: Arc<str>,
    pub organization: String,
    pub admin_key: Arc<str>,
    pub scale: Scale,
    /// Tells people what is going on.
    pub say: &'a dyn Fn(&str),
}

/// An aggressor that can strike.
pub(crate) struct Prepared {
    pub plan: StrikePlan,
    /// For people: what there is.
    pub what: String,
    /// Requests of one turn; fewer show that it did not get going.
    pub least_requests: u64,
    /// Attempts of one turn that reach its receivers, at least.
    pub least_attempts: u64,
}

#[derive(Deserialize)]
struct CreatedWebhook {
    id: String,
}

/// Prepares an aggressor for turns of this length.
pub(crate) async fn prepare(
    aggressor: Aggressor,
    ground: &Ground<'_>,
    turn: Duration,
) -> Result<Prepared, LoadError> {
    match aggressor {
        Aggressor::Batches => ground.batches(None).await,
        Aggressor::IdempotentBatches => ground.batches(Some(HeaderValue::from_static("the-same-again"))).await,
        Aggressor::SlowWebhooks => ground.webhooks_of(Behaviour::Slow, 10_000, turn).await,
        Aggressor::HangingWebhooks => ground.webhooks_of(Behaviour::Hanging, 4_200, turn).await,
        Aggressor::DeadWebhooks => ground.webhooks_of(Behaviour::Dead, 10_000, turn).await,
        Aggressor::DueBacklog => ground.due_backlog().await,
        Aggressor::Reads => ground.reads().await,
        Aggressor::Tests => ground.tests().await,
        Aggressor::Recover => ground.recover().await,
        Aggressor::DeleteOrganization => ground.delete_organization().await,
        Aggressor::LargeEvents => ground.large_events().await,
        Aggressor::SlowBodies => {
            let connections = 64;
            Ok(Prepared {
                plan: StrikePlan::SlowBodies { connections, key: Arc::clone(&ground.key) },
                what: format!("{connections} connections"),
                least_requests: connections as u64,
                least_attempts: 0,
            })
        }
        Aggressor::Garbage => {
            let per_second = ground.scale.of(500, 50) as f64;
            Ok(Prepared {
                plan: StrikePlan::Paced { calls: garbage(&ground.key), per_second, connections: 64 },
                what: format!("{per_second}/s"),
                least_requests: (per_second * turn.as_secs_f64() / 2.0) as u64,
                least_attempts: 0,
            })
        }
    }
}

impl Ground<'_> {
    async fn batches(&self, idempotency_key: Option<HeaderValue>) -> Result<Prepared, LoadError> {
        // a repeated batch is stored once: its cost is not that of its deliveries
        let webhooks = if idempotency_key.is_some() { 10 } else { self.scale.of(1_000, 4) };
        let (events, connections) = (self.scale.of(1_000, 100), 4);
        self.create_webhooks(webhooks, Behaviour::Fast, json!({})).await?;
        let mut call = Call::new(Method::POST, "/v1/events/batch", &self.key).body(batch(events));
        if let Some(key) = idempotency_key {
            call = call.header("idempotency-key", key);
        }
        Ok(Prepared {
            plan: StrikePlan::Loops(vec![vec![call]; connections]),
            what: format!("{} webhooks × {} events", thousands(webhooks as u64), thousands(events as u64)),
            least_requests: connections as u64,
            least_attempts: 0,
        })
    }

    /// One event a second for each of them; the first ones are on their way when the turn begins.
    ///
    /// Each event goes to at most 1,000 webhooks: by default an organization has no more, and an event is one commit.
    async fn webhooks_of(
        &self,
        behaviour: Behaviour,
        count: usize,
        turn: Duration,
    ) -> Result<Prepared, LoadError> {
        let webhooks = self.scale.of(count, 20);
        self.create_webhooks(webhooks, behaviour, json!({"timeout": LONG_TIMEOUT_SECONDS})).await?;
        let groups = webhooks.div_ceil(WEBHOOKS_OF_AN_EVENT);
        let publish = |group| Call::new(Method::POST, "/v1/events", &self.key).json(&event(group));
        let calls: Vec<Call> = (0..groups).map(publish).collect();
        let caller = self.caller();
        for _ in 0..3 {
            for call in &calls {
                caller.insist(call, self.clock).await?;
            }
        }
        let reaches_receivers = behaviour != Behaviour::Dead;
        self.until("the first attempts", || async {
            let attempts = self.receivers.attempts();
            Ok((attempts, !reaches_receivers || attempts > 0))
        })
        .await?;
        Ok(Prepared {
            plan: StrikePlan::Paced { calls, per_second: groups as f64, connections: 4 },
            what: format!("{} webhooks", thousands(webhooks as u64)),
            least_requests: groups as u64 * (turn.as_secs() / 2).max(1),
            least_attempts: 0,
        })
    }

    /// The deliveries are held by rate limits while they are stored, then by receivers that hang, until the engine is killed.
    async fn due_backlog(&self) -> Result<Prepared, LoadError> {
        let (webhooks, events) = (self.scale.of(1_000, 10), 500);
        let ids = self.create_webhooks(webhooks, Behaviour::Fast, held_back()).await?;
        self.publish(webhooks, events).await?;
        let pending = self.until_pending(webhooks * events).await?;
        self.receivers.hold(true);
        (self.say)("releasing the backlog");
        let caller = self.caller();
        let release = |id: String| {
            let body = json!({"rate_limit": null});
            let call = Call::new(Method::PATCH, format!("/v1/webhooks/{id}"), &self.key).json(&body);
            let caller = &caller;
            async move { caller.insist(&call, self.clock).await.map(drop) }
        };
        stream::iter(ids).map(release).buffer_unordered(CREATING).try_collect::<()>().await?;
        Ok(Prepared {
            plan: StrikePlan::Nothing,
            what: format!("{} due", thousands(pending)),
            least_requests: 0,
            least_attempts: (pending / 1_000).max(1),
        })
    }

    async fn reads(&self) -> Result<Prepared, LoadError> {
        let (webhooks, events) = (self.scale.of(400, 8), 1_000);
        let ids = self.create_webhooks(webhooks, Behaviour::Fast, held_back()).await?;
        self.publish(webhooks, events).await?;
        let pending = self.until_pending(webhooks * events).await?;
        let get = |path: String| Call::new(Method::GET, path, &self.key);
        let first = ids.first().map_or("", String::as_str);
        let listings: [Vec<Call>; 5] = [
            vec![get("/v1/health".to_owned())],
            ids.iter().map(|id| get(format!("/v1/webhooks/{id}/health"))).collect(),
            vec![get("/v1/webhooks?limit=200".to_owned())],
            [
                "limit=200",
                "status=pending&limit=200",
                "status=failed",
                "status=success&response_code=200",
                "response_code=5xx",
                "event_type=call.completed&status=pending",
                "event_type=call.started",
                "from=2020-01-01T00:00:00Z&to=2030-01-01T00:00:00Z",
                &format!("webhook_id={first}&status=pending"),
            ]
            .map(|filter| get(format!("/v1/webhooks/logs?{filter}")))
            .to_vec(),
            vec![get("/v1/events?limit=200".to_owned())],
        ];
        let at_once = self.scale.of(80, 8);
        let workers = listings.iter().flat_map(|calls| {
            (0..at_once).map(|worker| {
                let mut calls = calls.clone();
                let len = calls.len();
                calls.rotate_left(worker % len);
                calls
            })
        });
        Ok(Prepared {
            plan: StrikePlan::Loops(workers.collect()),
            what: format!("{} pending", thousands(pending)),
            least_requests: (at_once * listings.len()) as u64,
            least_attempts: 0,
        })
    }

    async fn tests(&self) -> Result<Prepared, LoadError> {
        let ids = self.create_webhooks(1, Behaviour::Hanging, json!({})).await?;
        let at_once = self.scale.of(200, 20);
        let test = |id: &String| Call::new(Method::POST, format!("/v1/webhooks/{id}/test"), &self.key).body("{}");
        let calls: Vec<Call> = ids.iter().map(test).collect();
        Ok(Prepared {
            plan: StrikePlan::Loops(vec![calls; at_once]),
            what: format!("{at_once} at once"),
            least_requests: at_once as u64,
            least_attempts: 1,
        })
    }

    async fn recover(&self) -> Result<Prepared, LoadError> {
        let (webhooks, events) = (20, self.scale.of(50_000, 50));
        let ids = self.create_webhooks(webhooks, Behaviour::Denying, json!({"retry": 0})).await?;
        self.publish(webhooks, events).await?;
        let failed = (webhooks * events) as u64;
        let enough = (failed as f64 * ENOUGH) as u64;
        self.until("deliveries to fail", || async {
            let pending = self.engine.usage().await.map_or(u64::MAX, |usage| usage.pending as u64);
            let ended = failed.saturating_sub(pending);
            Ok((ended, ended >= enough && self.receivers.attempts() >= failed))
        })
        .await?;
        let workers = ids.iter().map(|id| {
            let recover = Call::new(Method::POST, format!("/v1/webhooks/{id}/recover"), &self.key);
            vec![recover.json(&json!({"since": LONG_AGO}))]
        });
        Ok(Prepared {
            plan: StrikePlan::Loops(workers.collect()),
            what: format!("{} failed", thousands(failed)),
            least_requests: webhooks as u64,
            least_attempts: 0,
        })
    }

    async fn delete_organization(&self) -> Result<Prepared, LoadError> {
        let (webhooks, events) = (self.scale.of(1_000, 10), 1_000);
        self.create_webhooks(webhooks, Behaviour::Fast, held_back()).await?;
        self.publish(webhooks, events).await?;
        let pending = self.until_pending(webhooks * events).await?;
        let path = format!("/v1/organizations/{}", self.organization);
        Ok(Prepared {
            plan: StrikePlan::Once(vec![Call::new(Method::DELETE, path, &self.admin_key)]),
            what: format!("{} pending", thousands(pending)),
            least_requests: 1,
            least_attempts: 0,
        })
    }

    async fn large_events(&self) -> Result<Prepared, LoadError> {
        let webhooks = self.scale.of(16, 4);
        self.create_webhooks(webhooks, Behaviour::Hanging, json!({"timeout": LONG_TIMEOUT_SECONDS})).await?;
        let bytes = self.scale.of(LARGE_BYTES, LEAST_LARGE_BYTES);
        let body = format!(r#"{{"event_type":"{}","data":{{"pad":"{}"}}}}"#, event_type(0), "x".repeat(bytes));
        let call = Call::new(Method::POST, "/v1/events", &self.key).body(body);
        let connections = 8;
        Ok(Prepared {
            plan: StrikePlan::Loops(vec![vec![call]; connections]),
            what: format!("{} MiB to {webhooks} webhooks", bytes.div_ceil(1024 * 1024)),
            least_requests: connections as u64,
            least_attempts: 1,
        })
    }

    fn caller(&self) -> Caller {
        Caller::new(self.engine.base())
    }

    /// Returns their ids.
    async fn create_webhooks(
        &self,
        count: usize,
        behaviour: Behaviour,
        settings: Value,
    ) -> Result<Vec<String>, LoadError> {
        (self.say)(&format!("creating webhooks: 0 of {}", thousands(count as u64)));
        let caller = self.caller();
        let created = Cell::new(0);
        let create = |webhook: usize| {
            let mut body = settings.clone();
            body["url"] = json!(self.receivers.url(behaviour, webhook));
            body["events"] = json!([event_type(webhook / WEBHOOKS_OF_AN_EVENT)]);
            let call = Call::new(Method::POST, "/v1/webhooks", &self.key).json(&body);
            let (caller, created) = (&caller, &created);
            async move {
                let answer = caller.insist(&call, self.clock).await?;
                let webhook: CreatedWebhook = serde_json::from_slice(&answer).map_err(|error| {
                    LoadError::NotPrepared(format!("a created webhook is not what was expected: {error}"))
                })?;
                created.set(created.get() + 1);
                if created.get() % 100 == 0 {
                    (self.say)(&format!(
                        "creating webhooks: {} of {}",
                        thousands(created.get()),
                        thousands(count as u64)
                    ));
                }
                Ok::<_, LoadError>(webhook.id)
            }
        };
        stream::iter(0..count).map(create).buffer_unordered(CREATING).try_collect().await
    }

    /// Publishes `events` events, each of which goes to all of `webhooks` webhooks.
    async fn publish(&self, webhooks: usize, events: usize) -> Result<(), LoadError> {
        let caller = self.caller();
        let size = (BATCH_DELIVERIES / webhooks).clamp(1, MAX_BATCH);
        let sizes = (0..events).step_by(size).map(|first| size.min(events - first));
        let stored = Cell::new(0);
        let publish = |size: usize| {
            let call = Call::new(Method::POST, "/v1/events/batch", &self.key).body(batch(size));
            let (caller, stored) = (&caller, &stored);
            async move {
                caller.insist(&call, self.clock).await?;
                stored.set(stored.get() + size * webhooks);
                let (stored, of) = (thousands(stored.get() as u64), thousands((events * webhooks) as u64));
                (self.say)(&format!("building up deliveries: {stored} of {of}"));
                Ok::<_, LoadError>(())
            }
        };
        stream::iter(sizes).map(publish).buffer_unordered(PUBLISHING).try_collect().await
    }

    /// Waits until nearly `expected` deliveries are pending, and returns how many there are.
    async fn until_pending(&self, expected: usize) -> Result<u64, LoadError> {
        let enough = (expected as f64 * ENOUGH) as u64;
        self.until("pending deliveries to be counted", || async {
            let pending = self.engine.usage().await.map_or(0, |usage| usage.pending as u64);
            Ok((pending, pending >= enough))
        })
        .await
    }

    /// Polls a count until it is enough; an error when it stands still.
    async fn until<F>(&self, what: &str, look: impl Fn() -> F) -> Result<u64, LoadError>
    where
        F: Future<Output = Result<(u64, bool), LoadError>>,
    {
        let (mut last, mut since) = (0, self.clock.now_micros());
        loop {
            let (count, is_enough) = look().await?;
            if is_enough {
                return Ok(count);
            }
            if count != last {
                (last, since) = (count, self.clock.now_micros());
            }
            if self.clock.since(since) > STALLED {
                return Err(LoadError::NotPrepared(format!(
                    "waiting for {what}, it stays at {}",
                    thousands(count)
                )));
            }
            (self.say)(&format!("waiting for {what}: {}", thousands(count)));
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Next to nothing is delivered (contract: at least 0.01 per second).
fn held_back() -> Value {
    json!({"rate_limit": {"per_second": 0.01, "burst": 1}})
}

/// Each group of webhooks asks for a type of its own.
fn event_type(group: usize) -> &'static str {
    BUILT_IN[group % BUILT_IN.len()].name
}

fn event(group: usize) -> Value {
    json!({"event_type": event_type(group), "data": {"pad": "x"}})
}

fn batch(events: usize) -> String {
    let event = event(0).to_string();
    format!("[{}]", vec![event.as_str(); events].join(","))
}
