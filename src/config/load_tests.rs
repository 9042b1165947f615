use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::LogFormat;
use crate::domain::retry::{RetryPolicy, RetrySchedule};

const MASTER_KEY: &str = "bW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW0=";

fn vars(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn file(text: &str) -> Result<Loaded, SettingsError> {
    merge(Some(("ringback.toml", text)), vars(&[]), &Flags::default())
}

fn problems(result: Result<Loaded, SettingsError>) -> Vec<String> {
    result.err().map(|error| error.problems.iter().map(ToString::to_string).collect()).unwrap_or_default()
}

#[test]
fn a_flag_beats_a_variable_beats_the_file_beats_the_default() {
    let text = "listen = \"127.0.0.1:1\"\nlog = \"debug\"\nlog_format = \"json\"";
    let variables = vars(&[("RINGBACK_LISTEN", "127.0.0.1:2"), ("RINGBACK_LOG", "warn"), ("PATH", "/bin")]);
    let flags = Flags { listen: Some(String::from("127.0.0.1:3")), ..Flags::default() };
    let loaded = merge(Some(("f.toml", text)), variables, &flags).unwrap();
    assert_eq!(loaded.settings.listen.port(), 3);
    assert_eq!(loaded.origins["listen"], Origin::Flag("--listen"));
    assert_eq!(loaded.settings.log, "warn");
    assert_eq!(loaded.origins["log"].to_string(), "variable RINGBACK_LOG");
    assert_eq!(loaded.settings.log_format, LogFormat::Json);
    assert_eq!(loaded.origins["log_format"].to_string(), "f.toml, line 3, `log_format`");
    assert_eq!(loaded.settings.database_url, "sqlite://ringback.db");
    assert!(!loaded.origins.contains_key("database_url"));
}

#[test]
fn every_key_has_a_variable_and_both_are_read() {
    let variables = vars(&[
        ("RINGBACK_DATABASE_URL", "postgres://u@h/d"),
        ("RINGBACK_ADMIN_KEY", "0123456789abcdef"),
        ("RINGBACK_MASTER_KEY", MASTER_KEY),
        ("RINGBACK_ALLOW_HTTP", "true"),
        ("RINGBACK_ALLOWED_NETWORKS", "127.0.0.0/8, ::1/128,10.1.2.3"),
        ("RINGBACK_ALLOWED_PORTS", "443, 8000-8999"),
        ("RINGBACK_DNS_SERVERS", "127.0.0.1:53,[::1]:5353"),
        ("RINGBACK_METRICS_LISTEN", "127.0.0.1:9"),
        ("RINGBACK_SIGNATURE_HEADER_PREFIX", "X-Acme"),
        ("RINGBACK_DELIVERY_IDLE_LINGER_SECONDS", "7"),
    ]);
    let settings = merge(None, variables, &Flags::default()).unwrap().settings;
    assert_eq!(settings.database_url, "postgres://u@h/d");
    assert_eq!(settings.admin_key.unwrap().expose(), "0123456789abcdef");
    assert_eq!(settings.master_key.unwrap().expose(), MASTER_KEY);
    assert!(settings.allow_http);
    let networks: Vec<String> = settings.allowed_networks.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["127.0.0.0/8", "::1/128", "10.1.2.3/32"]);
    let ports: Vec<String> = settings.allowed_ports.iter().map(ToString::to_string).collect();
    assert_eq!(ports, ["443", "8000-8999"]);
    assert_eq!(settings.dns_servers.len(), 2);
    assert_eq!(settings.metrics_listen.unwrap().port(), 9);
    assert_eq!(settings.signature_header_prefix, "x-acme");
    assert_eq!(settings.delivery.idle_linger, Duration::from_secs(7));
}

#[test]
fn a_header_prefix_that_belongs_to_others_is_refused_with_the_reason() {
    for (wrong, reason) in [("webhook", "belongs to Standard Webhooks"), ("Svix", "prefer `svix-signature`")] {
        let from_file = file(&format!("signature_header_prefix = \"{wrong}\""));
        let variables = vars(&[("RINGBACK_SIGNATURE_HEADER_PREFIX", wrong)]);
        for loaded in [from_file, merge(None, variables, &Flags::default())] {
            let found = problems(loaded);
            assert!(found.len() == 1 && found[0].contains(reason), "{found:?}");
        }
    }
    assert!(file("signature_header_prefix = \"x-svix\"").is_ok());
}

