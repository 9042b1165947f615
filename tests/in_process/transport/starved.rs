//! This machine lacks what a connection needs: nobody but itself is to blame.

use std::net::IpAddr;
use std::process::Command;

use ringback::domain::attempt::LocalFault;
use ringback::transport::{Transport, TransportConfig};
use rlimit::Resource;

use super::support::{NameServer, Receiver, attempt, loopback_policy, request, status, transport};

/// Set in the process that gives its file descriptors away; the other tests need theirs.
const ALONE: &str = "RINGBACK_TEST_WITHOUT_DESCRIPTORS";

#[test]
fn without_a_file_descriptor_an_attempt_is_not_made_neither_by_address_nor_by_name() {
    if std::env::var_os(ALONE).is_some() {
        return actix_rt::System::new().block_on(use_up_all_descriptors());
    }
    let name =
        "transport::starved::without_a_file_descriptor_an_attempt_is_not_made_neither_by_address_nor_by_name";
    let mut alone = Command::new(std::env::current_exe().unwrap());
    let ended = alone.args([name, "--exact", "--nocapture"]).env(ALONE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout) + String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() && said.contains("1 passed"), "{said}");
}

async fn use_up_all_descriptors() {
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let receivers = [Receiver::answering(ok), Receiver::answering(ok)];
    let names = NameServer::start(|_| Some(vec![IpAddr::from([127, 0, 0, 1])]));
    let transport = transport(TransportConfig {
        policy: loopback_policy(),
        dns_servers: vec![names.address],
        ..TransportConfig::default()
    });
    let by_name = |name: &str| format!("http://{name}:{}/", receivers[1].address.port());
    assert_eq!(status(&attempt(&transport, &receivers[0].url()).await), 200);
    assert_eq!(status(&attempt(&transport, &by_name("first.example")).await), 200);

    let (soft, hard) = Resource::NOFILE.get().unwrap();
    // nothing that is open is closed by this, nothing new can be opened
    Resource::NOFILE.set(1, hard).unwrap();
    let by_address = transport.attempt(request(&receivers[1].url())).await;
    let by_new_name = transport.attempt(request(&by_name("second.example"))).await;
    Resource::NOFILE.set(soft, hard).unwrap();

    assert_eq!(by_address.map(|made| made.response), Err(LocalFault::OpenFiles));
    assert_eq!(by_new_name.map(|made| made.response), Err(LocalFault::OpenFiles));
    assert_eq!(status(&attempt(&transport, &receivers[1].url()).await), 200);
    assert_eq!(status(&attempt(&transport, &by_name("second.example")).await), 200);
}
