//! The real binary, against an engine that is played here.

mod forwarding;
mod listening;
mod publishing;
mod resources;
mod world;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bytes::Bytes;
use ringback::domain::ids::EventId;
use ringback::domain::secret::Secret;
use ringback::domain::signing::SigningKey;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PATIENCE: Duration = Duration::from_secs(20);

fn ringback(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringback"));
    command.args(args).current_dir(folder).env_clear().stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An engine that gives every request the same response, and sends each request to a channel.
fn play_engine(status: &'static str, answer: String) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (asked, requests) = channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let request = read_request(&mut stream);
            let length = answer.len();
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
            let _ = stream.write_all(format!("{head}{answer}").as_bytes());
            let _ = asked.send(request);
        }
    });
    (address, requests)
}

fn read_request(stream: &mut TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    let _ = reader.read_exact(&mut body);
    head + &text(&body)
}

/// Ends the process when the test does.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads lines until one holds `wanted`; returns all of them.
fn read_until(lines: &mut BufReader<ChildStdout>, wanted: &str) -> String {
    let mut read = String::new();
    while !read.contains(wanted) {
        let mut line = String::new();
        let count = lines.read_line(&mut line).unwrap();
        assert!(count > 0, "`{wanted}` did not come in: {read}");
        read.push_str(&line);
    }
    read
}

fn address_in(line: &str) -> SocketAddr {
    let rest = line.split("listening on http://").nth(1).unwrap();
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

/// Posts to a receiver as the engine would.
fn deliver(to: SocketAddr, body: &str, signed_with: &str) -> String {
    let key = SigningKey::new(&Secret::new(signed_with.to_owned()));
    let bytes = Bytes::copy_from_slice(body.as_bytes());
    let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
    let id = EventId(99);
    let request = format!(
        "POST / HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\ncontent-length: {}\r\nwebhook-id: {id}\r\n\
         webhook-timestamp: {seconds}\r\nwebhook-signature: {}\r\nx-callintel-signature: {}\r\n\
         x-callintel-delivery: dlv_1\r\nx-callintel-attempt: 3\r\n\r\n{body}",
        body.len(),
        key.sign_standard(id, seconds, &bytes),
        key.sign_document(&bytes),
    );
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn listen_registers_itself_verifies_what_arrives_and_deletes_its_webhook_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ringback.db.dev-key"), "rbk_dev\n").unwrap();
    let (engine, requests) =
        play_engine("201 Created", format!("{{\"id\":\"wh_1\",\"secret\":\"{SECRET}\",\"more\":true}}"));
    let args =
        ["listen", "--listen", "127.0.0.1:0", "--engine", &engine, "--events", "call.*", "--fail-first", "1"];
    let child = ringback(folder.path(), &args).stdout(Stdio::piped()).spawn().unwrap();
    let mut child = Running(child);
    let mut lines = BufReader::new(child.0.stdout.take().unwrap());
    let started = read_until(&mut lines, "listening on");
    let address = address_in(&started);
    assert!(started.contains("registered wh_1 for call.*"), "{started}");
    let search = requests.recv_timeout(PATIENCE).unwrap();
    assert!(search.starts_with("GET /v1/webhooks?limit=200 HTTP/1.1\r\n"), "{search}");
    let registration = requests.recv_timeout(PATIENCE).unwrap();
    assert!(registration.starts_with("POST /v1/webhooks HTTP/1.1\r\n"), "{registration}");
    assert!(registration.to_ascii_lowercase().contains("authorization: bearer rbk_dev\r\n"), "{registration}");
    assert!(registration.contains(&format!("\"url\":\"http://{address}/\"")), "{registration}");

    let body = "{\"event_type\":\"call.completed\",\"data\":{\"n\":1e400}}";
    assert!(deliver(address, body, SECRET).starts_with("HTTP/1.1 503"));
    let shown = read_until(&mut lines, "\n}\n");
    for part in ["call.completed", "dlv_1", "attempt 3", "✓ webhook-signature", "✓ x-callintel-signature", "1e400"]
    {
        assert!(shown.contains(part), "{part} is missing in {shown}");
    }
    assert!(deliver(address, body, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").starts_with("HTTP/1.1 200"));
    let shown = read_until(&mut lines, "\n}\n");
    assert!(shown.contains("✗ webhook-signature") && shown.contains("✗ x-callintel-signature"), "{shown}");

    Command::new("kill").args(["-INT", &child.0.id().to_string()]).status().unwrap();
    let deletion = requests.recv_timeout(PATIENCE).unwrap();
    assert!(deletion.starts_with("DELETE /v1/webhooks/wh_1 HTTP/1.1\r\n"), "{deletion}");
    assert!(child.0.wait().unwrap().success());
}

#[test]
fn trigger_publishes_the_sample_and_prints_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, requests) = play_engine("202 Accepted", String::from("{\"id\":\"msg_1\",\"deliveries\":1}"));
    let args = ["trigger", "call.completed", "--engine", &engine, "--key", "rbk_k"];
    let output = ringback(folder.path(), &args).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "{\n  \"id\": \"msg_1\",\n  \"deliveries\": 1\n}\n");
    // this engine does not list its types
    let request = requests.recv_timeout(PATIENCE).unwrap();
    assert!(request.starts_with("GET /v1/event-types HTTP/1.1\r\n"), "{request}");
    let request = requests.recv_timeout(PATIENCE).unwrap();
    assert!(request.starts_with("POST /v1/events HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("{\"event_type\":\"call.completed\",\"data\":{"), "{request}");
}

#[test]
fn trigger_prints_the_problem_that_the_engine_reports() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, _requests) =
        play_engine("401 Unauthorized", String::from("{\"code\":\"unauthorized\",\"detail\":\"unknown key\"}"));
    let args = ["trigger", "call.completed", "--engine", &engine, "--key", "rbk_k"];
    let output = ringback(folder.path(), &args).output().unwrap();
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("does not accept this key: unknown key"), "{}", text(&output.stderr));
}

