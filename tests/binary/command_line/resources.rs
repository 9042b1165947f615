//! What an engine has, made, listed, shown, changed and deleted from the command line.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::json;
use test_support::engine::{ADMIN_KEY, text as field};
use test_support::raw_receiver;

use super::world::{World, rows};
use super::{ringback, text};

#[test]
fn an_organization_is_made_listed_shown_changed_and_deleted() {
    let world = World::new();
    let args = ["orgs", "create", "--name", "An other", "--uid", "customer-2", "--metadata", "plan=pro=x"];
    let made = world.said_of(&args);
    assert!(made.contains("metadata.plan  pro=x") && made.contains("An other"), "{made}");
    let listed = rows(&world.said("orgs list"));
    assert_eq!(listed.len(), 2);
    assert_eq!(&listed[0][1..3], ["customer-2", "An other"], "the newest comes first");
    assert_eq!(world.json("orgs list")["data"].as_array().unwrap().len(), 2);
    let shown = world.json("orgs get customer-2");
    assert_eq!(shown["metadata"], json!({"plan": "pro=x"}));
    let same = world.json("orgs create --uid customer-2 --name Other --get");
    assert_eq!(same, shown, "what is there is shown");
    world.said("orgs update customer-2 --name Changed --data {\"name\":\"no\",\"metadata\":null}");
    let changed = world.json(&format!("orgs get {}", field(&shown, "id")));
    assert_eq!((field(&changed, "name"), &changed["metadata"]), ("Changed", &json!({})));
    let deleted = world.said("orgs delete customer-2 --yes");
    assert!(deleted.starts_with("deleted organization customer-2"), "{deleted}");
    assert_eq!(world.said("orgs delete customer-1 --yes --json"), "", "no response, no document");
    assert!(world.refused("orgs get customer-2").contains("the engine answered 404"));
}

#[test]
fn a_sign_in_link_is_printed_alone_so_that_it_can_be_used_as_it_is() {
    let world = World::new();
    let output = world.command("orgs sign-in-link customer-1 --role viewer --expires-in 10m").output().unwrap();
    let link = text(&output.stdout);
    assert!(link.starts_with("http://") && link.contains("/sign-in?link=") && link.lines().count() == 1, "{link}");
    assert!(text(&output.stderr).contains("once, until 2"), "{}", text(&output.stderr));
    let link = world.json("orgs sign-in-link customer-1");
    assert!(link["url"].is_string() && link["expires_at"].is_string(), "{link}");
    let refused = world.refused("orgs sign-in-link customer-1 --expires-in 1s --role admin");
    assert!(refused.contains("expires_in_seconds: ") && refused.contains("role: "), "{refused}");
}

#[test]
fn a_webhook_is_made_listed_shown_changed_and_deleted() {
    let world = World::new();
    let url = format!("https://example.com/{}/end", "a".repeat(300));
    let args =
        ["webhooks", "create", "--url", &url, "--events", "call.*,batch.failed", "--header", "x-token: abc"];
    let more = ["--filters", "{\"direction\": \"outbound\"}", "--rate-limit-per-second", "50", "--ordered"];
    let made = world.said_of(&[&args[..], &more[..]].concat());
    for line in ["headers.x-token        ********", "rate_limit.per_second  50.0", "secret                 whsec_"]
    {
        assert!(made.contains(line), "{line} is missing in {made}");
    }
    assert!(made.contains(&url), "whoever looks at one sees all of it: {made}");
    let listed = rows(&world.said("webhooks list"));
    let [id, shown_url, events, state, _] = listed[0].as_slice() else { panic!("{listed:?}") };
    assert!(shown_url.starts_with("https://example.com/") && shown_url.ends_with("/end"), "{shown_url}");
    assert_eq!((events.as_str(), state.as_str()), ("call.*, batch.failed", "healthy"));
    let shown = world.json(&format!("webhooks get {id}"));
    assert_eq!(shown["filters"], json!({"direction": "outbound"}));
    assert_eq!((&shown["ordered"], &shown["url"]), (&json!(true), &json!(url)));
    assert_eq!(world.json("webhooks list")["data"], json!([shown]));

    let settings = "{\"rate_limit\":null,\"timeout\":5}";
    world.said(&format!("webhooks update {id} --timeout 7 --active false --events  --data {settings}"));
    let changed = world.json(&format!("webhooks get {id}"));
    assert_eq!(changed["timeout"], 7, "a flag wins");
    assert_eq!(
        (&changed["rate_limit"], &changed["events"], &changed["state"]),
        (&json!(null), &json!([]), &json!("disabled"))
    );
    let file = world.path().join("settings.json");
    std::fs::write(&file, "{\"description\": \"from a file\"}").unwrap();
    let from_file = world.json(&format!("webhooks update {id} --data @settings.json"));
    assert_eq!(field(&from_file, "description"), "from a file");
    let from_input =
        world.said_with_input(&format!("webhooks update {id} --data -"), "{\"description\": \"piped\"}");
    assert!(from_input.contains("description"), "{from_input}");
    assert_eq!(field(&world.json(&format!("webhooks get {id}")), "description"), "piped");

    let secret = world.json(&format!("webhooks secret {id}"));
    let rotated = world.json(&format!("webhooks rotate-secret {id} --overlap 2h"));
    assert_ne!(secret["secret"], rotated["secret"]);
    assert_eq!(rotated["previous_secrets"].as_array().unwrap().len(), 1);
    assert!(world.said(&format!("webhooks health {id}")).contains("breaker.state             closed"));
    assert!(
        world
            .refused(&format!("webhooks resume {id}"))
            .contains("the engine answered 409: the webhook is disabled")
    );
    let recovered = world.said(&format!("webhooks recover {id} --since 2h --once"));
    assert_eq!(recovered, "deliveries sent again: 0\n");
    let deleted = world.said(&format!("webhooks delete {id} --yes"));
    assert_eq!(deleted, format!("deleted webhook {id}\n"));
    assert_eq!(world.json("webhooks list")["data"], json!([]));
}

