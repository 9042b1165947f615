//! No secret is written down in the clear: not in a log line at any level, not in the database's files, not in an
//! answer that does not have to show it.

use std::collections::HashMap;
use std::path::Path;

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use serde_json::{Value, json};
use test_support::authority::Authority;
use test_support::engine::{ADMIN_KEY, Answer, Api, Engine, MASTER_KEY, Serve, text};
use test_support::name_server::NameServer;
use test_support::postgres;
use test_support::raw_receiver::Receiver as RawReceiver;
use test_support::receiver::{Receiver, reply};
use test_support::world::{Database, EVENT_TYPE};

const DATABASE_PASSWORD: &str = "pa55word-of-the-database";
const CUSTOM_HEADER: &str = "t0ken-in-a-custom-header";
const CHANGED_HEADER: &str = "an0ther-t0ken-in-a-custom-header";
const REFUSED_HEADER: &str = "t0ken-that-was-refused";
const CLIENT_SECRET: &str = "cl1ent-secret-of-oauth-2";
const ACCESS_TOKEN: &str = "t0ken-from-a-token-endpoint";
const MISTYPED_KEY: &str = "rbk_mistyped0key0of0somebody0else";
/// Customers put such into their webhooks' paths. Stored and shown to their owner, but not logged.
const URL_TOKEN: &str = "t0ken-in-a-urls-path";
/// The same of what an event says.
const EVENT_DATA: &str = "w0rds-of-an-event";
const URL_PASSWORD: &str = "pa55word-in-a-target";

/// What must not be found, and what it is called.
#[derive(Default)]
struct Secrets(Vec<(String, Vec<u8>)>);

impl Secrets {
    /// In every form in which it could slip out.
    fn add(&mut self, name: &str, secret: &str) {
        self.add_bytes(name, secret.as_bytes());
        let encoded = secret.strip_prefix("whsec_").unwrap_or(secret);
        if let Ok(bytes) = BASE64.decode(encoded.as_bytes()) {
            self.add_bytes(&format!("{name}, decoded"), &bytes);
        }
    }

    fn add_bytes(&mut self, name: &str, bytes: &[u8]) {
        let percent: String = bytes
            .iter()
            .map(|&byte| match byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                true => char::from(byte).to_string(),
                false => format!("%{byte:02X}"),
            })
            .collect();
        // as a list of numbers, which is how bytes are printed for debugging
        let numbers = format!("{bytes:?}").trim_matches(['[', ']']).to_owned();
        for form in [
            bytes.to_vec(),
            BASE64.encode(bytes).into_bytes(),
            BASE64_NOPAD.encode(bytes).into_bytes(),
            BASE64URL.encode(bytes).into_bytes(),
            BASE64URL_NOPAD.encode(bytes).into_bytes(),
            HEXLOWER.encode(bytes).into_bytes(),
            HEXUPPER.encode(bytes).into_bytes(),
            percent.into_bytes(),
            numbers.into_bytes(),
        ] {
            assert!(form.len() >= PREFIX);
            self.0.push((name.to_owned(), form));
        }
    }

    /// Fails when one of them is in there.
    fn assert_not_in(&self, place: &str, bytes: &[u8]) {
        let mut by_prefix: HashMap<&[u8], Vec<usize>> = HashMap::new();
        let mut may_begin = vec![false; 1 << 16];
        for (index, (_, form)) in self.0.iter().enumerate() {
            by_prefix.entry(&form[..PREFIX]).or_default().push(index);
            may_begin[usize::from(form[0]) << 8 | usize::from(form[1])] = true;
        }
        for at in 0..bytes.len().saturating_sub(PREFIX - 1) {
            if !may_begin[usize::from(bytes[at]) << 8 | usize::from(bytes[at + 1])] {
                continue;
            }
            for &index in by_prefix.get(&bytes[at..at + PREFIX]).into_iter().flatten() {
                let (name, form) = &self.0[index];
                let around = String::from_utf8_lossy(&bytes[at.saturating_sub(200)..bytes.len().min(at + 100)]);
                assert!(!bytes[at..].starts_with(form), "{name} is in {place}: …{around}…");
            }
        }
    }

    /// In no file below; returns how many bytes were looked through.
    fn assert_not_below(&self, folder: &Path) -> usize {
        let mut bytes = 0;
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                bytes += self.assert_not_below(&path);
            } else if kind.is_file() {
                // it may be gone meanwhile
                let content = std::fs::read(&path).unwrap_or_default();
                bytes += content.len();
                self.assert_not_in(&path.display().to_string(), &content);
            }
        }
        bytes
    }
}

