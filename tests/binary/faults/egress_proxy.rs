//! The egress proxy is away, or wants other credentials: a fault of the deployment, for which no receiver is blamed.

use std::net::TcpListener;

use serde_json::json;
use test_support::engine::eventually;
use test_support::forward_proxy::{Act, ForwardProxy};
use test_support::receiver::Receiver;
use test_support::world::{Database, World};

const UNAUTHORIZED: &[u8] =
    b"HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm=\"x\"\r\ncontent-length: 0\r\n\r\n";

#[test]
fn while_the_egress_proxy_fails_nothing_is_counted_as_failed_and_everything_is_delivered_once_it_works() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let database = Database::sqlite();
    let serve = database.serve().set("RINGBACK_EGRESS_PROXY", &format!("http://ringback:s3cret@{address}"));
    let world = World::start(database, serve);
    let receiver = Receiver::ok();
    // the first failure would be the last
    let webhook = world.webhook(&receiver, json!({"retry": 0}));
    let ids: Vec<String> = (0..20).map(|number| world.publish(number)).collect();

    let faults = |kind: &str| world.api.metric("ringback_local_faults_total", kind);
    let ready = || world.api.get("/health/ready").expect(200).json()["egress_proxy"].clone();
    eventually("the proxy was tried several times", || (faults("proxy_unreachable") >= 3.0).then_some(()));
    assert_eq!(ready(), "proxy_unreachable");

    let target = receiver.url().trim_start_matches("http://").split('/').next().unwrap().parse().unwrap();
    let wants = "proxy-authorization: Basic cmluZ2JhY2s6czNjcmV0\r\n";
    let refuses = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let still = refuses.clone();
    let proxy = ForwardProxy::on(TcpListener::bind(address).unwrap(), move |head| {
        match !head.contains(wants) || still.load(std::sync::atomic::Ordering::SeqCst) {
            true => Act::Say(UNAUTHORIZED.to_vec()),
            false => Act::To(target),
        }
    });
    eventually("it wants other credentials", || (faults("proxy_credentials") >= 3.0).then_some(()));
    assert_eq!(ready(), "proxy_credentials");
    assert_eq!(receiver.seen().len(), 0);
    assert_eq!(world.api.metric("ringback_breakers_open", ""), 0.0);
    for delivery in world.logs(&webhook) {
        assert_eq!(
            (&delivery["status"], &delivery["attempt_count"]),
            (&json!("pending"), &json!(0)),
            "{delivery}"
        );
    }

    refuses.store(false, std::sync::atomic::Ordering::SeqCst);
    world.eventually_idle();
    let mut seen: Vec<String> = receiver.seen().iter().map(|seen| seen.event_id()).collect();
    seen.sort_unstable();
    let mut published = ids;
    published.sort_unstable();
    assert_eq!(seen, published, "each once");
    assert!(receiver.seen().iter().all(|seen| seen.attempt() == 1));
    assert!(
        proxy.lines().iter().all(|line| line.starts_with("POST http://127.0.0.1:")),
        "nothing goes past the proxy"
    );
    assert_eq!(ready(), "ok");
    assert!(!world.engine.log().contains("s3cret"), "{}", world.engine.log());
}

#[test]
fn no_attempt_reaches_a_receiver_past_the_proxy() {
    let proxy = ForwardProxy::saying("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n");
    let database = Database::sqlite();
    let serve = database.serve().set("RINGBACK_EGRESS_PROXY", &format!("http://{}", proxy.address));
    let world = World::start(database, serve);
    let receiver = Receiver::ok();
    let webhook = world.webhook(&receiver, json!({"retry": 0}));
    world.publish(1);
    world.eventually_delivery(&webhook, "it has failed", |delivery| delivery["status"] == "failed");
    assert_eq!((receiver.seen().len(), proxy.asked().len()), (0, 1));
}