#[test]
fn an_event_type_of_an_organization_and_of_the_catalogue_is_made_listed_shown_changed_and_deleted() {
    let world = World::new();
    for catalogue in ["", " --catalogue"] {
        let run = |line: &str| world.said(&format!("event-types {line}{catalogue}"));
        let json = |line: &str| world.json(&format!("event-types {line}{catalogue}"));
        run("create invoice.paid --description Paid --sample {\"n\":1e300}");
        let listed = rows(&run("list"));
        let row = listed.iter().find(|row| row[0] == "invoice.paid").unwrap();
        assert_eq!(&row[1..], [if catalogue.is_empty() { "own" } else { "catalogue" }, "false", "Paid"]);
        assert!(run("get invoice.paid").contains("sample\n  {\n    \"n\": 1e300\n  }"));
        assert_eq!(field(&json("get invoice.paid"), "description"), "Paid");
        assert_eq!(json("update invoice.paid --archived")["archived"], true);
        assert_eq!(json("update invoice.paid --archived false --description New")["description"], "New");
        assert_eq!(run("delete invoice.paid --yes"), "deleted event type invoice.paid\n");
        let refused = world.refused(&format!("event-types get invoice.paid{catalogue}"));
        assert!(refused.contains("no such event type"), "{refused}");
    }
}

#[test]
fn a_key_is_shown_once_and_works_until_it_is_deleted() {
    let world = World::new();
    for (whose, role) in [("--organization customer-1", "viewer"), ("--deployment", "admin")] {
        let output = world.command(&format!("api-keys create {whose} --name k --role {role} --expires-in 2h"));
        let output = { output }.output().unwrap();
        let printed = text(&output.stdout);
        assert!(text(&output.stderr).contains("shown only now"), "{}", text(&output.stderr));
        let key = printed.lines().find_map(|line| line.strip_prefix("key ")).unwrap().trim().to_owned();
        let list = |key: &str| world.command("webhooks list").env("RINGBACK_KEY", key).output().unwrap();
        assert!(list(&key).status.success(), "{}", text(&list(&key).stderr));
        let listed = rows(&world.said(&format!("api-keys list {whose}")));
        let row = &listed[0];
        assert_eq!((&row[1..3], row[6].as_str()), (&[String::from("k"), role.to_owned()][..], "in 1 h"));
        assert!(!world.said(&format!("api-keys list {whose} --json")).contains(&key), "it is nowhere else");
        world.said(&format!("api-keys delete {} {whose} --yes", row[0]));
        assert!(text(&list(&key).stderr).contains("does not accept this key"));
    }
}

