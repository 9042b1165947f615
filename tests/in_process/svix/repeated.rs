//! Requests that are repeated with the same idempotency key.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;

use super::{environment_token, of_application, token, world};
use crate::database::{Database, on_every_store};

on_every_store!(
    a_repeated_request_gets_the_first_answer_and_changes_nothing,
    what_failed_is_tried_again,
    keys_of_different_callers_and_paths_are_different,
    of_two_at_once_one_is_carried_out_and_both_get_its_answer,
    after_a_day_the_key_is_new,
);

async fn a_repeated_request_gets_the_first_answer_and_changes_nothing(database: Database) {
    let (world, token) = (world(database).await, environment_token());
    let new = json!({"name": "a", "description": "x"});
    let first = world.svix_once(&token, "k1", "/event-type", &new).await;
    first.ok(201);
    assert_eq!(first.header("idempotent-replay"), None);
    let again = world.svix_once(&token, "k1", "/event-type", &new).await;
    assert_eq!((again.status, &again.text), (201, &first.text));
    assert_eq!(again.header("idempotent-replay"), Some("true"));
    assert_eq!(again.header("content-type"), Some("application/json"));
    // the body is not compared
    let other = json!({"name": "b", "description": "x"});
    assert_eq!(world.svix_once(&token, "k1", "/event-type", &other).await.text, first.text);
    assert_eq!(world.svix_once(&token, "k1", "/event-type/", &new).await.text, first.text);
    world.svix_once(&token, "k2", "/event-type", &new).await.svix_error(409, "event_type_exists");
}

async fn what_failed_is_tried_again(database: Database) {
    let (world, token) = (world(database).await, environment_token());
    world.svix_once(&token, "k", "/event-type", &json!({"name": "a b", "description": "x"})).await.svix_invalid();
    let new = json!({"name": "a", "description": "x"});
    world.store.is_unavailable.store(true, Ordering::SeqCst);
    world.svix_once(&token, "k", "/event-type", &new).await.svix_error(503, "unavailable");
    world.store.is_unavailable.store(false, Ordering::SeqCst);
    world.svix_once(&token, "k", "/event-type", &new).await.ok(201);
}

async fn keys_of_different_callers_and_paths_are_different(database: Database) {
    let world = world(database).await;
    let new = json!({"name": "a", "description": "x"});
    world.svix_once(&environment_token(), "k", "/event-type", &new).await.ok(201);
    let other = token(&json!({"sub": "org_another"}));
    let made = world.svix_once(&other, "k", "/event-type", &new).await;
    assert_eq!((made.status, made.header("idempotent-replay")), (201, None));
    let own = world.organization("own").await;
    let of_own = token(&of_application(&own));
    world.svix_once(&of_own, "k", "/event-type", &new).await.svix_error(403, "insufficient access");
    // another token of the same environment
    let later = token(&json!({"sub": super::DEFAULT_ENVIRONMENT, "iat": super::NOW}));
    world.svix_once(&later, "k", "/event-type", &new).await.svix_error(409, "event_type_exists");
}

async fn of_two_at_once_one_is_carried_out_and_both_get_its_answer(database: Database) {
    let (world, token) = (world(database).await, environment_token());
    let new = json!({"name": "a", "description": "x"});
    let call = || world.svix_once(&token, "k", "/event-type", &new);
    let (one, two, three) = tokio::join!(call(), call(), call());
    assert_eq!([one.status, two.status, three.status], [201; 3]);
    assert_eq!((&one.text, &one.text), (&two.text, &three.text));
    let replayed = [&one, &two, &three].map(|answer| answer.header("idempotent-replay").is_some());
    assert_eq!(replayed.iter().filter(|is_replayed| !**is_replayed).count(), 1);
}

async fn after_a_day_the_key_is_new(database: Database) {
    let (world, token) = (world(database).await, environment_token());
    let new = json!({"name": "a", "description": "x"});
    world.svix_once(&token, "k", "/event-type", &new).await.ok(201);
    world.clock.advance(Duration::from_secs(24 * 3600 - 60));
    world.svix_once(&token, "k", "/event-type", &new).await.ok(201);
    world.clock.advance(Duration::from_secs(120));
    world.svix_once(&token, "k", "/event-type", &new).await.svix_error(409, "event_type_exists");
}
