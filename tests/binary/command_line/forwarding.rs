//! `listen --forward-to`: an application behind the receiver gets what the engine sent, and answers for it.

use std::io::BufReader;
use std::process::{ChildStdout, Stdio};

use serde_json::Value;
use test_support::engine::{Api, eventually, text as field};
use test_support::raw_receiver::Receiver;
use test_support::receiver;

use super::world::World;
use super::{Running, SECRET, address_in, deliver, read_until, ringback};

struct Listening {
    _child: Running,
    lines: BufReader<ChildStdout>,
    said: String,
}

fn listen(folder: &std::path::Path, args: &[&str]) -> Listening {
    let args = [&["listen", "--listen", "127.0.0.1:0"], args].concat();
    let child = ringback(folder, &args).stdout(Stdio::piped()).spawn().unwrap();
    let mut child = Running(child);
    let mut lines = BufReader::new(child.0.stdout.take().unwrap());
    let said = read_until(&mut lines, "listening on");
    Listening { _child: child, lines, said }
}

/// The headers of a request or an answer, without those of the connection and without the time.
fn headers(message: &str) -> Vec<String> {
    let head = message.split("\r\n\r\n").next().unwrap();
    let own = ["host:", "connection:", "date:"];
    let lines = head.split("\r\n").skip(1).map(|line| {
        let (name, value) = line.split_once(':').unwrap();
        format!("{}:{value}", name.to_ascii_lowercase())
    });
    let mut lines: Vec<String> = lines.filter(|line| !own.iter().any(|name| line.starts_with(name))).collect();
    lines.sort();
    lines
}

#[test]
fn an_application_gets_body_and_headers_as_they_were_sent_and_its_answer_is_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let answers = [
        "HTTP/1.1 200 OK\r\nx-app: a\r\nx-app: b\r\ncontent-length: 4\r\n\r\nfine",
        "HTTP/1.1 500 Internal Server Error\r\ncontent-type: text/html\r\ncontent-length: 5\r\n\r\n<oh/>",
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/elsewhere\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
    ];
    for answer in answers {
        let application = Receiver::answering(answer);
        let forward_to = format!("{}?a=b", application.url());
        let mut listening = listen(folder.path(), &["--secret", SECRET, "--forward-to", &forward_to]);
        assert!(!listening.said.contains("signing secret"), "who gave it has it: {}", listening.said);
        let body = "{\"event_type\":\"call.completed\",\"data\":{\"n\": 1e400, \"é\":\"\\u00e9\"}}";
        let answered = deliver(address_in(&listening.said), body, SECRET);
        let status = answer.split(' ').nth(1).unwrap();
        assert!(answered.starts_with(&format!("HTTP/1.1 {status} ")), "{answered}");
        assert_eq!(headers(&answered), headers(answer));
        assert_eq!(answered.split_once("\r\n\r\n").unwrap().1, answer.split_once("\r\n\r\n").unwrap().1);

        let request = application.next_request();
        assert!(request.starts_with("POST /hook?a=b HTTP/1.1\r\n"), "{request}");
        assert_eq!(request.split_once("\r\n\r\n").unwrap().1, body);
        let names: Vec<String> =
            headers(&request).iter().map(|line| line.split(':').next().unwrap().to_owned()).collect();
        let expected = [
            "content-length",
            "webhook-id",
            "webhook-signature",
            "webhook-timestamp",
            "x-callintel-attempt",
            "x-callintel-delivery",
            "x-callintel-signature",
        ];
        assert_eq!(names, expected);
        let shown = read_until(&mut listening.lines, "\n}\n");
        assert!(shown.contains(&format!("-> {status}\n")) && shown.contains("✓ webhook-signature"), "{shown}");
        assert_eq!(application.connections(), 1, "a redirect is not followed");
    }
}

