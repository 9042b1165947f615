//! The README says nothing about settings that is not so.

use ringback::config::Settings;
use ringback::config::keys::{KEYS, Key};

const README: &str = include_str!("../../README.md");

/// The cells of the configuration table's rows: key, variable, default.
fn rows() -> Vec<[String; 3]> {
    let table = README.lines().skip_while(|line| !line.starts_with("| key | variable | default |")).skip(2);
    let cells = |line: &str| -> [String; 3] {
        let mut cells = line.split('|').skip(1).map(|cell| cell.trim().trim_matches('`').to_owned());
        std::array::from_fn(|_| cells.next().unwrap_or_default())
    };
    table.take_while(|line| line.starts_with('|')).map(cells).collect()
}

#[test]
fn the_configuration_table_lists_every_key_with_its_variable_and_default() {
    let defaults = Settings::default();
    let shown = |key: &Key| key.show(&defaults).unwrap_or_else(|| String::from("none"));
    let expected: Vec<[String; 3]> =
        KEYS.iter().map(|key| [key.name.to_owned(), key.variable(), shown(key)]).collect();
    assert_eq!(rows(), expected);
}

#[test]
fn every_variable_that_is_mentioned_exists() {
    let known: Vec<String> = KEYS.iter().map(Key::variable).collect();
    let others = [
        "RINGBACK_KEY",
        "RINGBACK_METRICS_PORT",
        "RINGBACK_MASTER_KEY_FILE",
        "RINGBACK_ADMIN_KEY_FILE",
        "RINGBACK_DATABASE_URL_FILE",
        "RINGBACK_UPDATE_OPENAPI",
    ];
    for word in README.split(|symbol: char| !symbol.is_ascii_uppercase() && symbol != '_') {
        if word.len() > "RINGBACK_".len() && word.starts_with("RINGBACK_") {
            assert!(known.iter().any(|name| name == word) || others.contains(&word), "{word}");
        }
    }
}

/// The one block of a language that defines `verify`.
fn verifier(language: &str) -> &'static str {
    let fence = format!("```{language}\n");
    let blocks = README.split(fence.as_str()).skip(1).filter_map(|rest| rest.split("\n```").next());
    blocks.into_iter().find(|block| block.contains("verify(")).unwrap_or_default()
}

/// Runs a snippet with what makes it print `ok`; says loudly when the language is not installed.
fn run_snippet(program: &str, flag: &str, code: &str) {
    let output = match std::process::Command::new(program).args([flag, code]).output() {
        Ok(output) => output,
        Err(error) => {
            use std::io::Write;
            let _ = writeln!(
                std::io::stderr(),
                "\n*** {program} is not installed: its snippet is NOT tested: {error} ***\n"
            );
            return;
        }
    };
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(out.trim(), "ok", "{program}: {out}{err}");
}

/// Signed by the engine's own code at this moment; the snippets read the machine's clock.
fn signed_now() -> (i64, String) {
    use ringback::domain::{secret::Secret, signing::SigningKey};
    #[expect(clippy::disallowed_methods, reason = "the snippets compare with the machine's clock")]
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    let key = SigningKey::new(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()));
    let id = ringback::domain::ids::EventId(7);
    (now, key.sign_standard(id, now, &bytes::Bytes::from_static(b"{\"n\": 1}")))
}

#[test]
fn the_python_and_javascript_receivers_accept_what_the_engine_signs_and_nothing_else() {
    let (now, signature) = signed_now();
    let id = ringback::domain::ids::EventId(7);
    let headers = format!(
        r#"{{"webhook-id": "{id}", "webhook-timestamp": "{now}", "webhook-signature": "v1,AAAA {signature}"}}"#
    );
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let python = format!(
        "{}\nh = {headers}\nverify('{secret}', h, b'{{\"n\": 1}}')\nbad = 0\nfor body, h2 in ((b'{{}}', h), (b'{{\"n\": 1}}', dict(h, **{{'webhook-timestamp': '1614265330'}}))):\n    try: verify('{secret}', h2, body)\n    except ValueError: bad += 1\nprint('ok' if bad == 2 else bad)",
        verifier("python")
    );
    run_snippet("python3", "-c", &python);
    let javascript = format!(
        "{}\nconst h = {headers};\nverify('{secret}', h, Buffer.from('{{\"n\": 1}}'));\nlet bad = 0;\nfor (const [body, h2] of [['{{}}', h], ['{{\"n\": 1}}', {{...h, 'webhook-timestamp': '1614265330'}}]]) try {{ verify('{secret}', h2, Buffer.from(body)); }} catch (e) {{ bad++; }}\nconsole.log(bad === 2 ? 'ok' : bad);",
        verifier("javascript")
    );
    run_snippet("node", "-e", &javascript);
}

#[test]
fn the_rust_receiver_accepts_the_vector_of_standard_webhooks_and_nothing_else() {
    let shown = verifier("rust").replace("\nfn verify", "\npub(crate) fn verify");
    assert_eq!(shown.trim(), include_str!("receiver_snippet.rs").trim());
    let (secret, id) = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek");
    let (at, body) = (1_614_265_330, br#"{"test": 2432232314}"#);
    let given = "v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    let verify = crate::receiver_snippet::verify;
    assert!(verify(secret, id, at, given, body, at + 300));
    assert!(!verify(secret, id, at, given, body, at + 301));
    assert!(!verify(secret, id, at, given, b"{}", at));
    assert!(!verify(secret, id, at, "v1,AAAA", body, at));
    assert!(!verify("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", id, at, given, body, at));
}