/// The beginning of a form, by which it is looked for.
const PREFIX: usize = 8;

/// Everything that was done, and what was answered where no secret belongs.
struct Session {
    api: Api,
    secrets: Secrets,
    answers: Vec<String>,
}

impl Session {
    fn call(&mut self, method: &str, path: &str, body: &Value) -> Answer {
        let answer = self.api.try_call(method, path, Some(body.to_string().as_bytes())).unwrap();
        self.answers.push(format!("{method} {path}: {:?} {}", answer.headers, answer.text));
        answer
    }

    /// An answer that shows a secret, this once: it is remembered, and looked for in everything else.
    fn shown(&mut self, name: &str, path: &str, body: &Value, field: &str) -> Value {
        let answer = self.api.post(path, body);
        assert!((200..300).contains(&answer.status), "{}", answer.text);
        let mut answer = answer.json();
        self.secrets.add(name, text(&answer, field));
        answer[field].take();
        self.answers.push(answer.to_string());
        answer
    }
}

fn path(webhook: &Value) -> String {
    format!("/v1/webhooks/{}", text(webhook, "id"))
}

fn own_secret(byte: u8) -> String {
    format!(
        "whsec_{}",
        BASE64.encode(&(0..32).map(|at| byte.wrapping_mul(31).wrapping_add(at * 7)).collect::<Vec<u8>>())
    )
}

fn begin(engine: &Engine, database_url: &str) -> Session {
    let mut secrets = Secrets::default();
    secrets.add("the admin key", ADMIN_KEY);
    secrets.add("the master key", MASTER_KEY);
    for (name, secret) in [
        ("the custom header", CUSTOM_HEADER),
        ("the changed custom header", CHANGED_HEADER),
        ("the refused custom header", REFUSED_HEADER),
        ("the client's secret", CLIENT_SECRET),
        ("the token", ACCESS_TOKEN),
        ("the mistyped key", MISTYPED_KEY),
        ("the password in a target", URL_PASSWORD),
    ] {
        secrets.add(name, secret);
    }
    if database_url.contains(DATABASE_PASSWORD) {
        secrets.add("the database's password", DATABASE_PASSWORD);
    }
    let mut session = Session { api: engine.api(ADMIN_KEY), secrets, answers: Vec::new() };
    let organization = session.call("POST", "/v1/organizations", &json!({"name": "acme"})).expect(201).json();
    let keys = format!("/v1/organizations/{}/keys", text(&organization, "id"));
    session.shown("another key", &keys, &json!({"name": "p", "role": "publisher"}), "key");
    let owner = engine.api(ADMIN_KEY).post(&keys, &json!({"name": "o", "role": "owner"})).expect(201).json();
    session.secrets.add("the owner's key", text(&owner, "key"));
    session.call("GET", &keys, &Value::Null).expect(200);
    session.api = session.api.with_key(text(&owner, "key"));
    session
}