#[test]
fn trigger_without_a_key_says_where_keys_come_from() {
    let folder = tempfile::tempdir().unwrap();
    let output = ringback(folder.path(), &["trigger", "call.completed"]).output().unwrap();
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("ringback serve --dev"), "{}", text(&output.stderr));
}

fn serve_with(variables: &[(&str, &str)]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    ringback(folder.path(), &["serve"]).envs(variables.iter().copied()).output().unwrap()
}

#[test]
fn serve_refuses_wrong_settings_and_names_every_mistake() {
    let output = serve_with(&[("RINGBACK_LISTN", "x"), ("RINGBACK_ADMIN_KEY", "short"), ("RINGBACK_LOG", "inof")]);
    assert!(!output.status.success());
    let printed = text(&output.stderr);
    for part in ["RINGBACK_LISTN", "did you mean `RINGBACK_LISTEN`", "RINGBACK_ADMIN_KEY", "RINGBACK_LOG"] {
        assert!(printed.contains(part), "{part} is missing in {printed}");
    }
    assert!(output.stdout.is_empty(), "standard output belongs to the readiness line");
}

#[test]
fn serve_refuses_to_start_without_a_master_key() {
    let output = serve_with(&[]);
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("master_key is missing"), "{}", text(&output.stderr));
}

#[test]
fn config_check_prints_what_is_in_effect_and_where_it_came_from() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ringback.toml"), "log = \"warn\"\n").unwrap();
    let output = ringback(folder.path(), &["config", "check", "--dev"])
        .env("RINGBACK_ADMIN_KEY", "a-secret-that-is-long-enough")
        .output()
        .unwrap();
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(
        printed.lines().any(|line| line.starts_with("log = \"warn\"") && line.contains("ringback.toml, line 1"))
    );
    assert!(printed.lines().any(|line| line.starts_with("admin_key") && line.ends_with("RINGBACK_ADMIN_KEY")));
    assert!(!printed.contains("a-secret"), "{printed}");
}

#[test]
fn config_check_names_every_mistake_and_the_missing_master_key_beside_what_is_in_effect() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ringback.toml"), "log = \"warn\"\ncolour = 1\n").unwrap();
    let variables = [("RINGBACK_LISTEN", "nowhere"), ("RINGBACK_DELIVERY_RETENTION_SECONDS", "0")];
    let output = ringback(folder.path(), &["config", "check"]).envs(variables).output().unwrap();
    assert!(!output.status.success());
    assert!(text(&output.stdout).contains("log = \"warn\""), "{}", text(&output.stdout));
    let printed = text(&output.stderr);
    for part in ["colour", "RINGBACK_LISTEN", "RINGBACK_DELIVERY_RETENTION_SECONDS", "master_key is missing"] {
        assert!(printed.contains(part), "{part} is missing in {printed}");
    }
    let output = ringback(folder.path(), &["config", "check"]).env("RINGBACK_MASTER_KEY", "x").output().unwrap();
    assert!(!text(&output.stderr).contains("master_key is missing"), "{}", text(&output.stderr));
}

