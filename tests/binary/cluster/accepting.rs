//! Any node accepts any event, and one delivers it.

use std::sync::Barrier;
use std::time::Instant;

use serde_json::json;
use test_support::cluster::{Arrived, Cluster, Node, publish};
use test_support::engine::{ADMIN_KEY, Api, eventually, text};
use test_support::long_run::LongRun;
use test_support::receiver::Receiver;
use test_support::tally::Tally;
use test_support::world::{EVENT_TYPE, Publishers};

const WEBHOOKS: usize = 12;
/// How often two nodes race; `just cluster-races` makes many.
const RACES: &str = "RINGBACK_CLUSTER_RACES";
/// What a browser sends with a form of the dashboard.
const FROM_THE_PAGE: (&str, &str) = ("sec-fetch-site", "same-origin");

#[test]
fn what_any_node_accepts_reaches_the_webhooks_of_all_nodes_once() {
    let Some(cluster) = Cluster::start(3) else { return };
    let receiver = Receiver::ok();
    cluster.webhooks(&receiver, WEBHOOKS, &json!({}));
    let publishers: Vec<Publishers> = cluster.nodes.iter().map(|node| Publishers::start(1, &node.api)).collect();
    publishers.iter().for_each(|publishers| publishers.eventually_more(50));
    let heard: Vec<_> = publishers.into_iter().map(Publishers::stop).collect();
    assert!(heard.iter().all(|heard| heard.refused.is_empty()));
    cluster.eventually_idle();
    let arrived = Arrived::at(&receiver);
    arrived.check_nothing_lost(&heard, WEBHOOKS);
    assert_eq!(arrived.repeated, 0);
    let delivered: f64 =
        cluster.nodes.iter().map(|node| node.api.metric("ringback_cluster_pushes_total", "delivered")).sum();
    assert!(delivered > 0.0, "nodes told each other");
}

#[test]
fn a_webhook_that_was_created_on_one_node_gets_what_another_accepts_from_then_on() {
    let Some(cluster) = Cluster::start(2) else { return };
    let run = LongRun::new("webhooks created beside publishers", RACES, 150);
    let tally = Tally::ok();
    for number in 0..run.rounds() as usize {
        let (maker, publisher) = (&cluster.nodes[number % 2], &cluster.nodes[(number + 1) % 2]);
        let webhook = maker.api.post("/v1/webhooks", &json!({"url": tally.url(number)})).expect(201).json();
        let event = publish(&publisher.api, number);
        eventually("it has come", || tally.has_taken(&event, number).then_some(()));
        // later events are not for it
        let path = format!("/v1/webhooks/{}", text(&webhook, "id"));
        maker.api.try_call("DELETE", &path, None).unwrap().expect(204);
        run.step();
    }
    run.finish("each got the event that the other node accepted after its 201");
}

#[test]
fn an_idempotency_key_that_is_used_on_two_nodes_at_once_is_one_event() {
    let Some(cluster) = Cluster::start(2) else { return };
    let run = LongRun::new("keys used on two nodes at once", RACES, 200);
    let (together, apis) = (Barrier::new(2), [cluster.nodes[0].api.clone(), cluster.nodes[1].api.clone()]);
    for number in 0..run.rounds() {
        let key = format!("key-{number}");
        let event = json!({"event_type": EVENT_TYPE, "data": {"number": number}}).to_string();
        let publish = |node: usize| {
            together.wait();
            let answer = apis[node].call_with_header("POST", "/v1/events", &event, ("idempotency-key", &key));
            text(&answer.expect(202).json(), "id").to_owned()
        };
        let (one, other) = std::thread::scope(|scope| {
            let one = scope.spawn(|| publish(0));
            let other = publish(1);
            (one.join().unwrap(), other)
        });
        assert_eq!(one, other, "{key}");
        run.step();
    }
    assert_eq!(cluster.database.rows("events"), run.rounds() as i64);
    run.finish("one event each");
}

#[test]
fn an_ordered_webhook_gets_what_was_acknowledged_before_first_whatever_node_accepted_it() {
    let Some(mut cluster) = Cluster::start(3) else { return };
    let receiver = Receiver::ok();
    cluster.webhooks(&receiver, 4, &json!({"ordered": true}));
    let mut published = Vec::new();
    for number in 0..240 {
        published.push(publish(&cluster.nodes[number % 3].api, number));
        if number == 120 {
            cluster.nodes[1].kill_and_restart();
        }
    }
    cluster.eventually_idle();
    for number in 0..4 {
        let mut first: Vec<String> = Vec::new();
        for seen in receiver.seen().into_iter().filter(|seen| seen.path == format!("/hook/{number}")) {
            if !first.contains(&seen.event_id()) {
                first.push(seen.event_id());
            }
        }
        assert_eq!(first, published, "webhook {number}");
    }
}