/// Webhooks that succeed, fail and are blocked, all of them with secrets.
fn make_webhooks(session: &mut Session, urls: &[String], token_url: &str) -> Vec<Value> {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["hooks.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    session.secrets.add_bytes("the private key", &key.serialize_der());
    // a line of PEM
    session.secrets.add_bytes("the middle of the private key", &key.serialize_der()[48..96]);
    let certificate = json!({"certificate": certificate.pem(), "private_key": key.serialize_pem()});
    let mut webhooks = Vec::new();
    for (number, url) in urls.iter().enumerate() {
        let mut body = json!({"url": url, "retry": 0, "timeout": 2, "headers": {"X-Token": CUSTOM_HEADER}});
        if number % 2 == 0 {
            body["secret"] = json!(own_secret(number as u8));
        }
        if url.starts_with("https:") {
            body["client_certificate"] = certificate.clone();
        }
        let way = if number % 2 == 0 { "client_secret_basic" } else { "client_secret_post" };
        // of three characters with the colon, so that the secret's base64 is a part of the header's
        body["oauth2"] = json!({"token_url": token_url, "client_id": "us", "client_secret": CLIENT_SECRET, "client_authentication": way});
        let webhook = session.shown("a signing secret", "/v1/webhooks", &body, "secret");
        let rotate = format!("{}/secret/rotate", path(&webhook));
        session.shown("a rotated signing secret", &rotate, &json!({}), "secret");
        let own = json!({"secret": own_secret(100 + number as u8), "overlap_seconds": 3600});
        session.shown("a rotated secret of the customer's", &rotate, &own, "secret");
        session.call("PATCH", &path(&webhook), &json!({"headers": {"X-Token": CHANGED_HEADER}})).expect(200);
        session.call("GET", &path(&webhook), &Value::Null).expect(200);
        webhooks.push(webhook);
    }
    session.call("GET", "/v1/webhooks", &Value::Null).expect(200);
    webhooks
}

fn deliver(session: &mut Session, webhooks: &[Value]) {
    for webhook in webhooks {
        session.call("POST", &format!("{}/test", path(webhook)), &json!({})).expect(200);
    }
    let event = json!({"event_type": EVENT_TYPE, "data": {"a": EVENT_DATA}});
    let event = session.call("POST", "/v1/events", &event).expect(202).json();
    let api = session.api.clone();
    let idle = || {
        test_support::engine::eventually("nothing is pending", || {
            let pending = api.get("/v1/webhooks/logs?limit=1&status=pending").expect(200).json();
            pending["data"].as_array().unwrap().is_empty().then_some(())
        });
    };
    idle();
    session.call("POST", &format!("/v1/events/{}/replay", text(&event, "id")), &json!({})).expect(202);
    idle();
    for webhook in webhooks {
        session.call("GET", &format!("{}/health", path(webhook)), &Value::Null).expect(200);
    }
    let log = session.call("GET", "/v1/webhooks/logs?limit=200", &Value::Null).expect(200).json();
    for delivery in log["data"].as_array().unwrap() {
        let detail = format!("/v1/webhooks/logs/{}", text(delivery, "id"));
        let detail = session.call("GET", &detail, &Value::Null).expect(200).json();
        let sent = &detail["attempts"][0]["request_headers"];
        assert!(sent["X-Token"].is_null() || sent["X-Token"] == "********", "{sent}");
    }
}

/// Input that is refused, with secrets in it.
fn mistakes(session: &mut Session) {
    let url = "https://receiver.example/";
    let short = format!("whsec_{}", BASE64.encode(REFUSED_HEADER.as_bytes()));
    for body in [
        json!({"url": url, "secret": &short[..short.len() - 5]}),
        json!({"url": url, "secret": REFUSED_HEADER}),
        json!({"url": url, "secret": [REFUSED_HEADER]}),
        json!({"url": url, "headers": {"X-Token": format!("{REFUSED_HEADER}\u{e9}")}}),
        json!({"url": url, "headers": {"X-Token": [REFUSED_HEADER]}}),
        json!({"url": url, "headers": {"Host": REFUSED_HEADER}}),
        json!({"url": url, "client_certificate": {"certificate": REFUSED_HEADER, "private_key": REFUSED_HEADER}}),
        json!({"url": url, "oauth2": {"token_url": url, "client_id": "us", "client_secret": format!("{REFUSED_HEADER}\n")}}),
        json!({"url": format!("https://user:{URL_PASSWORD}@receiver.example/")}),
        json!({"url": format!("http://user:{URL_PASSWORD}@[/")}),
    ] {
        session.call("POST", "/v1/webhooks", &body).expect(422);
    }
    let broken = format!(r#"{{"url":"{url}","headers":{{"X-Token":"{REFUSED_HEADER}"#);
    let answer = session.api.try_call("POST", "/v1/webhooks", Some(broken.as_bytes())).unwrap().expect(400);
    session.answers.push(answer.text);
    let stranger = session.api.with_key(MISTYPED_KEY);
    for path in ["/v1/webhooks", "/v1/organizations", "/v1/nothing"] {
        session.answers.push(stranger.get(path).text);
    }
    let basic = BASE64.encode(format!("admin:{ADMIN_KEY}").as_bytes());
    let header = ("x-authorization", basic.as_str());
    session.answers.push(stranger.call_with_header("GET", "/v1/webhooks", "", header).text);
    for path in
        ["/metrics", "/openapi.json", "/docs", "/health/live", "/health/ready", "/v1/health", "/v1/event-types"]
    {
        session.call("GET", path, &Value::Null).expect(200);
    }
}

/// What the command line says with the same settings.
fn command_line(serve: &Serve, database_url: &str) -> String {
    let mut said = String::new();
    for arguments in [
        &["config", "check"][..],
        &["config", "check", "--listen", "nonsense"],
        // the database is in use, or else there is no such address
        &["serve", "--listen", "203.0.113.1:1"],
        &["keys", "rotate", "--new", "bm9uc2Vuc2U="],
        &["serve", "--database-url", "postgres://user@127.0.0.1:1/nobody-listens"],
    ] {
        let output = serve.run(arguments);
        said.push_str(&String::from_utf8_lossy(&output.stdout));
        said.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    assert!(said.contains("(hidden)"), "config check was run: {said}");
    assert!(!database_url.contains(DATABASE_PASSWORD) || said.contains("hidden@"), "{said}");
    said
}

/// Goes through everything that has to do with a secret, with the most talkative log; returns what must not be found
/// anywhere below the folder of the engine and, after it has ended, in its database.
fn no_secret_slips_out(database: &Database, log_format: &str) -> Secrets {
    let authority = Authority::new();
    let names = NameServer::start(|name| match name {
        "blocked.example." => Some(vec![[10, 0, 0, 1].into()]),
        "receiver.example." => Some(vec![[127, 0, 0, 1].into()]),
        _ => None,
    });
    let (good, bad) = (Receiver::ok(), Receiver::answering(|_| reply(500)));
    let secure = RawReceiver::start_tls(authority.server("receiver.example", |_| {}), |mut connection| {
        while connection.read_request().is_some() {
            connection.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let token = format!(r#"{{"access_token":"{ACCESS_TOKEN}","expires_in":3600}}"#);
    let tokens =
        RawReceiver::answering(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{token}", token.len()));
    let broken = RawReceiver::answering("HTTP/1.1 200 OK\r\nno colon\r\n\r\n");
    let secret_path = |url: String| url.replace("/hook", &format!("/{URL_TOKEN}"));
    let urls = [
        good.url(),
        bad.url(),
        format!("https://receiver.example:{}/hook", secure.address.port()),
        secure.https_url(),
        broken.url(),
        "http://127.0.0.1:1024/hook".to_owned(),
        "http://blocked.example/hook".to_owned(),
    ]
    .map(secret_path);
    let serve = database
        .serve()
        .set("RINGBACK_LOG", "trace,actix_http=trace")
        .set("RINGBACK_LOG_FORMAT", log_format)
        // in the other format requests are lines at debug
        .set("RINGBACK_ACCESS_LOG", if log_format == "json" { "true" } else { "false" })
        .set("RINGBACK_CA_FILE", authority.file.to_str().unwrap())
        .set("RINGBACK_DNS_SERVERS", &names.address.to_string());
    let mut engine = serve.start();
    let mut session = begin(&engine, &database.url);
    let webhooks = make_webhooks(&mut session, &urls, &tokens.url());
    deliver(&mut session, &webhooks);
    let seen = good.seen();
    assert!(
        seen.iter().all(|seen| seen.header("authorization") == format!("Bearer {ACCESS_TOKEN}")),
        "tokens were sent"
    );
    mistakes(&mut session);
    let said = command_line(&serve, &database.url);
    // with SQLite's log of what is not yet in its file
    session.secrets.assert_not_below(database.folder.path());
    engine.terminate();
    assert_eq!(engine.end().code(), Some(0));

    let log = std::fs::read(database.folder.path().join("stderr.log")).unwrap();
    let text = String::from_utf8_lossy(&log);
    let of_requests = if log_format == "json" { "ringback::access" } else { "ringback::api" };
    for source in ["actix_server", "actix_http", "rustls", "ringback::delivery", of_requests] {
        assert!(text.contains(source), "the most talkative log holds nothing of {source}");
    }
    let mut not_logged = Secrets::default();
    not_logged.add("the path of a webhook's URL", URL_TOKEN);
    not_logged.add("the data of an event", EVENT_DATA);
    not_logged.assert_not_in("the log", &log);
    session.secrets.assert_not_in("an answer", session.answers.join("\n").as_bytes());
    session.secrets.assert_not_in("what the command line says", said.as_bytes());
    session.secrets.assert_not_in("what serve prints", engine.greeting.join("\n").as_bytes());
    let bytes = session.secrets.assert_not_below(database.folder.path());
    println!(
        "measured: {} forms of secrets in {} answers, {} bytes of log, {bytes} bytes of files: none",
        session.secrets.0.len(),
        session.answers.len(),
        log.len()
    );
    session.secrets
}

#[test]
fn no_secret_is_in_a_log_an_answer_or_a_file_of_sqlite() {
    no_secret_slips_out(&Database::sqlite(), "text");
}

#[test]
fn no_secret_is_in_a_log_an_answer_or_a_file_of_postgresql() {
    let Some(server) = postgres::private() else { return };
    let url = server.create_database().replace("ringback@", &format!("ringback:{DATABASE_PASSWORD}@"));
    let database = Database { folder: tempfile::tempdir().unwrap(), url };
    let secrets = no_secret_slips_out(&database, "json");
    let dump = server.dump(&database.url.replace(&format!(":{DATABASE_PASSWORD}"), "")).unwrap();
    assert!(String::from_utf8_lossy(&dump).contains("receiver.example"), "the dump has the webhooks");
    secrets.assert_not_in("the dump", &dump);
    server.stop().unwrap();
    let bytes = secrets.assert_not_below(server.folder());
    println!("measured: {bytes} bytes of PostgreSQL's files and {} of its dump: none", dump.len());
}

#[test]
fn a_database_url_that_can_not_be_read_is_refused_without_its_password() {
    let mut secrets = Secrets::default();
    secrets.add("the database's password", DATABASE_PASSWORD);
    // parts of it that the way around it makes of it
    secrets.add("a part of the password", "word-of-the-database");
    let database = Database::sqlite();
    for password in ["%zz", "/", "@", ":", "[", "?a=", "#", "%00", " "] {
        let url = format!("postgres://ringback:pa55{password}word-of-the-database@127.0.0.1:1/ringback");
        let serve = database.serve().set("RINGBACK_DATABASE_URL", &url);
        for arguments in [&["config", "check"][..], &["serve"]] {
            let output = serve.run(arguments);
            let said = [output.stdout, output.stderr].concat();
            secrets.assert_not_in(&format!("{arguments:?} with {url}"), &said);
            assert!(arguments[0] != "serve" || !output.status.success());
        }
    }
}
