//! The lines of the log, read from the source: programs that read the log are written against their fields.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::tables::{hold, read, root, table};

const LEVELS: [&str; 4] = ["error", "warn", "info", "debug"];

/// A line that the engine writes somewhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct LogLine {
    target: String,
    message: String,
    /// Position in [`LEVELS`].
    level: usize,
    fields: Vec<String>,
}

fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let below = path.strip_prefix(root().join("src")).unwrap().with_extension("");
            let module = below.to_string_lossy().replace('/', "::");
            let module = module.trim_end_matches("::mod").to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((module, text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned()));
        }
    }
}

/// The length of a literal that `text` begins with, 1 if it begins with none.
fn literal(text: &str) -> usize {
    let mut is_escaped = false;
    let end = text.char_indices().skip(1).find(|(_, symbol)| {
        let ends = *symbol == '"' && !is_escaped;
        is_escaped = *symbol == '\\' && !is_escaped;
        ends
    });
    if text.starts_with('"') { end.map_or(text.len(), |(at, _)| at + 1) } else { 1 }
}

/// The arguments of a call whose parenthesis was just opened.
fn arguments(text: &str) -> Vec<String> {
    let (mut depth, mut at, mut from, mut found) = (1, 0, 0, Vec::new());
    while depth > 0 {
        let rest = &text[at..];
        match rest.as_bytes()[0] {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth -= 1,
            _ => {}
        }
        let ends = depth == 0 || (depth == 1 && rest.starts_with(','));
        if ends {
            found.push(text[from..at].trim().to_owned());
            from = at + 1;
        }
        at += if rest.starts_with('"') { literal(rest) } else { rest.chars().next().unwrap().len_utf8() };
    }
    found.retain(|argument| !argument.is_empty());
    found
}

/// Where macros of a level begin, behind their parenthesis.
fn calls<'a>(text: &'a str, start: &'a str) -> impl Iterator<Item = &'a str> {
    text.match_indices(start).filter_map(move |(at, _)| {
        let before = text[..at].chars().next_back();
        let is_word = before.is_some_and(|symbol| symbol.is_alphanumeric() || symbol == '_');
        (!is_word).then(|| &text[at + start.len()..])
    })
}

fn line(level: usize, module: &str, call: &str, constants: &BTreeMap<String, String>) -> LogLine {
    let (mut target, mut message, mut fields) = (format!("ringback::{module}"), String::new(), Vec::new());
    for argument in arguments(call) {
        if let Some(named) = argument.strip_prefix("target:") {
            let named = named.trim();
            let quoted = named.trim_matches('"');
            target = constants.get(named).map_or(quoted, String::as_str).to_owned();
        } else if argument.starts_with('"') {
            let words: Vec<&str> =
                argument.trim_matches('"').split_whitespace().filter(|word| *word != "\\").collect();
            message = words.join(" ");
        } else {
            let name = argument.split('=').next().unwrap().trim();
            fields.push(name.trim_start_matches(['%', '?']).to_owned());
        }
    }
    LogLine { target, message, level, fields }
}

fn log_lines() -> BTreeSet<LogLine> {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    let mut constants = BTreeMap::new();
    for (_, text) in &files {
        for (name, value) in text.lines().filter_map(|line| line.split_once(": &str = \"ringback::")) {
            let name = name.rsplit(' ').next().unwrap().to_owned();
            constants.insert(name, format!("ringback::{}", value.trim_end_matches("\";")));
        }
    }
    let mut found = BTreeSet::new();
    for (module, text) in &files {
        for (number, level) in LEVELS.iter().enumerate() {
            found.extend(calls(text, &format!("{level}!(")).map(|call| line(number, module, call, &constants)));
            // a macro of that file, which writes the same line at several levels
            if text.contains(&format!("line!({level})")) {
                found.extend(calls(text, "$level!(").map(|call| line(number, module, call, &constants)));
            }
        }
    }
    found
}

#[test]
fn the_table_of_log_lines_is_made_from_the_source() {
    let cell = |text: &str| text.replace('|', "\\|");
    let rows = log_lines().into_iter().map(|LogLine { target, message, level, fields }| {
        let fields: Vec<String> = fields.iter().map(|field| format!("`{field}`")).collect();
        let level = LEVELS[level].to_ascii_uppercase();
        vec![format!("`{target}`"), level, cell(&message), fields.join(", ")]
    });
    hold("docs/logs.md", "lines", &table(&["target", "level", "message", "fields"], rows));
}

#[test]
fn every_field_of_a_log_line_is_described_and_no_other() {
    let used: BTreeSet<String> = log_lines().into_iter().flat_map(|line| line.fields).collect();
    assert!(used.len() > 30, "the lines were not found");
    let page = read("docs/logs.md");
    let (_, rest) = page.split_once("## Fields").unwrap();
    let section = rest.split("\n## ").next().unwrap();
    let described: BTreeSet<String> = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('|'))
        .flat_map(|(names, _)| names.split('`').step_by(2).map(str::to_owned).collect::<Vec<_>>())
        .filter(|name| !name.trim().is_empty() && name.trim() != ",")
        .collect();
    assert_eq!(described, used);
}