#[test]
fn config_check_says_of_a_setting_that_is_wrong_which_source_has_which_problem_and_not_that_it_is_not_set() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ringback.toml"), "log = \"warn\"\nlisten = \"nowhere\"\n").unwrap();
    std::fs::write(folder.path().join("short.key"), "c2hvcnQ=\n").unwrap();
    let variables =
        [("RINGBACK_MASTER_KEY_FILE", "short.key"), ("RINGBACK_ADMIN_KEY", "short"), ("RINGBACK_LOG", "=")];
    let output = ringback(folder.path(), &["config", "check"]).envs(variables).output().unwrap();
    assert!(!output.status.success());
    let printed = text(&output.stdout);
    let after = |setting: &str| -> (String, String) {
        let mut lines = printed.lines().skip_while(|line| !line.trim_start_matches("# ").starts_with(setting));
        let mut line = || lines.next().unwrap_or_default().to_owned();
        (line(), line())
    };
    for (setting, shown, parts) in [
        ("master_key", "# master_key is set, and wrong", ["variable RINGBACK_MASTER_KEY_FILE", "`short.key`: "]),
        ("admin_key", "# admin_key is set, and wrong", ["variable RINGBACK_ADMIN_KEY: ", "16"]),
        ("listen", "listen = \"127.0.0.1:8080\"", ["ringback.toml, line 2, `listen`", "`nowhere`"]),
        ("log =", "log = \"warn\"", ["variable RINGBACK_LOG: ", "`=`"]),
    ] {
        let (first, second) = after(setting);
        assert!(first.starts_with(shown), "{setting}: {first}\n{printed}");
        let names = second.starts_with("#   refused: ") && parts.iter().all(|part| second.contains(part));
        assert!(names, "{setting}: {second}\n{printed}");
    }
    assert!(!printed.contains("master_key is not set") && !printed.contains("admin_key is not set"), "{printed}");
    assert!(!printed.contains("c2hvcnQ="), "{printed}");
}

#[test]
fn master_key_generate_prints_a_key_that_serve_takes_and_says_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let output = ringback(folder.path(), &["master-key", "generate"]).output().unwrap();
    let key = text(&output.stdout);
    assert_eq!(data_encoding::BASE64.decode(key.trim().as_bytes()).unwrap().len(), 32);
    assert!(text(&output.stderr).contains("RINGBACK_MASTER_KEY"));
    // the name that it had before
    let quiet = ringback(folder.path(), &["keys", "generate", "--quiet"]).output().unwrap();
    assert!(quiet.stderr.is_empty() && quiet.stdout != output.stdout);
    let checked =
        ringback(folder.path(), &["config", "check"]).env("RINGBACK_MASTER_KEY", key.trim()).output().unwrap();
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    assert!(!text(&checked.stdout).contains(key.trim()));
}

#[test]
fn master_key_rotate_says_which_key_is_missing_or_wrong() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.key"), format!("{}\n", data_encoding::BASE64.encode(&[1; 32]))).unwrap();
    for (args, expected) in [
        (vec!["--new-file", "a.key"], "no old key: name its file with --old-file"),
        (vec!["--old-file", "a.key"], "no new key: generate one"),
        (vec![], "--new-file new.key, or set RINGBACK_NEW_MASTER_KEY"),
        (vec![], "--old-file, or set RINGBACK_MASTER_KEY"),
        (vec!["--old-file", "a.key", "--new-file", "a.key"], "the new key equals the old one"),
        (vec!["--old-file", "a.key", "--new", "short"], "the new key can't be used"),
        (vec!["--old-file", "none.key", "--new", "x"], "none.key can't be read"),
    ] {
        let output =
            ringback(folder.path(), &[&["master-key", "rotate"], args.as_slice()].concat()).output().unwrap();
        assert!(!output.status.success());
        let printed = text(&output.stderr);
        assert!(printed.contains(expected), "{expected}: {printed}");
        assert!(
            !printed.contains("--new <") && !printed.contains("--old <"),
            "suggests a flag whose value other users can see: {printed}"
        );
    }
}

