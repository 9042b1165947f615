//! Merges the sources of settings and reports every mistake at once.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use thiserror::Error;
use toml::de::{DeTable, DeValue};

use super::keys::{KEYS, SettingKey};
use super::value::SettingValue;
use super::{Settings, environment, otlp};
use crate::domain::nearest::{MAX_DISTANCE, edit_distance};

/// Read if it exists and `--config` is not given.
const DEFAULT_FILE: &str = "ringback.toml";
/// Targets that `--dev` allows: this machine and private networks.
const DEV_NETWORKS: &[&str] =
    &["127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fe80::/10"];

/// Settings from the command line.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--config`: the file to read instead of `./ringback.toml`.
    pub config: Option<PathBuf>,
    /// `--listen`.
    pub listen: Option<String>,
    /// `--database-url`.
    pub database_url: Option<String>,
    /// `--dev`.
    pub dev: bool,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A key in the file.
    File {
        /// As it was given.
        path: String,
        /// From 1.
        line: usize,
        /// As written, with its table; empty for a syntax error.
        key: String,
    },
    /// An environment variable, by name.
    Variable(String),
    /// A flag, by name.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, key } if key.is_empty() => write!(f, "{path}, line {line}"),
            Self::File { path, line, key } => write!(f, "{path}, line {line}, `{key}`"),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// One mistake in the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsProblem {
    /// Where it is; `None` for a setting that is missing and for a file that can't be read.
    pub origin: Option<Origin>,
    /// The setting that has this value; `None` when no setting does.
    pub setting: Option<&'static str>,
    /// What is wrong; never contains the value of a secret.
    pub message: String,
}

impl fmt::Display for SettingsProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Some(origin) => write!(f, "{origin}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// Every mistake in the settings.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", .problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct SettingsError {
    /// At least one.
    pub problems: Vec<SettingsProblem>,
}

/// Settings, and where each of them came from.
pub struct Loaded {
    /// The effective settings.
    pub settings: Settings,
    /// By key; a key that is absent here has its default.
    pub origins: BTreeMap<&'static str, Origin>,
}

/// Reads the file, the environment and the flags.
pub fn load(flags: &Flags) -> Result<Loaded, SettingsError> {
    let (loaded, problems) = inspect(flags);
    if problems.is_empty() { Ok(loaded) } else { Err(SettingsError { problems }) }
}

/// Like [`load`], but returns the settings that could be read along with the mistakes.
pub fn inspect(flags: &Flags) -> (Loaded, Vec<SettingsProblem>) {
    let (file, unreadable) = match read_file(flags.config.as_deref()) {
        Ok(file) => (file, None),
        Err(message) => (None, Some(SettingsProblem { origin: None, setting: None, message })),
    };
    let file = file.as_ref().map(|(path, text)| (path.as_str(), text.as_str()));
    let (loaded, mut problems) = merge_all(file, environment(), flags);
    problems.splice(0..0, unreadable);
    (loaded, problems)
}

/// Merges sources that were already read. `variables` may contain any variables: only `RINGBACK_*` count, and a file
/// that one of those names is read here.
pub fn merge(
    file: Option<(&str, &str)>,
    variables: impl IntoIterator<Item = (String, String)>,
    flags: &Flags,
) -> Result<Loaded, SettingsError> {
    let (loaded, problems) = merge_all(file, variables, flags);
    if problems.is_empty() { Ok(loaded) } else { Err(SettingsError { problems }) }
}

fn merge_all(
    file: Option<(&str, &str)>,
    variables: impl IntoIterator<Item = (String, String)>,
    flags: &Flags,
) -> (Loaded, Vec<SettingsProblem>) {
    let mut merge =
        Merge { loaded: Loaded { settings: Settings::default(), origins: BTreeMap::new() }, problems: Vec::new() };
    let variables: Vec<(String, String)> = variables.into_iter().collect();
    merge.standard_variables(&variables);
    if let Some((path, text)) = file {
        merge.file(path, text);
    }
    merge.variables(variables);
    merge.flags(flags);
    merge.cross_check();
    (merge.loaded, merge.problems)
}

impl Settings {
    /// Whether `serve` can start with these settings; `config check` reports the same.
    pub fn check_complete(&self) -> Result<(), SettingsError> {
        if self.master_key.is_some() || self.dev {
            return Ok(());
        }
        let message = String::from(
            "master_key is missing: it encrypts secrets at rest. Make one with `ringback master-key generate` or \
             `openssl rand -base64 32`, keep it safe, and set RINGBACK_MASTER_KEY to it (with --dev one is created next to the \
             database)",
        );
        Err(SettingsError {
            problems: vec![SettingsProblem { origin: None, setting: Some("master_key"), message }],
        })
    }
}

fn read_file(asked_for: Option<&Path>) -> Result<Option<(String, String)>, String> {
    let path = asked_for.unwrap_or(Path::new(DEFAULT_FILE));
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some((path.display().to_string(), text))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && asked_for.is_none() => Ok(None),
        Err(error) => Err(format!("{}: can't be read: {error}", path.display())),
    }
}