/// Signs in with a key; returns the cookie.
fn sign_in(api: &Api) -> String {
    let form = format!("key={}", api.key());
    let answer = api.try_call_with_headers("POST", "/sign-in", &form, &[FROM_THE_PAGE]).unwrap().expect(303);
    let cookie = answer.header("set-cookie");
    cookie.split_once(';').unwrap().0.to_owned()
}

fn is_signed_in(api: &Api, cookie: &str) -> bool {
    let answer = api.call_with_header("GET", "/webhooks", "", ("cookie", cookie));
    assert!(answer.status == 200 || answer.header("location").starts_with("/sign-in"), "{answer:?}");
    answer.status == 200
}

#[test]
fn who_signs_in_on_one_node_is_signed_in_on_all_of_them_until_they_sign_out_on_any() {
    let Some(mut cluster) = Cluster::start(2) else { return };
    let [one, other] = [0, 1].map(|number| cluster.nodes[number].api.clone());
    let (first, second) = (sign_in(&one), sign_in(&one));
    assert!(is_signed_in(&other, &first) && is_signed_in(&one, &second));
    assert!(!is_signed_in(&other, &format!("{first}x")));
    let headers = [FROM_THE_PAGE, ("cookie", first.as_str())];
    other.try_call_with_headers("POST", "/sign-out", "", &headers).unwrap().expect(303);
    assert!(!is_signed_in(&other, &first));
    let signed_out_at = Instant::now();
    eventually("the other node knows", || (!is_signed_in(&one, &first)).then_some(()));
    println!("measured: signed out on the other node after {:?}", signed_out_at.elapsed());
    cluster.nodes.iter_mut().for_each(Node::kill_and_restart);
    assert!(is_signed_in(&one, &second) && is_signed_in(&other, &second), "also after a crash");
}

#[test]
fn the_dashboard_shows_the_admin_every_node_with_its_share() {
    let Some(cluster) = Cluster::start(2) else { return };
    let admin = cluster.nodes[0].api.with_key(ADMIN_KEY);
    let cookie = sign_in(&admin);
    let page = admin.call_with_header("GET", "/cluster", "", ("cookie", &cookie)).expect(200).text;
    assert!(page.contains("256 of 256"), "{page}");
    for node in ["node-0", "node-1"] {
        let row = page.split("<tr").find(|row| row.contains(&format!(">{node}</span>"))).expect("it has a row");
        assert!(row.contains(">live</span>") && row.contains(">128</td>"), "{row}");
    }
}

#[test]
fn the_limit_of_events_in_a_second_counts_what_an_organization_publishes_through_all_nodes() {
    let Some(mut cluster) = Cluster::start(2) else { return };
    for node in &mut cluster.nodes {
        node.serve = node.serve.clone().set("RINGBACK_LIMITS_EVENTS_PER_SECOND_PER_ORGANIZATION", "10");
        node.kill_and_restart();
    }
    cluster.eventually_balanced();
    let event = || json!({"event_type": EVENT_TYPE, "data": {}});
    // twenty seconds' worth, which is taken as a whole
    let batch: Vec<_> = (0..200).map(|_| event()).collect();
    cluster.nodes[0].api.post("/v1/events/batch", &json!(batch)).expect(202);
    eventually("the other node refuses, for longer than for what it took itself", || {
        let answer = cluster.nodes[1].api.post("/v1/events", &event());
        (answer.status == 429 && answer.header("retry-after").parse::<u64>().unwrap() > 5).then_some(())
    });
}

#[test]
fn a_name_that_an_organization_gave_up_leads_to_its_new_owner_on_the_node_that_made_it() {
    let Some(cluster) = Cluster::start(2) else { return };
    let [one, other] = [0, 1].map(|number| cluster.nodes[number].engine.api(ADMIN_KEY));
    let put = |api: &Api, path: &str| api.try_call("PUT", path, Some(b"{}")).unwrap();
    let event = json!({"event_type": EVENT_TYPE, "data": {}}).to_string();
    for round in 0..10 {
        let (name, path) = (format!("u{round}"), format!("/v1/organizations/u{round}"));
        let header = ("ringback-organization", name.as_str());
        let former = put(&one, &path).expect(201).json();
        other.call_with_header("POST", "/v1/events", &event, header).expect(202);
        let renamed = json!({"uid": format!("old{round}")}).to_string();
        one.try_call("PATCH", &path, Some(renamed.as_bytes())).unwrap().expect(200);
        let owner = put(&other, &path).expect(201).json();
        let key = other.post(&format!("{path}/keys"), &json!({"name": "k", "role": "viewer"})).expect(201).json();
        assert_eq!(key["organization_id"], owner["id"]);
        let id = other.call_with_header("POST", "/v1/events", &event, header).expect(202).json()["id"].clone();
        let events = other.with_key(text(&key, "key")).get("/v1/events").expect(200).json();
        assert_eq!(events["data"][0]["id"], id, "not in {}", former["id"]);
        other.try_call("DELETE", &path, None).unwrap().expect(204);
        one.get(&format!("/v1/organizations/{}", text(&former, "id"))).expect(200);
    }
}