#[test]
fn ports_are_numbers_or_ranges_in_quotes() {
    let loaded = file("allowed_ports = [443, \"8443\", \"9000-9100\"]").unwrap();
    let shown = super::find("allowed_ports").and_then(|key| key.show(&loaded.settings));
    assert_eq!(shown.as_deref(), Some(r#"["443", "8443", "9000-9100"]"#));
    for wrong in ["[0]", "[70000]", "[-1]", "[\"9-1\"]", "[true]", "443"] {
        assert_eq!(problems(file(&format!("allowed_ports = {wrong}"))).len(), 1, "{wrong}");
    }
}

#[test]
fn unknown_keys_and_variables_are_refused_with_a_suggestion() {
    let text =
        "lisen = \"127.0.0.1:1\"\nmax_active_endpoints = 5\nquux = 1\n[delivery]\nidle_linger = 3\n[colour]\n";
    let variables =
        vars(&[("RINGBACK_LISTN", "x"), ("RINGBACK_DELIVERY_IDLE_LINGER", "1"), ("RINGBACK_BIN", "x")]);
    let found = problems(merge(Some(("r.toml", text)), variables, &Flags::default()));
    assert_eq!(
        found,
        [
            "r.toml, line 1, `lisen`: unknown key; did you mean `listen`?",
            "r.toml, line 2, `max_active_endpoints`: unknown key; did you mean `delivery.max_active_endpoints`?",
            "r.toml, line 3, `quux`: unknown key",
            "r.toml, line 5, `delivery.idle_linger`: unknown key; did you mean `delivery.idle_linger_seconds`?",
            "r.toml, line 6, `colour`: unknown key",
            "variable RINGBACK_DELIVERY_IDLE_LINGER: unknown variable; did you mean \
             `RINGBACK_DELIVERY_IDLE_LINGER_SECONDS`?",
            "variable RINGBACK_LISTN: unknown variable; did you mean `RINGBACK_LISTEN`?",
        ]
    );
}

#[test]
fn names_that_other_programs_have_for_listen_get_the_right_suggestion() {
    for (name, meant) in
        [("RINGBACK_PORT", "RINGBACK_LISTEN"), ("RINGBACK_METRICS_PORT", "RINGBACK_METRICS_LISTEN")]
    {
        let found = problems(merge(None, vars(&[(name, "9090")]), &Flags::default()));
        assert_eq!(found, [format!("variable {name}: unknown variable; did you mean `{meant}`?")]);
    }
}

#[test]
fn variables_that_kubernetes_adds_change_nothing() {
    let variables = vars(&[
        ("RINGBACK_METRICS_PORT", "tcp://10.0.0.1:9090"),
        ("RINGBACK_LISTEN", "127.0.0.1:2"),
        ("RINGBACK_LISTEN_PORT", "tcp://10.0.0.1:8080"),
        ("RINGBACK_LISTEN_SERVICE_HOST", "10.0.0.1"),
    ]);
    let loaded = merge(None, variables, &Flags::default()).unwrap();
    assert_eq!(loaded.settings.listen.port(), 2);
}

#[test]
fn every_variable_can_be_empty() {
    let variables = KEYS.iter().map(|key| (key.variable(), String::new()));
    let files = super::environment::file_variables().map(|name| (name, String::new()));
    let loaded = merge(Some(("f.toml", "log = \"debug\"")), variables.chain(files), &Flags::default()).unwrap();
    assert_eq!(loaded.settings.log, "debug", "the file's value stays");
    assert_eq!(loaded.origins.len(), 1);
}

#[test]
fn a_secret_can_come_from_a_file_that_a_variable_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    for (name, text) in [
        ("admin", "0123456789abcdef\n"),
        ("master", "\u{feff}bW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW0=\r\n"),
        ("url", "postgres://u:p@h/d\n"),
        ("empty", "\n"),
    ] {
        std::fs::write(path(name), text).unwrap();
    }
    let (admin, master, url) = (path("admin"), path("master"), path("url"));
    let variables = vars(&[
        ("RINGBACK_ADMIN_KEY_FILE", &admin),
        ("RINGBACK_MASTER_KEY_FILE", &master),
        ("RINGBACK_MASTER_KEY", ""),
        ("RINGBACK_DATABASE_URL_FILE", &url),
    ]);
    let loaded = merge(None, variables, &Flags::default()).unwrap();
    assert_eq!(loaded.settings.admin_key.unwrap().expose(), "0123456789abcdef");
    assert_eq!(loaded.settings.master_key.unwrap().expose(), MASTER_KEY);
    assert_eq!(loaded.settings.database_url, "postgres://u:p@h/d");
    assert_eq!(loaded.origins["admin_key"].to_string(), "variable RINGBACK_ADMIN_KEY_FILE");

    let (missing, empty) = (path("missing"), path("empty"));
    for (variables, expected) in [
        (vars(&[("RINGBACK_ADMIN_KEY_FILE", &missing)]), "can't be read"),
        (vars(&[("RINGBACK_ADMIN_KEY_FILE", &empty)]), "is empty"),
        (vars(&[("RINGBACK_ADMIN_KEY_FILE", "/dev/zero")]), "is larger than"),
        (vars(&[("RINGBACK_ADMIN_KEY_FILE", "/tmp")]), "can't be read: Is a directory"),
        (
            vars(&[("RINGBACK_ADMIN_KEY_FILE", &admin), ("RINGBACK_ADMIN_KEY", "0123456789abcdef")]),
            "keep one of the two",
        ),
        (vars(&[("RINGBACK_ADMIN_KEY_FIL", &admin)]), "did you mean `RINGBACK_ADMIN_KEY_FILE`?"),
        (vars(&[("RINGBACK_LOG_FILE", &admin)]), "unknown variable"),
    ] {
        let found = problems(merge(None, variables, &Flags::default()));
        assert!(found.len() == 1 && found[0].contains(expected), "{expected}: {found:?}");
    }
}

#[test]
fn an_address_without_one_half_is_refused_with_the_right_forms() {
    for (given, expected) in [
        ("9001", "127.0.0.1:9001 for this machine alone, 0.0.0.0:9001 for every network"),
        (":9001", "127.0.0.1:9001 for this machine alone, 0.0.0.0:9001 for every network"),
        ("127.0.0.1", "like 127.0.0.1:8080"),
        ("http://127.0.0.1:80", "like 127.0.0.1:8080"),
    ] {
        let flags = Flags { listen: Some(String::from(given)), ..Flags::default() };
        let found = problems(merge(None, vars(&[]), &flags));
        assert!(found.len() == 1 && found[0].contains(expected), "{given}: {found:?}");
    }
    let found = problems(file("listen = 9001"));
    assert!(found.len() == 1 && found[0].contains("127.0.0.1:9001"), "{found:?}");
    let found = problems(file("dns_servers = [\"9.9.9.9\"]"));
    assert!(found.len() == 1 && found[0].contains("9.9.9.9:53"), "{found:?}");
    assert_eq!(file("listen = \"localhost:9001\"").unwrap().settings.listen.to_string(), "127.0.0.1:9001");
}

#[test]
fn every_mistake_is_reported_at_once_with_its_place() {
    let text = "listen = 8080\nallow_http = \"yes\"\ndns_servers = [\"9.9.9.9\"]\ndelivery = 3";
    let variables = vars(&[
        ("RINGBACK_ADMIN_KEY", "short"),
        ("RINGBACK_MASTER_KEY", "c2hvcnQ="),
        ("RINGBACK_DELIVERY_BREAKER_FAILURE_THRESHOLD", "0"),
        ("RINGBACK_SIGNATURE_HEADER_PREFIX", "x callintel"),
        ("RINGBACK_DATABASE_URL", "mysql://x"),
        ("RINGBACK_CA_FILE", "/nonexistent/ca.pem"),
        ("RINGBACK_LOG", "ringback=loud"),
    ]);
    let flags = Flags { listen: Some(String::from("localhost")), ..Flags::default() };
    let found = problems(merge(Some(("r.toml", text)), variables, &flags));
    assert_eq!(found.len(), 12, "{found:#?}");
    assert!(found.iter().any(|problem| problem.starts_with("flag --listen: expects an address and a port")));
    assert!(found.iter().any(|problem| problem.contains("this one has 5")));
    assert!(found.iter().any(|problem| problem.contains("has 5 bytes")));
    assert!(found.iter().any(|problem| problem.contains("write [delivery]")));
}

#[test]
fn a_mistake_never_shows_a_secret() {
    let text = "admin_key = \"hunter2\"\nmaster_key = \"hunter2hunter2\"";
    let broken = "admin_key = \"hunter2\nlisten = 1";
    for found in [problems(file(text)), problems(file(broken))] {
        assert!(!found.is_empty());
        assert!(found.iter().all(|problem| !problem.contains("hunter2")), "{found:?}");
    }
}

#[test]
fn broken_toml_is_reported_with_its_line() {
    let found = problems(file("listen = \"127.0.0.1:1\"\nlog = = 3\n"));
    assert!(found[0].starts_with("ringback.toml, line 2: "), "{found:?}");
}

#[test]
fn dev_allows_http_and_local_targets_in_addition_to_the_configured_networks() {
    let flags = Flags { dev: true, ..Flags::default() };
    let variables = vars(&[("RINGBACK_ALLOWED_NETWORKS", "203.0.113.0/24,127.0.0.0/8")]);
    let settings = merge(None, variables, &flags).unwrap().settings;
    assert!(settings.dev && settings.allow_http);
    let allows = |address: &str| {
        settings.allowed_networks.iter().any(|net| net.contains(&address.parse::<std::net::IpAddr>().unwrap()))
    };
    for address in ["127.0.0.1", "::1", "10.9.9.9", "192.168.1.1", "203.0.113.7"] {
        assert!(allows(address), "{address}");
    }
    assert!(!allows("169.254.169.254"), "cloud metadata is not a target, not even in dev");
    assert_eq!(settings.allowed_networks.len(), DEV_NETWORKS.len() + 1);
}

#[test]
fn serve_needs_a_master_key_unless_dev() {
    assert!(Settings::default().check_complete().is_err());
    assert!(Settings { dev: true, ..Settings::default() }.check_complete().is_ok());
    let settings = merge(None, vars(&[("RINGBACK_MASTER_KEY", MASTER_KEY)]), &Flags::default()).unwrap().settings;
    assert!(settings.check_complete().is_ok());
}

#[test]
fn the_longest_pause_must_not_be_shorter_than_the_first() {
    let found = problems(file("[delivery]\nbreaker_initial_pause_seconds = 1000\n"));
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("line 2"), "{found:?}");
}

