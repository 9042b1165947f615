//! What operators read about settings, made from [`KEYS`]: the documentation's table and `ringback.toml`.

use super::Settings;
use super::keys::{KEYS, SettingKey};

/// Of the lines of `ringback.toml`, in characters.
const WIDTH: usize = 118;
const BEGINNING: &str = "\
# Ringback's settings. The values here are the defaults; a key in a comment (`# key =`) has no default.
# Each key has an environment variable that takes precedence over the file (`listen` -> RINGBACK_LISTEN,
# `delivery.idle_linger_seconds` -> RINGBACK_DELIVERY_IDLE_LINGER_SECONDS); flags take precedence over variables.
# Unknown keys are refused. An empty variable counts as not set. RINGBACK_ADMIN_KEY_FILE, RINGBACK_MASTER_KEY_FILE,
# RINGBACK_DATABASE_URL_FILE, RINGBACK_EGRESS_PROXY_FILE, RINGBACK_OTLP_HEADERS_FILE and RINGBACK_SVIX_JWT_SECRET_FILE name a file that contains the
# value.
# `ringback config check` prints the settings in effect and where each of them came from.
";

/// The documentation's table, in Markdown: every setting with its variable, values, default and help.
pub fn documentation() -> String {
    let defaults = Settings::default();
    let mut table = String::from("| key | variable | values | default | what it does |\n|---|---|---|---|---|\n");
    for key in KEYS {
        let default = key.show(&defaults).map_or_else(|| String::from("none"), |shown| format!("`{shown}`"));
        let cells = [
            format!("`{}`", key.name),
            format!("`{}`", key.variable()),
            key.kind.to_string(),
            default,
            key.help.replace('|', "\\|").replace('<', "&lt;").replace('>', "&gt;"),
        ];
        table.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    table
}

/// The content of `ringback.toml`: every setting with its help and its default.
pub fn example_file() -> String {
    let mut text = String::from(BEGINNING);
    let mut table = "";
    for key in KEYS {
        let (in_table, name) = key.name.split_once('.').unwrap_or(("", key.name));
        text.push('\n');
        if in_table != table {
            table = in_table;
            text.push_str(&format!("[{table}]\n"));
        }
        text.push_str(&entry(name, key));
    }
    text
}

fn entry(name: &str, key: &SettingKey) -> String {
    let line = match key.show(&Settings::default()) {
        Some(default) => format!("{name} = {default}"),
        None => format!("# {name} = {}", key.example.unwrap_or_default()),
    };
    format!("{}\n{line}\n", comment(key.help))
}

/// `text` as lines of a comment.
fn comment(text: &str) -> String {
    let mut lines = vec![String::from("#")];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("# {word}")),
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_file_is_made_from_the_table_of_settings() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/ringback.toml");
        let expected = example_file();
        if std::env::var_os("RINGBACK_UPDATE_DOCUMENTS").is_some() {
            std::fs::write(path, &expected).unwrap();
        }
        let text = std::fs::read_to_string(path).unwrap();
        let differing = text.lines().zip(expected.lines()).find(|(found, expected)| found != expected);
        assert!(
            text == expected,
            "ringback.toml differs from src/config/keys.rs: {differing:?}; update it by running this test with \
             RINGBACK_UPDATE_DOCUMENTS=1"
        );
    }

    #[test]
    fn every_setting_has_a_default_or_an_example() {
        for key in KEYS {
            assert_eq!(key.example.is_some(), key.show(&Settings::default()).is_none(), "{}", key.name);
        }
    }

    #[test]
    fn every_row_of_the_documentation_has_five_cells() {
        for row in documentation().lines() {
            assert_eq!(row.replace("\\|", "").matches('|').count(), 6, "{row}");
        }
        assert_eq!(documentation().lines().count(), KEYS.len() + 2);
    }
}
