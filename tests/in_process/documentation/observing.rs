//! What watches the engine from outside follows its metrics: the dashboard for Grafana is made from a table of panels, and rules,
//! alerts, their tests and their runbooks name what exists.

use std::collections::BTreeSet;
use std::fs;

use ringback::telemetry::metrics::{DECLARED, install_metrics};
use serde_json::{Value, json};

use super::panels::{Kind, Panel, ROWS};
use super::tables::{hold, read, root, table};

const DASHBOARD: &str = "packaging/grafana/ringback.json";
/// What `$S` stands for.
const SELECTED: &str = "job=~\"$job\", instance=~\"$instance\"";
const WIDTH: usize = 24;

fn target(number: usize, (legend, expression): &(&str, &str)) -> Value {
    let name = char::from(b'A' + u8::try_from(number).unwrap());
    json!({
        "refId": name.to_string(),
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "expr": expression.replace("$S", SELECTED),
        "legendFormat": legend,
    })
}

/// The sentences that the declarations have about the metrics of a panel.
fn description(panel: &Panel) -> String {
    let names: BTreeSet<String> = panel.queries.iter().flat_map(|(_, query)| metrics_in(query)).collect();
    let help = DECLARED.iter().filter(|metric| names.contains(metric.name));
    help.map(|metric| format!("{}: {}", metric.name, metric.help)).collect::<Vec<_>>().join("\n\n")
}

fn panel(panel: &Panel, id: usize, place: (usize, usize, usize, usize)) -> Value {
    let (x, y, width, height) = place;
    let targets: Vec<Value> =
        panel.queries.iter().enumerate().map(|(number, query)| target(number, query)).collect();
    let mut shown = json!({
        "id": id,
        "title": panel.title,
        "description": description(panel),
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "gridPos": {"x": x, "y": y, "w": width, "h": height},
        "targets": targets,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
    });
    let has_names = panel.queries.iter().any(|(legend, _)| !legend.is_empty());
    match panel.kind {
        Kind::Number => {
            shown["type"] = json!("stat");
            let text = if has_names { "name" } else { "value" };
            shown["options"] = json!({"textMode": text, "reduceOptions": {"calcs": ["lastNotNull"]}});
        }
        Kind::Lines | Kind::Stacked => {
            shown["type"] = json!("timeseries");
            shown["options"] = json!({"legend": {"showLegend": has_names}, "tooltip": {"mode": "multi"}});
            let mode = if panel.kind == Kind::Stacked { "normal" } else { "none" };
            let drawn = json!({"fillOpacity": if mode == "none" { 0 } else { 30 }, "stacking": {"mode": mode}});
            shown["fieldConfig"]["defaults"]["custom"] = drawn;
        }
    }
    // a clock can be behind
    if panel.title.contains("clock") {
        shown["fieldConfig"]["defaults"].as_object_mut().unwrap().remove("min");
    }
    shown
}

fn dashboard() -> Value {
    let (mut panels, mut y, mut id) = (Vec::new(), 0, 0);
    let mut next_id = || {
        id += 1;
        id
    };
    for row in ROWS {
        panels.push(json!({
            "id": next_id(), "type": "row", "title": row.title, "collapsed": false, "panels": [],
            "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1},
        }));
        y += 1;
        let (width, height) = if row.panels.iter().all(|one| one.kind == Kind::Number) { (4, 4) } else { (8, 8) };
        for (number, one) in row.panels.iter().enumerate() {
            let place = ((number * width) % WIDTH, y + number * width / WIDTH * height, width, height);
            panels.push(panel(one, next_id(), place));
        }
        y += (row.panels.len() * width).div_ceil(WIDTH) * height;
    }
    let variable = |name: &str, query: &str| {
        json!({
            "name": name, "type": "query", "query": query, "refresh": 2, "sort": 1,
            "datasource": {"type": "prometheus", "uid": "${datasource}"},
            "multi": name == "instance", "includeAll": name == "instance", "allValue": ".*",
        })
    };
    json!({
        "uid": "ringback", "title": "Ringback", "tags": ["ringback"], "schemaVersion": 39, "editable": true,
        "time": {"from": "now-6h", "to": "now"}, "refresh": "30s", "graphTooltip": 1,
        "templating": {"list": [
            {"name": "datasource", "type": "datasource", "query": "prometheus"},
            variable("job", "label_values(ringback_build_info, job)"),
            variable("instance", "label_values(ringback_build_info{job=~\"$job\"}, instance)"),
        ]},
        "panels": panels,
    })
}

#[test]
fn the_dashboard_for_grafana_is_made_from_the_table_of_panels() {
    let made = serde_json::to_string_pretty(&dashboard()).unwrap() + "\n";
    if std::env::var("RINGBACK_UPDATE_DOCUMENTS").is_ok() {
        fs::write(root().join(DASHBOARD), made).unwrap();
    } else {
        let hint = "is out of date: RINGBACK_UPDATE_DOCUMENTS=1 cargo test --test in_process documentation";
        assert!(read(DASHBOARD) == made, "{DASHBOARD} {hint}");
    }
}