#[test]
fn kubernetes_service_links_are_ignored() {
    let variables = vars(&[
        ("RINGBACK_SERVICE_HOST", "10.0.0.1"),
        ("RINGBACK_PORT", "tcp://10.0.0.1:80"),
        ("RINGBACK_PORT_80_TCP", "tcp://10.0.0.1:80"),
    ]);
    assert!(merge(None, variables, &Flags::default()).is_ok());
    assert!(merge(None, vars(&[("RINGBACK_PORT", "8080")]), &Flags::default()).is_err());
}

#[test]
fn the_example_file_holds_the_defaults_and_names_every_key() {
    let text = include_str!("../../ringback.toml");
    let loaded = file(text).unwrap();
    for key in KEYS {
        assert_eq!(key.show(&loaded.settings), key.show(&Settings::default()), "{}", key.name);
        let short = key.name.rsplit('.').next().unwrap_or_default();
        let line = text.lines().find(|line| line.trim_start_matches("# ").starts_with(&format!("{short} = ")));
        let line = line.unwrap_or_else(|| panic!("{} is missing in ringback.toml", key.name));
        assert_eq!(line.starts_with('#'), key.show(&Settings::default()).is_none(), "{line}");
    }
}

#[test]
fn a_shown_value_reads_back_as_itself() {
    let loaded = file(include_str!("../../ringback.toml")).unwrap();
    let mut text = String::new();
    for key in KEYS {
        if let Some(value) = key.show(&loaded.settings) {
            text.push_str(&format!("{} = {value}\n", key.name));
        }
    }
    let again = file(&text).unwrap();
    assert!(KEYS.iter().all(|key| key.show(&again.settings) == key.show(&loaded.settings)));
}

