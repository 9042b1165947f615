//! Organizations by the publisher's own ids, and keys of the deployment.

use std::time::Duration;

use serde_json::{Value, json};

use crate::database::{Database, on_every_store};
use crate::world::{ADMIN, World, eventually};

on_every_store!(
    an_own_id_serves_wherever_an_id_does_and_belongs_to_one_organization,
    get_or_create_makes_one_organization_and_leaves_one_that_is_there_as_it_is,
    an_idempotency_key_makes_one_organization_for_a_day,
    a_change_of_an_organization_changes_what_is_given_and_nothing_else,
    a_key_of_the_deployment_is_shown_once_listed_and_revoked,
    the_last_use_of_a_key_is_told_to_a_minute,
    an_organization_that_is_gone_can_not_be_named,
    a_verbatim_body_is_the_data_as_it_was_sent_from_the_change_on,
);

const ORGANIZATIONS: &str = "/v1/organizations";

fn id(value: &Value) -> &str {
    value["id"].as_str().unwrap()
}

async fn a_verbatim_body_is_the_data_as_it_was_sent_from_the_change_on(database: Database) {
    let world = World::on(database).await;
    let owner = world.owner().await;
    let organization = &world.get(ADMIN, ORGANIZATIONS).await.ok(200)["data"][0];
    assert_eq!(organization["body"], "envelope");
    let path = format!("{ORGANIZATIONS}/{}", id(organization));
    world.webhook(&owner, json!({"url": "https://example.com/", "filters": {"n": {"gte": 1}}})).await;
    let data = r#"{"n":1e0, "webhook_id":"x","data":{"é":"\u00e9"}}"#;
    let publish = async || {
        let event = format!(r#"{{"event_type":"call.completed","data":{data}}}"#);
        let published = world.call(&owner, "POST", "/v1/events", event.as_str()).await.ok(202);
        assert_eq!(published["deliveries"], 1, "filters look at the data in either shape");
        world.get(&owner, &format!("/v1/events/{}", id(&published))).await.text
    };
    assert!(publish().await.contains(&format!(r#","data":{data}}}"#)));
    let change = async |body: Value| world.call(ADMIN, "PATCH", &path, json!({"body": body}).to_string()).await;
    assert_eq!(change(json!("verbatim")).await.ok(200)["body"], "verbatim");
    assert!(publish().await.contains(&format!(r#""payload":{data}"#)), "data and nothing around it");
    assert_eq!(change(json!("xml")).await.problem(422, "validation_failed"), ["body"]);
    assert_eq!(change(Value::Null).await.ok(200)["body"], "envelope");
    assert!(publish().await.contains("event_type\":"));
    let made = json!({"name": "Acme", "uid": "acme", "body": "verbatim"});
    assert_eq!(world.post(ADMIN, ORGANIZATIONS, made).await.ok(201)["body"], "verbatim");
}

async fn an_own_id_serves_wherever_an_id_does_and_belongs_to_one_organization(database: Database) {
    let world = World::on(database).await;
    let body = json!({"name": "Acme", "uid": "customer-42", "metadata": {"plan": "pro", "seats": "7"}});
    let made = world.post(ADMIN, ORGANIZATIONS, body.clone()).await.ok(201);
    assert_eq!((&made["uid"], &made["metadata"]), (&body["uid"], &body["metadata"]));
    let by_uid = format!("{ORGANIZATIONS}/customer-42");
    assert_eq!(world.get(ADMIN, &by_uid).await.ok(200), made);
    assert_eq!(world.get(ADMIN, ORGANIZATIONS).await.ok(200)["data"], json!([made]));
    let detail = world.post(ADMIN, ORGANIZATIONS, body).await;
    detail.problem(409, "conflict");
    assert!(detail.text.contains("customer-42"), "{}", detail.text);
    let key = json!({"name": "k", "role": "owner"});
    let key = world.post(ADMIN, &format!("{by_uid}/keys"), key).await.ok(201);
    assert_eq!(key["organization_id"], made["id"]);
    let owner = key["key"].as_str().unwrap();
    assert_eq!(world.get(owner, &format!("{by_uid}/keys")).await.ok(200)["data"].as_array().unwrap().len(), 1);
    for bad in ["", ".", "..", "org_x", "a/b", "a b", "é", &"x".repeat(257)] {
        let body = json!({"name": "Acme", "uid": bad});
        assert_eq!(
            world.post(ADMIN, ORGANIZATIONS, body).await.problem(422, "validation_failed"),
            ["uid"],
            "{bad}"
        );
    }
    let many: Value =
        (0..51).map(|number| (number.to_string(), json!("v"))).collect::<serde_json::Map<_, _>>().into();
    for (bad, field) in [
        (many, "metadata"),
        (json!({"a": "x".repeat(8_192)}), "metadata"),
        (json!({"a": 7}), "metadata.a"),
        (json!({"": "x"}), "metadata"),
        (json!([]), "metadata"),
    ] {
        let body = json!({"name": "Acme", "metadata": bad});
        assert_eq!(world.post(ADMIN, ORGANIZATIONS, body).await.problem(422, "validation_failed"), [field]);
    }
    // a path and a header that contradict each other
    let other = world.post(ADMIN, ORGANIZATIONS, json!({"name": "Other", "uid": "other"})).await.ok(201);
    let keys = format!("{by_uid}/keys");
    world.call_in(ADMIN, "other", "GET", &keys, "").await.problem(404, "not_found");
    world.call_in(ADMIN, id(&made), "GET", &keys, "").await.ok(200);
    assert_eq!(other["uid"], "other");
    world.call(ADMIN, "DELETE", &by_uid, "").await.ok(204);
    world.get(ADMIN, &by_uid).await.problem(404, "not_found");
    assert_eq!(world.get(owner, "/v1/webhooks").await.status, 401);
}

async fn get_or_create_makes_one_organization_and_leaves_one_that_is_there_as_it_is(database: Database) {
    let world = World::on(database).await;
    let path = format!("{ORGANIZATIONS}/customer-42");
    let answer = world.call(ADMIN, "PUT", &path, r#"{"name":"Acme","metadata":{"plan":"pro"}}"#).await;
    let made = answer.ok(201);
    assert_eq!(answer.header("location"), Some(format!("{ORGANIZATIONS}/{}", id(&made)).as_str()));
    assert_eq!((&made["uid"], &made["name"]), (&json!("customer-42"), &json!("Acme")));
    for body in ["", "{}", r#"{"name":"Other","metadata":{}}"#] {
        assert_eq!(world.call(ADMIN, "PUT", &path, body).await.ok(200), made, "{body}");
    }
    let by_id = format!("{ORGANIZATIONS}/{}", id(&made));
    assert_eq!(world.call(ADMIN, "PUT", &by_id, "").await.ok(200), made);
    world.call(ADMIN, "PUT", "/v1/organizations/org_0000000000001", "").await.problem(404, "not_found");
    let unnamed = world.call(ADMIN, "PUT", "/v1/organizations/7", "").await.ok(201);
    assert_eq!(unnamed["name"], "7");
    let longest = "x".repeat(256);
    let named = world.call(ADMIN, "PUT", &format!("{ORGANIZATIONS}/{longest}"), "").await.ok(201);
    assert_eq!((named["uid"].as_str().unwrap().len(), named["name"].as_str().unwrap().len()), (256, 200));
    for (path, body, field) in [
        ("/v1/organizations/a%20b", "", "uid"),
        ("/v1/organizations/7", r#"{"uid":"8"}"#, "uid"),
        ("/v1/organizations/7", r#"{"name":""}"#, "name"),
    ] {
        let fields = world.call(ADMIN, "PUT", path, body).await.problem(422, "validation_failed");
        assert_eq!(fields, [field]);
    }
}

async fn an_idempotency_key_makes_one_organization_for_a_day(database: Database) {
    let world = World::on(database).await;
    let create = async |key: &str, body: &str| {
        let request = actix_web::test::TestRequest::post().uri(ORGANIZATIONS).set_payload(body.to_owned());
        let request = request.insert_header(("authorization", format!("Bearer {ADMIN}")));
        world.send(request.insert_header(("idempotency-key", key))).await
    };
    let first = create("one", r#"{"name":"Acme"}"#).await;
    assert_eq!(first.header("idempotent-replay"), None);
    let again = create("one", r#"{"name":"Acme"}"#).await;
    assert_eq!((again.ok(201), again.header("idempotent-replay")), (first.ok(201), Some("true")));
    create("one", r#"{"name":"Other"}"#).await.problem(422, "idempotency_key_reused");
    let written = create("same", r#"{"name":"A","metadata":{"a":"1","b":"2"}}"#).await.ok(201);
    let other_order = create("same", r#"{"metadata":{"b":"2","a":"1"},"name":"A"}"#).await.ok(201);
    assert_eq!(written, other_order, "the order of fields says nothing");
    assert_ne!(id(&create("two", r#"{"name":"Acme"}"#).await.ok(201)), id(&first.json()));
    world.clock.advance(Duration::from_secs(24 * 3600));
    assert_ne!(id(&create("one", r#"{"name":"Other"}"#).await.ok(201)), id(&first.json()));
    assert_eq!(world.get(ADMIN, ORGANIZATIONS).await.ok(200)["data"].as_array().unwrap().len(), 4);
    create("", r#"{"name":"Acme"}"#).await.problem(422, "validation_failed");
    create("three", r#"{"name":"A","uid":"a"}"#).await.ok(201);
    create("four", r#"{"name":"A","uid":"a"}"#).await.problem(409, "conflict");
}

async fn a_change_of_an_organization_changes_what_is_given_and_nothing_else(database: Database) {
    let world = World::on(database).await;
    let body = json!({"name": "Acme", "uid": "a", "metadata": {"plan": "pro"}});
    let mut expected = world.post(ADMIN, ORGANIZATIONS, body).await.ok(201);
    let path = format!("{ORGANIZATIONS}/{}", id(&expected));
    for (change, field, value) in [
        (json!({}), "name", json!("Acme")),
        (json!({"name": "Acme Ltd"}), "name", json!("Acme Ltd")),
        (json!({"uid": "b"}), "uid", json!("b")),
        (json!({"uid": null}), "uid", json!(null)),
        (json!({"uid": "a"}), "uid", json!("a")),
        (json!({"metadata": {"seats": "7"}}), "metadata", json!({"seats": "7"})),
        (json!({"metadata": null}), "metadata", json!({})),
    ] {
        expected[field] = value;
        assert_eq!(world.patch(ADMIN, &path, change).await.ok(200), expected);
        assert_eq!(world.get(ADMIN, &path).await.ok(200), expected);
    }
    // under its old name it is not found at once, by whoever knew it a moment ago
    let key = world.deployment_key("viewer").await;
    world.call_in(&key, "a", "GET", "/v1/webhooks", "").await.ok(200);
    world.patch(ADMIN, &path, json!({"uid": "b"})).await.ok(200);
    world.call_in(&key, "a", "GET", "/v1/webhooks", "").await.problem(404, "not_found");
    world.call_in(&key, "b", "GET", "/v1/webhooks", "").await.ok(200);
    world.post(ADMIN, ORGANIZATIONS, json!({"name": "Other", "uid": "c"})).await.ok(201);
    world.patch(ADMIN, &path, json!({"uid": "c"})).await.problem(409, "conflict");
    let fields = world.patch(ADMIN, &path, json!({"name": null, "id": 7})).await;
    assert_eq!(fields.problem(422, "validation_failed"), ["id", "name"]);
    let missing = "/v1/organizations/org_0000000000001";
    world.patch(ADMIN, missing, json!({"name": "x"})).await.problem(404, "not_found");
}

async fn a_key_of_the_deployment_is_shown_once_listed_and_revoked(database: Database) {
    let world = World::on(database).await;
    let organization = world.organization("acme").await;
    let body = json!({"name": "backend", "role": "admin", "expires_at": "2024-12-16T11:31:45+01:00"});
    let answer = world.post(ADMIN, "/v1/keys", body).await;
    let made = answer.ok(201);
    let key = made["key"].as_str().unwrap();
    assert_eq!((&made["organization_id"], answer.header("cache-control")), (&Value::Null, Some("no-store")));
    let listed = world.get(key, "/v1/keys").await;
    assert!(!listed.text.contains(key), "{}", listed.text);
    assert_eq!(listed.ok(200)["data"][0]["id"], made["id"]);
    // it belongs to no organization, and organizations' keys are not the deployment's
    let keys = format!("{ORGANIZATIONS}/{organization}/keys");
    assert_eq!(world.get(key, &keys).await.ok(200)["data"], json!([]));
    let other = world.key(&organization, "owner").await;
    let others = world.get(ADMIN, &keys).await.ok(200)["data"][0]["id"].clone();
    world
        .call(ADMIN, "DELETE", &format!("/v1/keys/{}", others.as_str().unwrap()), "")
        .await
        .problem(404, "not_found");
    world.call(ADMIN, "DELETE", &format!("{keys}/{}", id(&made)), "").await.problem(404, "not_found");
    world.get(&other, "/v1/webhooks").await.ok(200);
    let path = format!("/v1/keys/{}", id(&made));
    world.call(key, "DELETE", &path, "").await.ok(204);
    world.get(key, "/v1/keys").await.problem(401, "unauthorized");
    world.call(ADMIN, "DELETE", &path, "").await.problem(404, "not_found");
    let expiring = json!({"name": "k", "role": "viewer", "expires_at": "2024-12-16T10:30:46Z"});
    let expiring = world.post(ADMIN, "/v1/keys", expiring).await.ok(201)["key"].as_str().unwrap().to_owned();
    world.call_in(&expiring, &organization, "GET", "/v1/webhooks", "").await.ok(200);
    world.clock.advance(Duration::from_secs(1));
    world.call_in(&expiring, &organization, "GET", "/v1/webhooks", "").await.problem(401, "unauthorized");
}

async fn the_last_use_of_a_key_is_told_to_a_minute(database: Database) {
    let world = World::on(database).await;
    let organization = world.organization("acme").await;
    let (key, own) = (world.deployment_key("viewer").await, world.key(&organization, "viewer").await);
    let keys = format!("{ORGANIZATIONS}/{organization}/keys");
    let told = async |list: &str| world.get(ADMIN, list).await.ok(200)["data"][0]["last_used_at"].clone();
    let use_both = async || {
        world.call_in(&key, &organization, "GET", "/v1/webhooks", "").await.ok(200);
        world.get(&own, "/v1/webhooks").await.ok(200);
    };
    assert_eq!((told("/v1/keys").await, told(&keys).await), (Value::Null, Value::Null));
    use_both().await;
    for list in ["/v1/keys", &keys] {
        eventually("the first use is told", async || {
            (told(list).await == "2024-12-16T10:30:45.007Z").then_some(())
        })
        .await;
    }
    world.clock.advance(Duration::from_secs(59));
    use_both().await;
    world.clock.advance(Duration::from_secs(1));
    use_both().await;
    for list in ["/v1/keys", &keys] {
        let later = eventually("a use a minute later is told", async || match told(list).await {
            Value::String(at) if at == "2024-12-16T10:30:45.007Z" => None,
            at => Some(at),
        })
        .await;
        assert_eq!(later, "2024-12-16T10:31:45.007Z", "not the one before it");
    }
}

async fn an_organization_that_is_gone_can_not_be_named(database: Database) {
    let world = World::on(database).await;
    let key = world.deployment_key("owner").await;
    let event = r#"{"event_type":"call.completed","data":{}}"#;
    world.call_in(&key, "a", "POST", "/v1/events", event).await.problem(404, "not_found");
    let made = world.call(ADMIN, "PUT", "/v1/organizations/a", "").await.ok(201);
    // at once, although nobody knew it a moment ago
    for name in ["a", id(&made)] {
        world.call_in(&key, name, "POST", "/v1/events", event).await.ok(202);
    }
    world.call(ADMIN, "DELETE", "/v1/organizations/a", "").await.ok(204);
    for name in ["a", id(&made)] {
        world.call_in(&key, name, "POST", "/v1/events", event).await.problem(404, "not_found");
    }
    // another one with the same name is another one
    let next = world.call(ADMIN, "PUT", "/v1/organizations/a", "").await.ok(201);
    assert_ne!(id(&next), id(&made));
    world.call_in(&key, "a", "POST", "/v1/events", event).await.ok(202);
    assert_eq!(
        world.call_in(&key, "a", "GET", "/v1/events", "").await.ok(200)["data"].as_array().unwrap().len(),
        1
    );
}
