//! `listen` and a real engine: however a receiver ends, the next one hears each event once.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::json;
use test_support::engine::{Api, Engine, Serve, eventually, text};

use super::{Running, address_in, read_until, ringback};

struct World {
    folder: tempfile::TempDir,
    engine: Engine,
    api: Api,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let engine = Serve::bare(folder.path()).argument("--dev").start();
        let key = std::fs::read_to_string(folder.path().join("ringback.db.dev-key")).unwrap();
        let api = engine.api(key.trim());
        Self { folder, engine, api }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn engine_address(&self) -> String {
        self.engine.address().to_string()
    }

    fn webhooks(&self) -> Vec<String> {
        let list = self.api.get("/v1/webhooks").expect(200).json();
        list["data"].as_array().unwrap().iter().map(|webhook| text(webhook, "id").to_owned()).collect()
    }

    fn command(&self, listen: &str) -> Command {
        ringback(self.path(), &["listen", "--listen", listen, "--engine", &self.engine_address()])
    }

    fn listen(&self, listen: &str) -> Listening {
        let child = self.command(listen).stdout(Stdio::piped()).spawn().unwrap();
        let mut child = Running(child);
        let mut lines = BufReader::new(child.0.stdout.take().unwrap());
        let said = read_until(&mut lines, "listening on");
        let port = address_in(&said).port();
        Listening { child, lines, said, port }
    }
}

struct Listening {
    child: Running,
    lines: BufReader<ChildStdout>,
    said: String,
    port: u16,
}

impl Listening {
    fn signal(&self, signal: &str) {
        let pid = self.child.0.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }
}

fn end(child: &mut Child) -> bool {
    eventually("the command ends", || child.try_wait().unwrap()).success()
}

#[test]
fn a_receiver_deletes_its_webhook_however_it_is_ended() {
    let world = World::new();
    for signal in ["-HUP", "-INT", "-TERM"] {
        let mut receiver = world.listen("127.0.0.1:0");
        assert_eq!(world.webhooks().len(), 1);
        receiver.signal(signal);
        assert!(end(&mut receiver.child.0), "{signal}");
        assert_eq!(world.webhooks(), Vec::<String>::new(), "{signal}");
    }
    // as `| head -1` does
    let Listening { mut child, lines, .. } = world.listen("127.0.0.1:0");
    drop(lines);
    assert!(end(&mut child.0), "its reader went away");
    assert_eq!(world.webhooks(), Vec::<String>::new(), "its reader went away");
}

#[test]
fn a_reader_that_is_gone_before_the_first_line_leaves_no_webhook_behind() {
    let world = World::new();
    let program = env!("CARGO_BIN_EXE_ringback");
    let script = format!("'{program}' listen --listen 0 --engine {} | true", world.engine_address());
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).current_dir(world.path()).stdin(Stdio::null());
    assert!(end(&mut Running(shell.spawn().unwrap()).0));
    assert_eq!(world.webhooks(), Vec::<String>::new());
}

#[test]
fn a_receiver_that_outlives_its_terminal_is_not_ended_by_it() {
    let world = World::new();
    let mut command = Command::new("nohup");
    let args = ["listen", "--listen", "127.0.0.1:0", "--engine", &world.engine_address()];
    command.arg(env!("CARGO_BIN_EXE_ringback")).args(args).current_dir(world.path()).stdin(Stdio::null());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut child = Running(child);
    let mut lines = BufReader::new(child.0.stdout.take().unwrap());
    read_until(&mut lines, "listening on");
    let pid = child.0.id().to_string();
    assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    let trigger = ["trigger", "call.completed", "--engine", &world.engine_address()];
    assert!(ringback(world.path(), &trigger).output().unwrap().status.success());
    read_until(&mut lines, "✓ webhook-signature");
}

