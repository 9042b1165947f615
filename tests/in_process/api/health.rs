//! How webhooks and organizations fare.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use crate::database::{Database, on_every_store};
use crate::world::{ADMIN, World, eventually};

on_every_store!(
    health_without_deliveries_has_no_figures,
    health_separates_the_last_hour_from_the_last_day,
    a_receiver_that_fails_shows_with_its_backlog_and_its_breaker,
    the_last_failure_is_the_newest_of_the_webhook_and_nobody_elses,
    a_webhook_is_resumed_and_one_that_is_disabled_is_not,
    an_operator_sees_organizations_in_trouble_first_and_every_one_once,
    only_the_admin_sees_the_health_of_all_organizations,
);

fn period(deliveries: u64, success_rate: Value, latency: Value) -> Value {
    let latency_ms = json!({"p50": latency, "p95": latency, "p99": latency});
    json!({"attempts": deliveries, "failed_attempts": 0, "deliveries": deliveries, "success_rate": success_rate, "latency_ms": latency_ms})
}

async fn health_without_deliveries_has_no_figures(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let webhook = world.webhook(&owner, json!({"url": "https://example.com/"})).await;
    let nothing = period(0, Value::Null, Value::Null);
    let expected = json!({
        "state": "healthy", "breaker": {"state": "closed", "probe_at": null}, "failing_since": null,
        "pending": 0, "oldest_pending_at": null, "client_certificate": null, "last_failure": null, "last_1h": nothing, "last_24h": nothing
    });
    assert_eq!(world.get(&owner, &format!("{webhook}/health")).await.ok(200), expected);
    let expected = json!({
        "webhooks": {"healthy": 1, "failing": 0, "paused": 0, "disabled": 0},
        "backlog": {"pending": 0, "oldest_pending_at": null}, "last_1h": nothing, "last_24h": nothing
    });
    assert_eq!(world.get(&owner, "/v1/health").await.ok(200), expected);
    for path in [format!("{webhook}/health?hours=2"), "/v1/health?hours=2".to_owned()] {
        assert_eq!(world.get(&owner, &path).await.problem(422, "validation_failed"), ["hours"]);
    }
}

async fn health_separates_the_last_hour_from_the_last_day(database: Database) {
    let world = World::on(database).await;
    let (owner, stranger) = (world.owner().await, world.owner().await);
    let webhook = world.webhook(&owner, json!({"url": "https://example.com/", "timeout": 1})).await;
    let disabled = world.webhook(&owner, json!({"url": "https://example.com/", "active": false})).await;
    let event = json!({"event_type": "call.completed", "data": {}});
    for status in [200, 404] {
        world.receivers.status.store(status, Ordering::SeqCst);
        world.post(&owner, "/v1/events", event.clone()).await.ok(202);
        world.delivered(&owner).await;
        world.clock.advance(Duration::from_secs(2 * 3_600));
    }
    world.receivers.status.store(200, Ordering::SeqCst);
    world.post(&owner, "/v1/events", event).await.ok(202);
    world.delivered(&owner).await;
    for path in [format!("{webhook}/health"), "/v1/health".to_owned()] {
        let health = world.counted(&owner, &path, 3).await;
        assert_eq!(health["last_1h"], period(1, json!(1.0), json!(3)), "{path}");
        assert_eq!(health["last_24h"]["deliveries"], 3, "{path}");
        let rate = health["last_24h"]["success_rate"].as_f64().unwrap();
        assert!((rate - 2.0 / 3.0).abs() < 1e-9, "{health}");
    }
    let health = world.get(&owner, &format!("{disabled}/health")).await.ok(200);
    assert_eq!((&health["state"], &health["last_24h"]["deliveries"]), (&json!("disabled"), &json!(0)));
    let states = world.get(&owner, "/v1/health").await.ok(200)["webhooks"].clone();
    assert_eq!(states["disabled"], 1);
    let theirs = world.get(&stranger, "/v1/health").await.ok(200);
    assert_eq!((&theirs["webhooks"]["healthy"], &theirs["last_24h"]["deliveries"]), (&json!(0), &json!(0)));
}