#[test]
fn a_password_in_the_database_url_is_not_shown() {
    for (url, shown) in [
        ("postgres://ringback:hunter2@db/ringback", "postgres://ringback:hidden@db/ringback"),
        ("postgres://ringback@db/ringback", "postgres://ringback@db/ringback"),
        ("postgres://ringback@db/ringback?password=hunter2", "(hidden)"),
        ("postgres://ringback@db/ringback?pass%77ord=hunter2", "(hidden)"),
        ("postgres://ringback:hunter2@one:1,two:2/ringback", "(hidden)"),
        ("postgres://ringback:1/hunter2@db/ringback", "(hidden)"),
        ("postgres://ringback:hunter2/x@db/ringback", "(hidden)"),
        ("sqlite://some@where:else/ringback.db", "sqlite://some@where:else/ringback.db"),
    ] {
        let loaded = file(&format!("database_url = \"{url}\"")).unwrap();
        let found = find("database_url").and_then(|key| key.show(&loaded.settings));
        assert_eq!(found, Some(format!("\"{shown}\"")), "{url}");
    }
}

/// Lines of a file that are almost valid settings.
fn line() -> impl Strategy<Value = String> {
    let name = (0..KEYS.len()).prop_map(|key| KEYS[key].name.rsplit('.').next().unwrap_or_default());
    let value = r#"-?[0-9]{1,20}|"[a-z0-9:./,-]{0,20}"|true|false|\[("[0-9.:/-]{0,12}",?|[0-9]{1,6},?){0,3}\]|"#;
    prop_oneof![
        6 => (name, value).prop_map(|(name, value)| format!("{name} = {value}")),
        1 => Just(String::from("[delivery]")),
        1 => Just(String::from("[limits]")),
        1 => "\\PC{0,30}",
    ]
}