/// The metrics in an expression, without what a histogram's series add to the name.
fn metrics_in(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|symbol: char| !symbol.is_ascii_alphanumeric() && !['_', ':'].contains(&symbol));
    let ours = words.filter(|word| word.starts_with("ringback_") || word.starts_with("process_"));
    let declared = |name: &str| DECLARED.iter().any(|metric| metric.name == name);
    ours.map(|word| {
        let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|ending| word.strip_suffix(ending));
        of_histogram.filter(|name| declared(name)).unwrap_or(word).to_owned()
    })
    .collect()
}

/// Every metric on `/metrics`.
fn exposed() -> BTreeSet<String> {
    let text = install_metrics()();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types.map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn every_metric_has_a_panel_and_every_panel_names_metrics_that_exist() {
    let queries = ROWS.iter().flat_map(|row| row.panels).flat_map(|panel| panel.queries);
    let shown: BTreeSet<String> = queries.flat_map(|(_, query)| metrics_in(query)).collect();
    for metric in DECLARED {
        assert!(shown.contains(metric.name), "{} has no panel", metric.name);
    }
    let exposed = exposed();
    for name in &shown {
        assert!(exposed.contains(name), "a panel shows {name}, which does not exist");
    }
}

/// An alert of `alerts.yml`.
struct Alert {
    name: String,
    severity: String,
    summary: String,
    runbook: String,
}

/// What follows `key:` on a line.
fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let text = line.trim().trim_start_matches("- ").strip_prefix(key)?.strip_prefix(": ")?;
    Some(text.trim_matches('\'').trim())
}

fn alerts() -> Vec<Alert> {
    let text = read("packaging/prometheus/alerts.yml");
    let blocks = text.split("- alert: ").skip(1);
    let alert = |block: &str| {
        let find = |key| block.lines().find_map(|line| value(line, key)).unwrap_or_default().replace("''", "'");
        let name = block.lines().next().unwrap().trim().to_owned();
        Alert { name, severity: find("severity"), summary: find("summary"), runbook: find("runbook") }
    };
    blocks.map(alert).collect()
}

#[test]
fn the_table_of_alerts_is_made_from_their_rules() {
    let rows = alerts().into_iter().map(|Alert { name, severity, summary, .. }| {
        vec![format!("[`{name}`](runbooks.md#{})", name.to_lowercase()), severity, summary]
    });
    hold("docs/metrics-and-alerts.md", "alerts", &table(&["alert", "severity", "it says"], rows));
}

#[test]
fn every_alert_leads_to_its_runbook_and_every_runbook_has_an_alert() {
    let runbooks = read("docs/runbooks.md");
    let headings: Vec<&str> = runbooks.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let alerts = alerts();
    let names: Vec<&str> = alerts.iter().map(|alert| alert.name.as_str()).collect();
    assert_eq!(headings, names, "in the same order");
    for alert in &alerts {
        assert_eq!(alert.runbook, format!("docs/runbooks.md#{}", alert.name.to_lowercase()));
        assert!(["page", "ticket"].contains(&alert.severity.as_str()), "{}", alert.name);
    }
}

#[test]
fn rules_and_alerts_use_metrics_that_exist() {
    let rules = read("packaging/prometheus/rules.yml");
    let alerts = read("packaging/prometheus/alerts.yml");
    let recorded: BTreeSet<&str> = rules.lines().filter_map(|line| value(line, "record")).collect();
    let exposed = exposed();
    let is_comment = |line: &&str| line.trim_start().starts_with('#');
    let code = rules.lines().chain(alerts.lines()).filter(|line| !is_comment(line));
    let mut used = 0;
    for line in code {
        for name in metrics_in(line) {
            assert!(exposed.contains(&name), "{name} in {line}");
            used += 1;
        }
        let words = line.split(|symbol: char| !symbol.is_ascii_alphanumeric() && !['_', ':'].contains(&symbol));
        for name in words.filter(|word| word.starts_with("job") && word.contains(":ringback_")) {
            assert!(recorded.contains(name.trim_end_matches(':')), "{name} is recorded nowhere");
        }
    }
    assert!(used > 20, "the expressions were not found");
}

#[test]
fn every_alert_is_seen_firing_and_not_firing_by_its_tests() {
    let tests = read("packaging/prometheus/tests.yml");
    for Alert { name, .. } in alerts() {
        let (_, of_alert) = tests.split_once(&format!("- name: {name}\n")).unwrap_or_else(|| panic!("{name}"));
        let of_alert = of_alert.split("- name: ").next().unwrap();
        assert!(
            of_alert.contains(&format!("alertname: {name}, ")) && of_alert.contains("exp_alerts: []"),
            "{name}"
        );
        assert!(of_alert.contains(&format!("- alertname: {name}\n")) && of_alert.contains("exp_labels"), "{name}");
    }
}