#[test]
fn a_key_of_the_deployment_acts_in_the_organization_that_is_named() {
    let world = World::new();
    world.said("orgs create --name Other --uid customer-2");
    let key = world.json("api-keys create --deployment --name backend --role owner");
    let run = |line: &str| {
        let mut command = world.command(line);
        command.env("RINGBACK_KEY", field(&key, "key")).env_remove("RINGBACK_ORGANIZATION");
        command.output().unwrap()
    };
    for line in [
        "webhooks create --url https://example.com/2 --organization customer-2",
        "webhooks --organization customer-2 list",
        "api-keys list --organization customer-2",
        "orgs sign-in-link customer-2",
    ] {
        let output = run(line);
        assert!(output.status.success(), "{line}: {}", text(&output.stderr));
    }
    assert_eq!(world.json("webhooks list --organization customer-2")["data"].as_array().unwrap().len(), 1);
    assert_eq!(world.json("webhooks list")["data"], json!([]), "nothing is in another organization");
    let unnamed = text(&run("webhooks list").stderr);
    assert!(unnamed.contains("name the organization with --organization"), "{unnamed}");
    let unnamed = text(&run("api-keys list").stderr);
    assert!(unnamed.contains("name the organization with --organization"), "{unnamed}");
    let forbidden = text(&run("orgs list").stderr);
    assert!(forbidden.contains("this key may not do that"), "{forbidden}");
}

#[test]
fn the_admin_key_serves_where_it_can_act_without_being_given() {
    let world = World::new();
    for (line, serves) in
        [("orgs list", true), ("webhooks list --organization customer-1", true), ("webhooks list", false)]
    {
        let mut command = world.command(line);
        command
            .env_remove("RINGBACK_KEY")
            .env_remove("RINGBACK_ORGANIZATION")
            .env("RINGBACK_ADMIN_KEY", ADMIN_KEY);
        let output = command.output().unwrap();
        assert_eq!(output.status.success(), serves, "{line}: {}", text(&output.stderr));
        assert_eq!(text(&output.stderr).contains("no key: set --key"), !serves, "{line}");
    }
}

#[test]
fn a_list_goes_on_where_it_ended_and_all_of_it_is_one_document() {
    let world = World::new();
    for number in 2..=5 {
        world.said(&format!("orgs create --name n --uid customer-{number}"));
    }
    let output = world.command("orgs list --limit 2").output().unwrap();
    assert_eq!(rows(&text(&output.stdout)).len(), 2);
    let said = text(&output.stderr);
    let cursor = said.trim().rsplit("--cursor ").next().unwrap();
    let rest = world.json(&format!("orgs list --cursor {cursor}"));
    assert_eq!(rest["data"].as_array().unwrap().len(), 3);
    assert_eq!((&rest["next_cursor"], field(&rest["data"][0], "uid")), (&json!(null), "customer-3"));
    let first = world.json("orgs list --limit 2");
    assert_eq!(first["next_cursor"], cursor);
    let whole = world.json("orgs list --all");
    assert_eq!(whole["data"].as_array().unwrap().len(), 5);
    assert!(world.refused("orgs list --limit 0").contains("--limit"));
}

#[test]
fn a_list_that_takes_several_pages_is_one_table_and_one_document() {
    let world = World::new();
    let api = world.engine.api(ADMIN_KEY);
    let events: Vec<_> = (0..250).map(|n| json!({"event_type": "call.completed", "data": {"n": n}})).collect();
    let header = ("ringback-organization", "customer-1");
    api.call_with_header("POST", "/v1/events/batch", &json!(events).to_string(), header).expect(202);
    assert_eq!(rows(&world.said("events list --all")).len(), 250);
    assert_eq!(rows(&world.said("events list")).len(), 50);
    let most = world.json("events list --limit 240");
    assert_eq!(most["data"].as_array().unwrap().len(), 240);
    let rest = world.json(&format!("events list --cursor {}", field(&most, "next_cursor")));
    assert_eq!(rest["data"].as_array().unwrap().len(), 10);
    assert_eq!(world.json("events list --all")["next_cursor"], json!(null));
}