async fn a_receiver_that_fails_shows_with_its_backlog_and_its_breaker(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let webhook = world.webhook(&owner, json!({"url": "https://example.com/", "max_in_flight": 1})).await;
    world.receivers.status.store(503, Ordering::SeqCst);
    let event = json!({"event_type": "call.completed", "data": {}});
    for _ in 0..9 {
        world.post(&owner, "/v1/events", event.clone()).await.ok(202);
    }
    let path = format!("{webhook}/health");
    let health = eventually("the breaker opens", async || {
        let health = world.get(&owner, &path).await.ok(200);
        (health["breaker"]["state"] == "open").then_some(health)
    })
    .await;
    assert_eq!((&health["state"], &health["breaker"]["state"]), (&json!("paused"), &json!("open")), "{health}");
    assert!(health["breaker"]["probe_at"].is_string());
    let delivery = health["last_failure"]["delivery_id"].clone();
    let failure = json!({
        "at": "2024-12-16T10:30:45.007Z", "delivery_id": delivery, "response_code": 503, "error": null,
        "response_excerpt": "ok",
    });
    assert_eq!(health["last_failure"], failure);
    let of_failure = world.get(&owner, &format!("/v1/webhooks/logs/{}", delivery.as_str().unwrap())).await.ok(200);
    assert_eq!((&of_failure["status"], &of_failure["response_code"]), (&json!("pending"), &json!(503)));
    for period in ["last_1h", "last_24h"] {
        let figures =
            [&health[period]["attempts"], &health[period]["failed_attempts"], &health[period]["deliveries"]];
        assert_eq!(figures, [&json!(8), &json!(8), &json!(0)], "{period}");
    }
    assert_eq!(health["failing_since"], "2024-12-16T10:30:45.007Z");
    assert_eq!(
        (&health["pending"], &health["oldest_pending_at"]),
        (&json!(9), &json!("2024-12-16T10:30:45.007Z"))
    );
    let organization = world.get(&owner, "/v1/health").await.ok(200);
    assert_eq!(
        (&organization["last_1h"]["attempts"], &organization["last_24h"]["failed_attempts"]),
        (&json!(8), &json!(8))
    );
    assert_eq!((&organization["webhooks"]["paused"], &organization["backlog"]["pending"]), (&json!(1), &json!(9)));
}

async fn the_last_failure_is_the_newest_of_the_webhook_and_nobody_elses(database: Database) {
    let world = World::on(database).await;
    let (owner, stranger) = (world.owner().await, world.owner().await);
    let url = json!({"url": "https://example.com/"});
    let (webhook, other) = (world.webhook(&owner, url.clone()).await, world.webhook(&owner, url.clone()).await);
    let theirs = world.webhook(&stranger, url).await;
    let last = async |key: &str, webhook: &str| {
        world.get(key, &format!("{webhook}/health")).await.ok(200)["last_failure"].clone()
    };
    for (status, code, error) in [(404, json!(404), Value::Null), (0, Value::Null, json!("timeout"))] {
        world.receivers.status.store(status, Ordering::SeqCst);
        let test = world.post(&owner, &format!("{webhook}/test"), json!({})).await.ok(200);
        let found = last(&owner, &webhook).await;
        assert_eq!(found["delivery_id"], test["delivery_id"]);
        assert_eq!((&found["response_code"], &found["error"]), (&code, &error));
        let excerpt = if status == 0 { Value::Null } else { json!("ok") };
        assert_eq!(found["response_excerpt"], excerpt);
        world.clock.advance(Duration::from_secs(60));
    }
    world.receivers.status.store(200, Ordering::SeqCst);
    world.post(&owner, &format!("{webhook}/test"), json!({})).await.ok(200);
    assert_eq!(last(&owner, &webhook).await["error"], "timeout", "a success is no failure");
    for (key, webhook) in [(&owner, &other), (&stranger, &theirs)] {
        assert_eq!(last(key, webhook).await, Value::Null);
    }
    world.get(&stranger, &format!("{webhook}/health")).await.problem(404, "not_found");
}

async fn a_webhook_is_resumed_and_one_that_is_disabled_is_not(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let webhook = world.webhook(&owner, json!({"url": "https://example.com/", "timeout": 1})).await;
    world.receivers.status.store(503, Ordering::SeqCst);
    for _ in 0..3 {
        world.post(&owner, "/v1/events", json!({"event_type": "call.completed", "data": {}})).await.ok(202);
    }
    let log = async || world.get(&owner, "/v1/webhooks/logs").await.ok(200)["data"].as_array().unwrap().clone();
    let all = async |holds: &dyn Fn(&Value) -> bool| {
        eventually("all rows of the log are as wanted", async || log().await.iter().all(holds).then_some(()))
            .await;
    };
    all(&|row| row["attempt_count"] == 1).await;
    world.receivers.status.store(200, Ordering::SeqCst);
    let resume = format!("{webhook}/resume");
    assert_eq!(world.call(&owner, "POST", &resume, "").await.ok(202), json!({"deliveries": 3}));
    all(&|row| row["status"] == "success" && row["attempt_count"] == 2).await;
    assert_eq!(world.call(&owner, "POST", &resume, "").await.ok(202), json!({"deliveries": 0}));
    world.patch(&owner, &webhook, json!({"active": false})).await.ok(200);
    let refused = world.call(&owner, "POST", &resume, "").await;
    refused.problem(409, "conflict");
    assert!(refused.text.contains("set active to true"), "{}", refused.text);
}

