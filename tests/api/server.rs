//! The servers, over real sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ringback::api::server::{ReservedAddress, ServerOptions, bind_api, bind_metrics};

use crate::support::World;

fn options() -> ServerOptions {
    ServerOptions {
        address: ReservedAddress::new(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap(),
        workers: 1,
        shutdown_timeout: Duration::from_secs(5),
    }
}

#[actix_web::test]
async fn a_body_over_the_limit_is_answered_even_while_the_client_is_still_sending() {
    let world = World::new().await;
    let owner = world.owner().await;
    let bound = bind_api(world.api.clone(), options()).unwrap();
    let handle = bound.server.handle();
    actix::spawn(bound.server);
    let client = awc::Client::default();
    for (key, status) in [(owner.as_str(), 413), ("unknown", 401)] {
        let request = client.post(format!("http://{}/v1/events", bound.address)).bearer_auth(key);
        let answer = request.send_body(vec![b'x'; 11 * 1024 * 1024]).await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
        assert_eq!(answer.headers().get("content-type").unwrap(), "application/problem+json");
    }
    handle.stop(true).await;
}

#[actix_web::test]
async fn the_metrics_server_has_the_metrics_and_nothing_else() {
    let bound = bind_metrics(Arc::new(|| "ringback_up 1\n".to_owned()), options()).unwrap();
    let handle = bound.server.handle();
    actix::spawn(bound.server);
    let client = awc::Client::default();
    let get = async |path: &str| client.get(format!("http://{}{path}", bound.address)).send().await.unwrap();
    let mut metrics = get("/metrics").await;
    assert_eq!(metrics.body().await.unwrap(), "ringback_up 1\n");
    assert_eq!(metrics.headers().get("content-type").unwrap(), "text/plain; version=0.0.4; charset=utf-8");
    for path in ["/v1/webhooks", "/health/live", "/"] {
        assert_eq!(get(path).await.status().as_u16(), 404, "{path}");
    }
    handle.stop(true).await;
}

#[actix_web::test]
async fn a_reserved_address_lets_nobody_in_before_its_server_runs() {
    let options = options();
    let address = options.address.address();
    assert_ne!(address.port(), 0, "the real port is known");
    let refused = std::net::TcpStream::connect(address).map(drop).map_err(|error| error.kind());
    assert_eq!(refused, Err(std::io::ErrorKind::ConnectionRefused));
    let bound = bind_metrics(Arc::new(|| "ringback_up 1\n".to_owned()), options).unwrap();
    assert_eq!(bound.address, address);
    assert!(std::net::TcpStream::connect(address).is_ok());
    assert!(ReservedAddress::new(address).is_err(), "it is taken");
    drop(bound.server);
}
