//! A real engine, and commands that call it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use test_support::engine::{ADMIN_KEY, Engine, Serve};

use super::{ringback, text};

pub(super) struct World {
    folder: tempfile::TempDir,
    pub engine: Engine,
    key: String,
}

impl World {
    /// With an organization `customer-1`, and the admin key as the key of every command.
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let engine = Serve::new(folder.path(), "sqlite://x.db").start();
        let world = Self { folder, engine, key: ADMIN_KEY.to_owned() };
        world.said("orgs create --name Customer --uid customer-1");
        world
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A command whose words are separated by spaces, in the organization `customer-1`.
    pub(super) fn command(&self, line: &str) -> Command {
        self.command_of(&line.split(' ').collect::<Vec<_>>())
    }

    pub(super) fn command_of(&self, words: &[&str]) -> Command {
        let mut command = ringback(self.path(), words);
        command.env("RINGBACK_ENGINE", self.engine.address().to_string()).env("RINGBACK_KEY", &self.key);
        command.env("RINGBACK_ORGANIZATION", "customer-1");
        command
    }

    /// What a command prints that succeeds.
    pub(super) fn said(&self, line: &str) -> String {
        succeeded(line, &self.command(line).output().unwrap())
    }

    /// The same with a line of words that hold spaces.
    pub(super) fn said_of(&self, words: &[&str]) -> String {
        succeeded(&words.join(" "), &self.command_of(words).output().unwrap())
    }

    /// What a command prints with --json.
    pub(super) fn json(&self, line: &str) -> Value {
        let said = self.said(&format!("{line} --json"));
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{line}: {error}: {said}"))
    }

    /// Why a command fails.
    pub(super) fn refused(&self, line: &str) -> String {
        let output = self.command(line).output().unwrap();
        assert!(!output.status.success(), "{line}: {}", text(&output.stdout));
        text(&output.stderr)
    }

    /// A command that gets this on its standard input.
    pub(super) fn said_with_input(&self, line: &str, input: &str) -> String {
        let mut command = self.command(line);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        succeeded(line, &child.wait_with_output().unwrap())
    }
}

pub(super) fn succeeded(line: &str, output: &Output) -> String {
    assert!(output.status.success(), "{line}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// The rows of a table, which is aligned and not wider than a terminal.
pub(super) fn rows(table: &str) -> Vec<Vec<String>> {
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines.iter().all(|line| line.chars().count() <= 100), "{table}");
    assert!(lines.iter().all(|line| !line.ends_with(' ')), "{table}");
    let cells =
        |line: &&str| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect();
    let rows: Vec<Vec<String>> = lines.iter().map(cells).collect();
    assert!(rows.iter().all(|row| row.len() == rows[0].len()), "a cell is missing: {table}");
    rows.into_iter().skip(1).collect()
}
