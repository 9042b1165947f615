//! The programs in `examples/`, each against the real engine.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};

use serde_json::json;
use test_support::engine::{PATIENCE, eventually, text};
use test_support::world::{Database, EVENT_TYPE, World};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A receiver of the examples; killed when it is dropped.
struct Running {
    child: Child,
    lines: Receiver<String>,
    port: String,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let command =
            command.env("WEBHOOK_SECRET", SECRET).env("PORT", "0").stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut running = Self { child, lines, port: String::new() };
        running.port = running.line().strip_prefix("listening on port ").unwrap().to_owned();
        running
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).unwrap()
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // it may have ended already
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn example(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(file)
}

/// A program in a language that may be missing here, which is then printed to standard error.
fn script(interpreter: &str, file: &str) -> Option<Command> {
    let found = Command::new(interpreter).arg("--version").stdout(Stdio::null()).status();
    if found.is_err() {
        let message = format!("\n*** {interpreter} is not installed: examples/{file} is NOT tested ***\n");
        let _ = writeln!(std::io::stderr(), "{message}");
        return None;
    }
    let mut command = Command::new(interpreter);
    command.arg(example(file));
    Some(command)
}

/// A program in Rust. `cargo test` builds examples only when it builds all targets, so this makes sure of it.
fn rust(name: &str) -> Command {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let folder = BUILT.get_or_init(|| {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--locked", "--examples"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        // what cargo sets for a test would make build scripts of dependencies run again
        let of_this_test = ["CARGO_PKG_", "CARGO_MANIFEST_", "OUT_DIR"];
        for (name, _) in std::env::vars_os() {
            if of_this_test.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
                build.env_remove(name);
            }
        }
        assert!(build.status().unwrap().success(), "the examples do not compile");
        Path::new(env!("CARGO_BIN_EXE_ringback")).with_file_name("examples")
    });
    Command::new(folder.join(name))
}

fn takes_each_genuine_event_once(receiver: Command) {
    let world = World::new(Database::sqlite());
    let receiver = Running::start(receiver);
    let webhook = json!({"url": receiver.url(), "secret": SECRET});
    let webhook = world.api.post("/v1/webhooks", &webhook).expect(201).json();

    let forged = ureq::post(receiver.url()).header("x-callintel-signature", "0".repeat(64)).send("{}");
    assert!(matches!(forged, Err(ureq::Error::StatusCode(401))), "{forged:?}");

    let publish = |number: u32| {
        let event = json!({"event_type": EVENT_TYPE, "data": {"number": number}});
        text(&world.api.post("/v1/events", &event).expect(202).json(), "id").to_owned()
    };
    let first = publish(1);
    let line = receiver.line();
    assert!(line.starts_with(&format!("{first} {EVENT_TYPE} ")) && line.contains("number"), "{line}");

    let id = text(&webhook, "id");
    let is_success = |delivery: &serde_json::Value| delivery["status"] == "success";
    world.eventually_delivery(&webhook, "the first delivery is recorded", is_success);
    world.api.post(&format!("/v1/events/{first}/replay"), &json!({"webhook_id": id})).expect(202);
    eventually("the repeat was acknowledged", || {
        let log = world.api.get("/v1/webhooks/logs").expect(200).json();
        (log["data"][0]["attempt_count"] == 2 && is_success(&log["data"][0])).then_some(())
    });
    let second = publish(2);
    assert!(receiver.line().starts_with(&second), "the repeat was processed again");
}

fn publishes_once_for_each_idempotency_key(publisher: impl Fn() -> Command) {
    let world = World::new(Database::sqlite());
    let receiver = test_support::receiver::Receiver::ok();
    world.webhook(&receiver, json!({}));
    let publish = || {
        let arguments = [EVENT_TYPE, r#"{"id":"call_42"}"#, "call_42-completed"];
        let engine = format!("http://{}", world.engine.address());
        let output = publisher()
            .args(arguments)
            .env("ENGINE", engine)
            .env("RINGBACK_KEY", world.api.key())
            .output()
            .unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
        printed
    };
    let printed = publish();
    assert!(printed.starts_with("msg_") && printed.trim_end().ends_with("for 1 webhooks"), "{printed}");
    assert_eq!(publish(), printed);
    eventually("the event arrives", || (receiver.count() > 0).then_some(()));
    assert!(printed.starts_with(&receiver.seen()[0].event_id()), "{printed}");
}

#[test]
fn the_python_receiver_takes_each_genuine_event_once() {
    if let Some(receiver) = script("python3", "receiver.py") {
        takes_each_genuine_event_once(receiver);
    }
}

#[test]
fn the_node_receiver_takes_each_genuine_event_once() {
    if let Some(receiver) = script("node", "receiver.mjs") {
        takes_each_genuine_event_once(receiver);
    }
}

#[test]
fn the_rust_receiver_takes_each_genuine_event_once() {
    takes_each_genuine_event_once(rust("receiver"));
}

#[test]
fn the_python_publisher_publishes_once_for_each_idempotency_key() {
    if script("python3", "publish.py").is_some() {
        publishes_once_for_each_idempotency_key(|| script("python3", "publish.py").unwrap());
    }
}

#[test]
fn the_rust_publisher_publishes_once_for_each_idempotency_key() {
    publishes_once_for_each_idempotency_key(|| rust("publish"));
}