proptest! {
    #[test]
    fn no_file_and_no_variable_panic_and_every_problem_has_a_place(
        lines in proptest::collection::vec(line(), 0..8),
        key in 0..KEYS.len(),
        value in "\\PC{0,40}|[0-9.,:/-]{0,30}",
    ) {
        let variables = vec![(KEYS[key].variable(), value)];
        for problem in merge(Some(("f.toml", &lines.join("\n"))), variables, &Flags::default()).err().iter().flat_map(|error| &error.problems) {
            prop_assert!(problem.origin.is_some() && !problem.message.is_empty(), "{}", problem);
        }
    }

    #[test]
    fn what_is_accepted_reads_back_from_what_is_shown(lines in proptest::collection::vec(line(), 0..4)) {
        let Ok(loaded) = file(&lines.join("\n")) else { return Ok(()) };
        for key in KEYS {
            let Some(shown) = key.show(&loaded.settings).filter(|shown| !shown.contains("(hidden)")) else { continue };
            let (table, name) = key.name.split_once('.').map_or((String::new(), key.name), |(table, name)| (format!("[{table}]\n"), name));
            // alone, two settings can contradict each other's default
            if name.starts_with("breaker_") { continue }
            let again = file(&format!("{table}{name} = {shown}"));
            prop_assert_eq!(again.ok().and_then(|again| key.show(&again.settings)), Some(shown), "{}", name);
        }
    }
}

#[test]
fn defaults_of_webhooks_are_read_from_a_table_and_from_json() {
    let text = "[defaults]\ntimeout = 20\nretry_policy = { max_attempts = 4, backoff_multiplier = 1.5 }\n";
    let of_file = merge(Some(("f", text)), [], &Flags::default()).unwrap().settings.defaults;
    let variable = (
        String::from("RINGBACK_DEFAULTS_RETRY_POLICY"),
        r#"{"max_attempts":4,"backoff_multiplier":1.5}"#.to_owned(),
    );
    let of_variable = merge(None, [variable], &Flags::default()).unwrap().settings.defaults;
    let policy = RetryPolicy { max_attempts: 4, backoff_multiplier: 1.5, ..RetryPolicy::default() };
    assert_eq!(of_file.retry, RetrySchedule::Policy(policy));
    assert_eq!(of_variable.retry, of_file.retry);
    assert_eq!((of_file.timeout, of_file.max_in_flight), (Duration::from_secs(20), 32));
}

#[test]
fn defaults_that_no_webhook_could_have_are_refused_with_what_is_wrong() {
    for (text, expected) in [
        ("retry = 21", "from 0 to 20"),
        ("timeout = 0", "from 1 to 60"),
        ("max_in_flight = 257", "from 1 to 256"),
        ("retry_policy = 5", "expects a table like"),
        ("retry_policy = { max_attempts = 51 }", "max_attempts must be from 1 to 50, got 51"),
        ("retry_policy = { attempts = 5 }", "unknown field `attempts`"),
        ("retry_policy = { max_attempts = \"5\" }", "expects a table like"),
        ("retry = 3\nretry_policy = { max_attempts = 5 }", "not together with defaults.retry"),
    ] {
        let error = merge(Some(("f", &format!("[defaults]\n{text}\n"))), [], &Flags::default()).err().unwrap();
        assert!(error.to_string().contains(expected), "{text}: {error}");
    }
}
