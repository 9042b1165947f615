//! Tables of the documentation that the code decides. `RINGBACK_UPDATE_DOCUMENTS=1` rewrites those that are generated.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use ringback::config::keys::{KEYS, SettingKey};
use ringback::telemetry::metrics::{DECLARED, Label, LabelValues};
use serde_json::Value;

/// A label with more values is named without them.
const MAX_LISTED: usize = 15;
/// Variables that are not settings.
const OTHER_VARIABLES: &[&str] = &[
    "RINGBACK_ENGINE",
    "RINGBACK_KEY",
    "RINGBACK_ORGANIZATION",
    "RINGBACK_METRICS_PORT",
    "RINGBACK_MASTER_KEY_FILE",
    "RINGBACK_OTLP_HEADERS_FILE",
    "RINGBACK_SVIX_JWT_SECRET_FILE",
    "RINGBACK_ADMIN_KEY_FILE",
    "RINGBACK_DATABASE_URL_FILE",
    "RINGBACK_EGRESS_PROXY_FILE",
    "RINGBACK_REQUIRE_POSTGRES",
    "RINGBACK_REQUIRE_FAULTS",
    "RINGBACK_REQUIRE_BROWSER",
    "RINGBACK_UPDATE_DOCUMENTS",
];

pub(super) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub(super) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// Compares what stands between `<!-- generated: name -->` and `<!-- end -->` of a document, or rewrites it.
pub(super) fn hold(path: &str, name: &str, table: &str) {
    // several tables of a document are rewritten by tests that run at the same time
    static DOCUMENTS: Mutex<()> = Mutex::new(());
    let _one_at_a_time = DOCUMENTS.lock().unwrap_or_else(PoisonError::into_inner);
    let text = read(path);
    let begin = format!("<!-- generated: {name} -->\n");
    let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("{path} has no {begin}"));
    let (present, after) = rest.split_once("<!-- end -->").unwrap();
    if std::env::var("RINGBACK_UPDATE_DOCUMENTS").is_ok() {
        fs::write(root().join(path), format!("{before}{begin}\n{table}\n<!-- end -->{after}")).unwrap();
    } else {
        let hint = format!(
            "{path} is out of date: RINGBACK_UPDATE_DOCUMENTS=1 cargo test --test in_process documentation"
        );
        assert_eq!(present.trim(), table.trim(), "{hint}");
    }
}

pub(super) fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    let rule = format!("|{}\n", "---|".repeat(head.len()));
    line(&head) + &rule + &rows.into_iter().map(|row| line(&row)).collect::<String>()
}

fn openapi() -> Value {
    serde_json::from_str(&read("docs/openapi.json")).unwrap()
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[test]
fn the_configuration_table_is_made_from_the_settings() {
    hold("docs/configuration.md", "settings", &ringback::config::documentation());
}

#[test]
fn every_variable_that_the_documentation_mentions_exists() {
    let known: Vec<String> = KEYS.iter().map(SettingKey::variable).collect();
    let mut documents = vec![root().join("README.md")];
    documents.extend(fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    for path in documents.iter().filter(|path| path.extension().is_some_and(|extension| extension == "md")) {
        let text = fs::read_to_string(path).unwrap();
        for word in text.split(|symbol: char| !symbol.is_ascii_uppercase() && symbol != '_') {
            if word.len() > "RINGBACK_".len() && word.starts_with("RINGBACK_") {
                let exists = known.iter().any(|name| name == word) || OTHER_VARIABLES.contains(&word);
                assert!(exists, "{}: {word}", path.display());
            }
        }
    }
}

#[test]
fn the_tables_of_errors_list_every_code() {
    let api = openapi();
    let row = |error: &Value| {
        vec![format!("`{}`", string(&error["code"])), error["status"].to_string(), string(&error["help"])]
    };
    let rows = api["x-error-codes"].as_array().unwrap().iter().map(row);
    hold("docs/api.md", "errors", &table(&["code", "status", "meaning"], rows));
    let errors: BTreeSet<String> =
        api["components"]["schemas"]["AttemptError"]["enum"].as_array().unwrap().iter().map(string).collect();
    let list = errors.iter().map(|error| format!("`{error}`")).collect::<Vec<_>>().join(", ");
    hold("docs/api.md", "attempt errors", &list);
}

#[test]
fn the_table_of_calls_lists_every_route() {
    let api = openapi();
    let rows = api["paths"].as_object().unwrap().iter().flat_map(|(path, calls)| {
        let calls = calls.as_object().unwrap().iter().filter(|(_, call)| call["operationId"].is_string());
        calls.map(move |(method, call)| {
            vec![format!("`{} {path}`", method.to_ascii_uppercase()), string(&call["summary"])]
        })
    });
    hold("docs/api.md", "calls", &table(&["call", "what it does"], rows));
}

#[test]
fn the_table_of_metrics_is_made_from_their_declarations() {
    let label = |label: &Label| {
        let values: BTreeSet<&str> = label.values.listed().into_iter().collect();
        match (label.values, values.len()) {
            (LabelValues::Bounded(text), _) => format!("`{}`: {text}", label.name),
            (_, ..=MAX_LISTED) => {
                let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
                format!("`{}`: {}", label.name, values.join(", "))
            }
            _ => format!("`{}`", label.name),
        }
    };
    let rows = DECLARED.iter().map(|metric| {
        let labels: Vec<String> = metric.labels.iter().map(label).collect();
        vec![
            format!("`{}`", metric.name),
            metric.kind.as_str().to_owned(),
            metric.help.to_owned(),
            labels.join("; "),
        ]
    });
    hold("docs/metrics-and-alerts.md", "metrics", &table(&["metric", "type", "meaning", "labels"], rows));
}

#[test]
fn the_table_of_event_types_lists_every_built_in_type() {
    let documented = read("docs/events-and-filters.md");
    let api = openapi();
    for event_type in api["x-event-types"].as_array().unwrap() {
        let name = string(event_type.get("name").unwrap_or(event_type));
        assert!(documented.contains(&format!("| `{name}` |")), "{name}");
    }
}

#[test]
fn every_metric_in_the_alerts_exists() {
    let document = read("docs/metrics-and-alerts.md");
    let words = document.split(|symbol: char| !symbol.is_ascii_lowercase() && symbol != '_');
    for word in words.filter(|word| word.starts_with("ringback_")) {
        // a histogram's series end in `_bucket`
        let name = word.trim_end_matches("_bucket");
        assert!(DECLARED.iter().any(|metric| metric.name == name), "{word}");
    }
}