#[test]
fn a_list_is_not_given_up_while_the_engine_says_when_to_ask_again() {
    let folder = tempfile::tempdir().unwrap();
    let busy = raw_receiver::Receiver::start(|mut connection| {
        connection.read_head();
        connection.send(match connection.number {
            0 => "HTTP/1.1 429 Too Many Requests\r\nretry-after: 0\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            _ => "HTTP/1.1 200 OK\r\ncontent-length: 30\r\nconnection: close\r\n\r\n{\"data\":[],\"next_cursor\":null}",
        });
    });
    let engine = format!("http://{}", busy.address);
    let output = ringback(folder.path(), &["orgs", "list", "--engine", &engine, "--key", "k", "--json"]).output();
    assert_eq!(text(&output.unwrap().stdout), "{\"data\":[],\"next_cursor\":null}\n");
    assert_eq!(busy.connections(), 2);
}

#[test]
fn what_makes_no_sense_is_answered_with_what_to_do() {
    let world = World::new();
    let id = "wh_0000000000000";
    let lines = [
        (String::from("webhooks get ../../keys"), "an id of the form wh_"),
        (String::from("webhooks get msg_0000000000000"), "an id of the form wh_"),
        (format!("webhooks get {id}"), "the engine answered 404: there is no such webhook"),
        (String::from("webhooks create"), "url: "),
        (String::from("webhooks create --url nonsense --timeout 900"), "timeout: must be from 1 to 60"),
        (String::from("webhooks create --url https://example.com --data [1]"), "--data must be an object"),
        (String::from("webhooks create --filters {a:1}"), "--filters is not JSON"),
        (String::from("webhooks create --data @nowhere.json"), "nowhere.json can't be read"),
        (String::from("webhooks create --header x-token"), "expects 'name: value'"),
        (String::from("webhooks create --colour red"), "unexpected argument '--colour'"),
        (String::from("webhooks list --organization a/b"), "`ringback orgs list` shows them"),
        (format!("webhooks update {id}"), "nothing to change"),
        (format!("webhooks recover {id} --since yesterday"), "how long ago it was"),
        (format!("webhooks delete {id}"), "add --yes"),
        (String::from("webhooks lisst"), "similar"),
        (String::from("orgs create --uid a/b --name x"), "uid: "),
        (
            String::from("orgs create --uid customer-1 --name x"),
            "the engine answered 409: another organization has the uid",
        ),
        (String::from("orgs get a/b"), "`ringback orgs list` shows them"),
        (String::from("orgs create --metadata plan"), "name=value"),
        (String::from("events publish call.complete --data {}"), "did you mean call.completed?"),
        (String::from("events publish call.completed --data nonsense"), "--data is not JSON"),
        (String::from("events publish call.completed"), "--data"),
        (String::from("logs list --status done"), "must be one of pending, success, failed, cancelled"),
        (String::from("logs list --response-code 9xx --from 2030-01-01"), "expects an instant"),
        (String::from("api-keys create --name x --role king"), "must be one of publisher, viewer, manager, owner"),
    ];
    for (line, expected) in lines {
        let refused = world.refused(&line);
        assert!(refused.contains(expected), "{line}: {expected} is missing in {refused}");
    }
    let output = world.command(&format!("webhooks get {id} --json")).output().unwrap();
    let problem: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.success(), field(&problem, "code")), (false, "not_found"));
}

/// As at a terminal: `script` runs a command at one, and passes on what is typed.
fn typed(world: &World, line: &str, answer: &str) -> String {
    let program = env!("CARGO_BIN_EXE_ringback");
    let mut command = Command::new("script");
    let command = command.args(["-qec", &format!("'{program}' {line}"), "/dev/null"]);
    for (name, value) in world.command(line).get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
    text(&child.wait_with_output().unwrap().stdout)
}

#[test]
fn at_a_terminal_nothing_is_deleted_unless_the_answer_is_yes() {
    let world = World::new();
    let webhook = world.json("webhooks create --url https://example.com/1");
    let delete = format!("webhooks delete {}", field(&webhook, "id"));
    for answer in ["n\n", "\n", "what\n"] {
        let said = typed(&world, &delete, answer);
        assert!(said.contains("[y/N]") && said.contains("nothing was deleted"), "{said}");
    }
    assert_eq!(world.json("webhooks list")["data"].as_array().unwrap().len(), 1);
    let said = typed(&world, &delete, "y\n");
    assert!(said.contains("deleted webhook"), "{said}");
    assert_eq!(world.json("webhooks list")["data"], json!([]));
}

#[test]
fn a_text_from_outside_commands_no_terminal() {
    let world = World::new();
    let receiver =
        raw_receiver::Receiver::answering("HTTP/1.1 500 No\r\ncontent-length: 9\r\n\r\n\u{1b}[2J\u{9b}\nx");
    let create = format!("webhooks create --url {} --description a\u{1b}[2J\u{9b}b --json", receiver.url());
    let webhook: serde_json::Value = serde_json::from_str(&world.said(&create)).unwrap();
    let id = field(&webhook, "id");
    let tested = world.command(&format!("webhooks test {id}")).output().unwrap();
    let delivery = world.json("logs list")["data"][0]["id"].as_str().unwrap().to_owned();
    for shown in [
        text(&tested.stdout),
        world.said(&format!("webhooks get {id}")),
        world.said(&format!("logs get {delivery}")),
        world.said(&format!("webhooks health {id}")),
    ] {
        assert!(!shown.contains('\u{1b}') && !shown.contains('\u{9b}'), "{shown:?}");
    }
}