#[test]
fn where_no_application_answers_the_engine_gets_502_and_the_person_is_told_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = format!("http://{}/hooks", silent.local_addr().unwrap());
    drop(silent);
    let closing = Receiver::start(|mut connection| {
        connection.read_request();
    });
    for (url, expected) in
        [(nowhere, "nothing listens there: start the application"), (closing.url(), "it can't be reached")]
    {
        let mut listening = listen(folder.path(), &["--secret", SECRET, "--forward-to", &url]);
        let answered = deliver(address_in(&listening.said), "{\"event_type\":\"call.completed\"}", SECRET);
        assert!(answered.starts_with("HTTP/1.1 502 ") && answered.contains("text/plain"), "{answered}");
        assert!(answered.contains(&url) && answered.contains(expected), "{expected}: {answered}");
        let shown = read_until(&mut listening.lines, "\n}\n");
        assert!(shown.contains("-> 502") && shown.contains(expected), "{expected}: {shown}");
    }
}

#[test]
fn a_body_that_breaks_off_or_has_no_end_changes_nothing_of_the_status() {
    let folder = tempfile::tempdir().unwrap();
    let cut = Receiver::start(|mut connection| {
        connection.read_request();
        connection.send("HTTP/1.1 201 Created\r\ncontent-length: 10\r\n\r\nfi");
    });
    let endless = Receiver::start(|mut connection| {
        connection.read_request();
        connection.send("HTTP/1.1 201 Created\r\n\r\nfi");
        while connection.send([b'x'; 65_536]) {}
    });
    for application in [cut, endless] {
        let mut listening = listen(folder.path(), &["--secret", SECRET, "--forward-to", &application.url()]);
        let answered = deliver(address_in(&listening.said), "{}", SECRET);
        assert!(answered.starts_with("HTTP/1.1 201 "), "{}", &answered[..100]);
        assert!(answered.split_once("\r\n\r\n").unwrap().1.starts_with("fi"));
        assert!(read_until(&mut listening.lines, "answered by").contains("its body broke off"));
    }
}

/// The only delivery in the log, once it has ended.
fn delivery(api: &Api) -> Value {
    let ended = eventually("the delivery ends", || {
        let rows = api.get("/v1/webhooks/logs").expect(200).json();
        rows["data"].as_array().unwrap().iter().find(|row| !row["finished_at"].is_null()).cloned()
    });
    api.get(&format!("/v1/webhooks/logs/{}", field(&ended, "id"))).expect(200).json()
}

#[test]
fn an_engine_sees_through_to_the_application_which_verifies_with_the_secret_that_was_printed() {
    let world = World::new();
    let key = world.json("api-keys create --organization customer-1 --name k --role owner");
    let api = world.engine.api(field(&key, "key"));
    let application = receiver::Receiver::answering(|_| receiver::reply(410).with("x-app", "a").body("gone"));
    let engine = world.engine.address().to_string();
    let url = application.url();
    let args = ["--engine", &engine, "--key", field(&key, "key"), "--forward-to", &url];
    let listening = listen(world.path(), &args);
    let printed = listening.said.lines().find_map(|line| line.strip_prefix("signing secret: ")).unwrap();
    let secret = printed.split_whitespace().next().unwrap();
    world.said("events publish call.completed --data {\"n\":1e300}");
    let delivery = delivery(&api);
    let seen = &application.seen()[0];
    let attempt = &delivery["attempts"][0];
    assert_eq!((&attempt["response_code"], &attempt["response_body"]), (&Value::from(410), &Value::from("gone")));
    assert_eq!(attempt["response_headers"]["x-app"], "a");
    for (name, value) in attempt["request_headers"].as_object().unwrap() {
        if name != "host" {
            assert_eq!(seen.header(name), value.as_str().unwrap(), "{name}");
        }
    }
    let verifier = standardwebhooks::Webhook::new(secret).unwrap();
    verifier.verify(&seen.body, &seen.headers).unwrap();
}

#[test]
fn an_address_that_can_not_be_sent_on_to_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    for (args, expected) in [
        (vec!["--forward-to", "ftp://localhost"], "http://localhost:3000/hooks"),
        (vec!["--forward-to", "3000", "--status", "500"], "cannot be used with"),
        (
            vec!["--listen", "127.0.0.1:19377", "--forward-to", "http://localhost:19377/"],
            "leads to this command itself",
        ),
    ] {
        let output =
            ringback(folder.path(), &[&["listen", "--secret", SECRET], args.as_slice()].concat()).output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(expected), "{args:?}: {said}");
    }
}
