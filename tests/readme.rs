//! The README says nothing about settings that is not so.

use ringback::config::Settings;
use ringback::config::keys::{KEYS, Key};

const README: &str = include_str!("../README.md");

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
    let others = ["RINGBACK_KEY", "RINGBACK_SERVICE_HOST", "RINGBACK_PORT", "RINGBACK_UPDATE_OPENAPI"];
    for word in README.split(|symbol: char| !symbol.is_ascii_uppercase() && symbol != '_') {
        if word.len() > "RINGBACK_".len() && word.starts_with("RINGBACK_") {
            assert!(known.iter().any(|name| name == word) || others.contains(&word), "{word}");
        }
    }
}