/// A variable that is not UTF-8 becomes text that no key accepts, so that it is not silently ignored.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
}

struct Merge {
    loaded: Loaded,
    problems: Vec<SettingsProblem>,
}

impl Merge {
    fn file(&mut self, path: &str, text: &str) {
        let (table, errors) = DeTable::parse_recoverable(text);
        let line_of = |offset: usize| text.get(..offset).unwrap_or(text).matches('\n').count() + 1;
        for error in &errors {
            let line = error.span().map_or(1, |span| line_of(span.start));
            // `message` alone: the whole error quotes the line, which may hold a secret
            self.problem(file_origin(path, line, ""), error.message().to_owned());
        }
        if errors.is_empty() {
            self.table(path, "", table.get_ref(), &line_of);
        }
    }

    fn table(&mut self, path: &str, prefix: &str, table: &DeTable<'_>, line_of: &dyn Fn(usize) -> usize) {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            let name = format!("{prefix}{}", key.get_ref());
            let origin = file_origin(path, line_of(key.span().start), &name);
            match value.get_ref() {
                DeValue::Table(inner) if is_table(&name) => {
                    self.table(path, &format!("{name}."), inner, line_of);
                }
                _ if is_table(&name) => self.problem(origin, format!("is a table: write [{name}]")),
                value => match find(&name) {
                    Some(key) => self.set(key, &SettingValue::from_toml(value), origin),
                    None => {
                        self.problem(origin, unknown("key", &name, KEYS.iter().map(|key| key.name.to_owned())))
                    }
                },
            }
        }
    }

    /// Those of OpenTelemetry, which come before the file.
    fn standard_variables(&mut self, variables: &[(String, String)]) {
        let is_disabled = |(name, value): &(String, String)| {
            name == "OTEL_SDK_DISABLED" && value.trim().eq_ignore_ascii_case("true")
        };
        if variables.iter().any(is_disabled) {
            return;
        }
        for (name, value) in variables.iter().filter(|(_, value)| !value.trim().is_empty()) {
            let origin = Origin::Variable(name.clone());
            let standard = otlp::STANDARD_VARIABLES.iter().find(|(standard, _)| standard == name);
            if let Some(key) = standard.and_then(|(_, key)| find(key)) {
                self.set(key, &SettingValue::Untyped(value.clone()), origin);
            } else if let Err(message) = self.loaded.settings.otlp.describe(name, value) {
                self.problem(origin, message);
            }
        }
    }

    fn variables(&mut self, variables: impl IntoIterator<Item = (String, String)>) {
        let variables = environment::ours(variables);
        for (name, value) in &variables {
            let origin = Origin::Variable(name.clone());
            if let Some(key) = KEYS.iter().find(|key| key.variable() == *name) {
                self.set(key, &SettingValue::Untyped(value.clone()), origin);
            } else if let Some(setting) = environment::of_file(name) {
                let is_set_twice = variables.iter().any(|(other, _)| other == setting);
                if let Some(key) = KEYS.iter().find(|key| key.variable() == setting) {
                    self.variable_of_file(key, value, origin, is_set_twice);
                }
            } else {
                let known = KEYS.iter().map(SettingKey::variable).chain(environment::file_variables());
                self.problem(origin, unknown("variable", name, known));
            }
        }
    }

    /// A variable that names a file with the value.
    fn variable_of_file(&mut self, key: &'static SettingKey, path: &str, origin: Origin, is_set_twice: bool) {
        if is_set_twice {
            self.problem_of(key, origin, format!("{} is set as well: keep one of the two", key.variable()));
            return;
        }
        let problem = match environment::read(path) {
            Err(message) => message,
            Ok(value) => match key.read(&SettingValue::Untyped(value), &mut self.loaded.settings) {
                Ok(()) => {
                    self.loaded.origins.insert(key.name, origin);
                    return;
                }
                Err(message) => format!("the file `{}`: {message}", path.trim()),
            },
        };
        self.problem_of(key, origin, problem);
    }

    fn flags(&mut self, flags: &Flags) {
        let given =
            [("listen", "--listen", &flags.listen), ("database_url", "--database-url", &flags.database_url)];
        for (name, flag, value) in given {
            if let (Some(key), Some(value)) = (find(name), value) {
                self.set(key, &SettingValue::Untyped(value.clone()), Origin::Flag(flag));
            }
        }
        if flags.dev {
            let settings = &mut self.loaded.settings;
            settings.dev = true;
            settings.allow_http = true;
            let networks = DEV_NETWORKS.iter().filter_map(|text| text.parse::<IpNet>().ok());
            let missing: Vec<IpNet> = networks.filter(|net| !settings.allowed_networks.contains(net)).collect();
            settings.allowed_networks.extend(missing);
            self.loaded.origins.insert("allow_http", Origin::Flag("--dev"));
            self.loaded.origins.insert("allowed_networks", Origin::Flag("--dev"));
        }
    }

    fn cross_check(&mut self) {
        let delivery = &self.loaded.settings.delivery;
        if delivery.breaker_max_pause < delivery.breaker_initial_pause {
            let key = "delivery.breaker_max_pause_seconds";
            let origins = &self.loaded.origins;
            let origin =
                origins.get(key).or_else(|| origins.get("delivery.breaker_initial_pause_seconds")).cloned();
            let message = format!("{key} is less than delivery.breaker_initial_pause_seconds");
            self.problems.push(SettingsProblem { origin, setting: Some(key), message });
        }
        let origins = &self.loaded.origins;
        if let (Some(_), Some(origin)) = (origins.get("defaults.retry"), origins.get("defaults.retry_policy")) {
            let message = String::from("not together with defaults.retry: keep one of the two");
            let setting = Some("defaults.retry_policy");
            self.problems.push(SettingsProblem { origin: Some(origin.clone()), setting, message });
        }
    }

    fn set(&mut self, key: &'static SettingKey, value: &SettingValue, origin: Origin) {
        match key.read(value, &mut self.loaded.settings) {
            Ok(()) => {
                self.loaded.origins.insert(key.name, origin);
            }
            Err(message) => self.problem_of(key, origin, message),
        }
    }

    fn problem_of(&mut self, key: &'static SettingKey, origin: Origin, message: String) {
        self.problems.push(SettingsProblem { origin: Some(origin), setting: Some(key.name), message });
    }

    fn problem(&mut self, origin: Origin, message: String) {
        self.problems.push(SettingsProblem { origin: Some(origin), setting: None, message });
    }
}

