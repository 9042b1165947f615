//! The servers, over real sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ringback::api::server::{ServerOptions, bind_api, bind_metrics};

use crate::support::World;

fn options() -> ServerOptions {
    ServerOptions {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        workers: 1,
        shutdown_timeout: Duration::from_secs(5),
    }
}

#[actix_web::test]
async fn a_body_over_the_limit_is_answered_even_while_the_client_is_still_sending() {
    let world = World::new().await;
    let owner = world.owner().await;
    let bound = bind_api(world.api.clone(), &options()).unwrap();
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
    let bound = bind_metrics(Arc::new(|| "ringback_up 1\n".to_owned()), &options()).unwrap();
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