async fn an_operator_sees_organizations_in_trouble_first_and_every_one_once(database: Database) {
    let world = World::on(database).await;
    let mut names = Vec::new();
    for name in ["calm", "late", "failing", "fine", "deleted"] {
        names.push((name, world.organization(name).await));
    }
    let id = |wanted: &str| names.iter().find(|(name, _)| *name == wanted).unwrap().1.clone();
    let event = json!({"event_type": "call.completed", "data": {}});
    world.receivers.status.store(503, Ordering::SeqCst);
    for name in ["failing", "late", "deleted"] {
        let owner = world.key(&id(name), "owner").await;
        let webhook = world.webhook(&owner, json!({"url": "https://example.com/"})).await;
        world.post(&owner, "/v1/events", event.clone()).await.ok(202);
        world.counted(&owner, "/v1/health", 1).await;
        if name == "late" {
            // what is inactive fails no more, and is still behind
            world.patch(&owner, &webhook, json!({"active": false})).await.ok(200);
        }
        world.clock.advance(Duration::from_secs(60));
    }
    world.call(ADMIN, "DELETE", &format!("/v1/organizations/{}", id("deleted")), "").await.ok(204);
    let mut seen = Vec::new();
    let mut path = String::from("/v1/health?all=true&limit=1");
    loop {
        let page = world.get(ADMIN, &path).await.ok(200);
        seen.extend(page["data"].as_array().unwrap().clone());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/health?all=true&limit=1&cursor={cursor}");
    }
    let all = world.get(ADMIN, "/v1/health?all=true").await.ok(200);
    assert_eq!(all["data"], json!(seen), "pages and the whole are the same");
    let ids: Vec<&str> = seen.iter().map(|row| row["organization_id"].as_str().unwrap()).collect();
    assert_eq!(ids, [id("failing"), id("late"), id("fine"), id("calm")]);
    let states = |failing, disabled| json!({"healthy": 0, "failing": failing, "paused": 0, "disabled": disabled});
    let at = "2024-12-16T10:30:45.007Z";
    assert_eq!(
        (&seen[1]["last_event_at"], &seen[2]["last_event_at"]),
        (&json!("2024-12-16T10:31:45.007Z"), &Value::Null)
    );
    let backlog = |at: Value| json!({"pending": u64::from(!at.is_null()), "oldest_pending_at": at});
    let failing = json!({
        "organization_id": id("failing"), "uid": null, "name": "failing", "webhooks": states(1, 0), "failing_since": at,
        "backlog": backlog(json!(at)), "last_event_at": at,
    });
    assert_eq!(seen[0], failing);
    assert_eq!((&seen[1]["webhooks"], &seen[1]["failing_since"]), (&states(0, 1), &Value::Null));
    assert_eq!((&seen[2]["webhooks"], &seen[2]["backlog"]), (&states(0, 0), &backlog(Value::Null)));
    let listed = world.get(ADMIN, "/v1/organizations?state=failing").await.ok(200);
    let listed: Vec<&str> =
        listed["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(listed, [id("failing")]);
    let refused = world.get(ADMIN, "/v1/organizations?state=sad").await;
    assert_eq!(refused.problem(422, "validation_failed"), ["state"]);
}

async fn only_the_admin_sees_the_health_of_all_organizations(database: Database) {
    let world = World::on(database).await;
    let organization = world.organization("acme").await;
    world.get(ADMIN, "/v1/health").await.problem(400, "organization_required");
    world.get(&world.deployment_key("admin").await, "/v1/health?all=true").await.ok(200);
    for role in ["viewer", "manager", "owner"] {
        let key = world.key(&organization, role).await;
        world.get(&key, "/v1/health?all=true").await.problem(403, "forbidden");
        let key = world.deployment_key(role).await;
        world.get(&key, "/v1/health?all=true").await.problem(400, "organization_required");
        world.call_in(&key, &organization, "GET", "/v1/health?all=true", "").await.problem(403, "forbidden");
    }
    world.call_in(ADMIN, &organization, "GET", "/v1/health?all=true", "").await.problem(403, "forbidden");
    world.call_in(ADMIN, &organization, "GET", "/v1/health?all=false", "").await.ok(200);
    assert_eq!(world.get(ADMIN, "/v1/health?all=1").await.problem(422, "validation_failed"), ["all"]);
}