fn file_origin(path: &str, line: usize, key: &str) -> Origin {
    Origin::File { path: path.to_owned(), line, key: key.to_owned() }
}

fn find(name: &str) -> Option<&'static SettingKey> {
    KEYS.iter().find(|key| key.name == name)
}

fn is_table(name: &str) -> bool {
    KEYS.iter().any(|key| key.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}

fn unknown(what: &str, name: &str, candidates: impl Iterator<Item = String>) -> String {
    let last = |text: &str| text.rsplit('.').next().unwrap_or_default().to_owned();
    let nearest = candidates
        .map(|candidate| {
            // counts as an exact match: the right key in the wrong table or without its unit, and the names that other
            // programs have for `listen`
            let listen = ["_PORT", "_ADDR", "_ADDRESS"].iter().find_map(|ending| name.strip_suffix(ending));
            let is_near = last(&candidate) == last(name)
                || candidate.starts_with(&format!("{name}_"))
                || listen.is_some_and(|rest| candidate == format!("{rest}_LISTEN"));
            let distance = if is_near { 0 } else { edit_distance(&candidate, name) };
            (distance, candidate)
        })
        .min();
    match nearest {
        Some((distance, candidate)) if distance <= MAX_DISTANCE => {
            format!("unknown {what}; did you mean `{candidate}`?")
        }
        _ => format!("unknown {what}"),
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