#[test]
fn a_receiver_replaces_one_that_was_killed() {
    let world = World::new();
    // what others registered, and what listens elsewhere, stays
    let other = world.listen("127.0.0.1:0");
    let mut killed = world.listen("127.0.0.1:0");
    let here = format!("http://localhost:{}/by-hand", killed.port);
    let by_hand = json!({"url": here, "description": "mine", "events": ["batch.failed"]});
    let by_hand = world.api.post("/v1/webhooks", &by_hand).expect(201).json();
    let leftover = json!({"url": here, "description": "ringback listen"});
    world.api.post("/v1/webhooks", &leftover).expect(201);
    killed.signal("-KILL");
    assert!(!end(&mut killed.child.0));
    assert_eq!(world.webhooks().len(), 4);

    let mut receiver = world.listen(&killed.port.to_string());
    assert_eq!(receiver.said.matches("of an earlier run").count(), 2, "{}", receiver.said);
    let webhooks = world.webhooks();
    assert_eq!(webhooks.len(), 3, "{webhooks:?}");
    assert!(webhooks.iter().any(|id| id == text(&by_hand, "id")), "what somebody else made stays");

    for event_type in ["call.completed", "call.missed"] {
        let trigger = ["trigger", event_type, "--engine", &world.engine_address()];
        assert!(ringback(world.path(), &trigger).output().unwrap().status.success());
    }
    let mut heard = read_until(&mut receiver.lines, "  ✓ x-callintel-signature");
    heard += &read_until(&mut receiver.lines, "  ✓ x-callintel-signature");
    // what comes in the end comes behind all that was sent
    receiver.signal("-INT");
    for line in receiver.lines.lines() {
        heard.push_str(&format!("{}\n", line.unwrap()));
    }
    assert_eq!(heard.matches("✓ webhook-signature").count(), 2, "{heard}");
    assert_eq!(heard.matches('✗').count(), 0, "{heard}");
    drop(other);
}

#[test]
fn a_receiver_can_register_a_webhook_that_signs_with_a_private_key_and_verifies_with_the_public_one() {
    let world = World::new();
    let mut command = world.command("127.0.0.1:0");
    let child = command.args(["--signature", "ed25519"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut child = Running(child);
    let mut lines = BufReader::new(child.0.stdout.take().unwrap());
    read_until(&mut lines, "listening on");
    let [webhook] = &world.webhooks()[..] else { panic!("one webhook") };
    let registered = world.api.get(&format!("/v1/webhooks/{webhook}")).expect(200).json();
    assert!(text(&registered, "public_key").starts_with("whpk_"), "{registered}");
    let output = ringback(world.path(), &["trigger", "call.completed", "--engine", &world.engine_address()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let heard = read_until(&mut lines, "\n}\n");
    assert!(heard.contains("✓ webhook-signature") && !heard.contains("x-callintel-signature"), "{heard}");
}

#[test]
fn the_commands_that_dev_prints_work_as_they_are_printed() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = folder.path().join("a folder");
    std::fs::create_dir(&elsewhere).unwrap();
    let url = format!("sqlite://{}", elsewhere.join("x.db").display());
    let serve = Serve::bare(folder.path()).set("RINGBACK_DATABASE_URL", &url);
    let engine = serve.set("RINGBACK_SIGNATURE_HEADER_PREFIX", "x-acme").argument("--dev").start();
    let printed = |wanted: &str| {
        let line = engine.greeting.iter().find(|line| line.contains(wanted));
        line.unwrap_or_else(|| panic!("{wanted}: {:?}", engine.greeting)).trim().to_owned()
    };
    let program = Path::new(env!("CARGO_BIN_EXE_ringback")).parent().unwrap().display().to_string();
    let run = |line: &str| {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", line])
            .current_dir("/")
            .stdin(Stdio::null())
            .env("PATH", format!("{program}:/usr/bin:/bin"));
        shell
    };
    let listen = printed("ringback listen").replace("    # ", " --listen 0    # ");
    let mut child = Running(run(&listen).stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(child.0.stdout.take().unwrap());
    read_until(&mut lines, "listening on");
    let output = run(&printed("ringback trigger")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    read_until(&mut lines, "✓ x-acme-signature");
}