#[test]
fn master_key_rotate_takes_the_keys_from_variables_and_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let key = |byte: u8| data_encoding::BASE64.encode(&[byte; 32]);
    drop(
        test_support::engine::Serve::new(folder.path(), "sqlite://x.db")
            .set("RINGBACK_MASTER_KEY", &key(1))
            .start(),
    );
    std::fs::write(folder.path().join("2.key"), format!("{}\n", key(2))).unwrap();
    std::fs::write(folder.path().join("3.key"), format!("{}\n", key(3))).unwrap();
    for (args, variables) in [
        (
            vec!["--new-file", "2.key"],
            vec![("RINGBACK_MASTER_KEY", key(1)), ("RINGBACK_NEW_MASTER_KEY", String::new())],
        ),
        (vec!["--new-file", "3.key"], vec![("RINGBACK_MASTER_KEY_FILE", String::from("2.key"))]),
        (vec!["--old-file", "3.key"], vec![("RINGBACK_NEW_MASTER_KEY", key(4))]),
    ] {
        let args = [&["master-key", "rotate", "--database-url", "sqlite://x.db"], args.as_slice()].concat();
        let output = ringback(folder.path(), &args).envs(variables).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    }
}

#[test]
fn an_empty_variable_is_as_if_it_were_not_set() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ringback.db.dev-key"), "rbk_dev\n").unwrap();
    let (engine, requests) = play_engine("202 Accepted", String::from("{\"id\":\"msg_1\",\"deliveries\":1}"));
    let output = ringback(folder.path(), &["trigger", "call.completed", "--engine", &engine])
        .envs([("RINGBACK_KEY", ""), ("RINGBACK_ENGINE", "")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let request = requests.recv_timeout(PATIENCE).unwrap();
    assert!(
        request.to_ascii_lowercase().contains("authorization: bearer rbk_dev\r\n"),
        "the key of the folder: {request}"
    );
    let output =
        ringback(folder.path(), &["trigger", "call.completed"]).env("RINGBACK_ENGINE", "").output().unwrap();
    assert!(text(&output.stderr).contains("http://127.0.0.1:8080"), "the default: {}", text(&output.stderr));
    let keys = ringback::config::keys::KEYS.iter().map(|key| (key.variable(), ""));
    let output = ringback(folder.path(), &["config", "check", "--dev"]).envs(keys).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(!text(&output.stdout).contains("# variable"), "{}", text(&output.stdout));
}

#[test]
fn addresses_are_taken_as_people_type_them_or_refused_with_the_right_form() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, _requests) = play_engine("202 Accepted", String::from("{\"id\":\"msg_1\",\"deliveries\":1}"));
    let port = engine.rsplit(':').next().unwrap();
    for near in [format!("localhost:{port}"), format!("127.0.0.1:{port}"), format!(":{port}"), port.to_owned()] {
        let args = ["trigger", "call.completed", "--key", "rbk_k", "--engine", near.as_str()];
        let output = ringback(folder.path(), &args).output().unwrap();
        assert!(output.status.success(), "{near}: {}", text(&output.stderr));
    }
    for (args, expected) in [
        (["trigger", "call.completed", "--engine", "hooks.example.com"], "https://hooks.example.com"),
        (["listen", "--secret", SECRET, "--listen=nowhere"], "127.0.0.1:9001"),
        (["serve", "--dev", "--listen", "9001"], "127.0.0.1:9001 for this machine alone"),
        (["serve", "--dev", "--listen", ":9001"], "0.0.0.0:9001 for every network"),
        (
            ["trigger", "call.complete", "--key=rbk_k", &format!("--engine={engine}")],
            "did you mean call.completed?",
        ),
    ] {
        let output = ringback(folder.path(), &args).output().unwrap();
        assert!(!output.status.success());
        assert!(text(&output.stderr).contains(expected), "{args:?}: {}", text(&output.stderr));
    }
}

#[test]
fn the_examples_of_help_can_be_pasted_from_a_narrow_terminal() {
    let folder = tempfile::tempdir().unwrap();
    for (command, example) in [
        (&["serve"][..], "  ringback serve --database-url postgres://ringback@db/ringback"),
        (&["listen"], "  ringback listen --fail-first 2    # see retries: 503 twice, then 200"),
        (&["trigger"], "  ringback trigger batch.completed --engine https://hooks.example.com"),
        (&["load"], "  ringback load throughput --postgres postgres://postgres@127.0.0.1/postgres"),
        (&["master-key", "rotate"], "  ringback master-key rotate --old-file master.key --new-file new.key"),
    ] {
        for columns in ["80", "100", "200"] {
            let args = [command, &["--help"]].concat();
            let output = ringback(folder.path(), &args).env("COLUMNS", columns).output().unwrap();
            let help = text(&output.stdout);
            assert!(help.lines().any(|line| line == example), "{example} at {columns} columns: {help}");
        }
    }
}

#[test]
fn completions_are_printed_for_every_shell() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = ringback(folder.path(), &["completions", shell]).output().unwrap();
        assert!(output.status.success());
        assert!(text(&output.stdout).contains("trigger"), "{shell}");
    }
}
