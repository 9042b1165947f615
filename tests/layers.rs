//! Who may know whom: reads every path written under `src/` and fails when a module reaches where it must not.
//! The rules are those of `ARCHITECTURE.md`; what is compiled only for tests is free.

use std::fs;
use std::path::{Path, PathBuf};

const MAX_FILE_LINES: usize = 550;
/// Left behind when work stops halfway; written in pieces so that this file does not hold them.
const LEFTOVERS: &[&str] =
    &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("dbg", "!("), concat!("unimpl", "emented!")];

/// What one folder (or file) directly under `src/` may use.
struct Layer {
    name: &'static str,
    /// Modules of this crate that it may use beside itself.
    modules: &'static [&'static str],
    /// Beginnings of paths of other crates that it must not use.
    not: &'static [&'static str],
}

const LAYERS: &[Layer] = &[
    Layer {
        name: "domain",
        modules: &[],
        not: &[
            "actix",
            "actix_rt",
            "actix_web",
            "actix_service",
            "actix_tls",
            "awc",
            "diesel",
            "diesel_migrations",
            "r2d2",
            "tokio",
            "hickory_proto",
            "rustls",
            "tracing",
            "metrics",
            "clap",
            "anyhow",
            "std::fs",
            "std::env",
            "std::thread",
            "std::process",
        ],
    },
    Layer {
        name: "store",
        modules: &["domain"],
        not: &["actix", "actix_rt", "actix_web", "awc", "tokio", "hickory_proto", "metrics", "clap", "anyhow"],
    },
    Layer {
        name: "transport",
        modules: &["domain"],
        // actix_web is allowed: it is where the errors of awc's parser are exported
        not: &["diesel", "diesel_migrations", "r2d2", "metrics", "clap", "anyhow"],
    },
    Layer {
        name: "telemetry",
        modules: &["domain", "config"],
        not: &["actix", "actix_web", "awc", "diesel", "tokio", "clap", "anyhow"],
    },
    Layer {
        name: "config",
        modules: &["domain", "telemetry"],
        not: &["actix", "actix_web", "awc", "diesel", "tokio", "clap", "anyhow"],
    },
    Layer {
        name: "actors",
        modules: &["domain", "telemetry", "config", "store", "transport"],
        not: &["diesel", "diesel_migrations", "r2d2", "awc", "actix_web", "actix_tls", "clap", "anyhow"],
    },
    Layer {
        name: "api",
        modules: &["domain", "telemetry", "config", "store", "actors"],
        not: &["diesel", "diesel_migrations", "r2d2", "awc", "clap", "anyhow"],
    },
    Layer {
        name: "dashboard",
        modules: &["domain", "telemetry", "config", "store", "actors", "api"],
        not: &["diesel", "diesel_migrations", "r2d2", "awc", "clap", "anyhow"],
    },
    Layer {
        name: "load",
        modules: &["domain", "config"],
        not: &["diesel", "diesel_migrations", "r2d2", "anyhow"],
    },
];
/// The wiring and the command line know everyone.
const FREE: &[&str] = &["engine", "main", "lib", "cli"];
/// Behind these seams others see only the items at the root, which are the trait and its words.
const SEAMS: &[&str] = &["store", "transport"];

#[test]
fn every_module_knows_only_whom_it_may_know() {
    let mut complaints = Vec::new();
    let files = sources("src");
    let for_tests: Vec<PathBuf> = files.iter().flat_map(|(path, text)| test_files(path, text)).collect();
    for (path, text) in &files {
        if !for_tests.iter().any(|excluded| path.starts_with(excluded)) {
            complaints
                .extend(check(&module_of(path), text).into_iter().map(|c| format!("{}: {c}", path.display())));
        }
    }
    assert!(files.len() > 20, "the sources were not found");
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn no_file_is_too_long_and_nothing_is_left_half_done() {
    let mut complaints = Vec::new();
    for (path, text) in sources("src").into_iter().chain(sources("tests")) {
        let lines = text.lines().count();
        if lines > MAX_FILE_LINES {
            complaints.push(format!("{} has {lines} lines, more than {MAX_FILE_LINES}", path.display()));
        }
        for word in LEFTOVERS {
            if let Some(number) = text.lines().position(|line| line.contains(word)) {
                complaints.push(format!("{}:{}: {word}", path.display(), number + 1));
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// Complaints about the paths that a module's text uses.
fn check(module: &[String], text: &str) -> Vec<String> {
    let Some(top) = module.first() else { return Vec::new() };
    if FREE.contains(&top.as_str()) {
        return Vec::new();
    }
    let Some(layer) = LAYERS.iter().find(|layer| layer.name == top) else {
        return vec![format!("the module {top} has no rule in tests/layers.rs")];
    };
    let mut complaints: Vec<String> =
        paths(&without_tests(&code_only(text))).iter().filter_map(|path| judge(layer, module, path)).collect();
    complaints.sort();
    complaints.dedup();
    complaints
}

fn judge(layer: &Layer, module: &[String], path: &[String]) -> Option<String> {
    let written = path.join("::");
    let Some(inner) = resolve(module, path) else {
        let banned = layer.not.iter().find(|not| written == **not || written.starts_with(&format!("{not}::")));
        return banned.map(|not| format!("{} must not know {not}: {written}", layer.name));
    };
    let target = inner.first()?;
    if target == layer.name || !is_module(target) {
        return None;
    }
    if !layer.modules.contains(&target.as_str()) {
        return Some(format!("{} must not know crate::{target}: {written}", layer.name));
    }
    let behind_seam = SEAMS.contains(&target.as_str()) && inner.get(1).is_some_and(|item| is_module(item));
    behind_seam.then(|| format!("{} must see only the root of crate::{target}: {written}", layer.name))
}

/// The path from the crate's root, when it is a path of this crate.
fn resolve(module: &[String], path: &[String]) -> Option<Vec<String>> {
    let mut base: Vec<String> = match path.first()?.as_str() {
        "crate" | "ringback" => Vec::new(),
        "self" | "super" => module.to_vec(),
        _ => return None,
    };
    for segment in path {
        match segment.as_str() {
            "crate" | "ringback" | "self" => {}
            "super" => drop(base.pop()),
            segment => base.push(segment.to_owned()),
        }
    }
    Some(base)
}

fn is_module(segment: &str) -> bool {
    segment.starts_with(|first: char| first.is_ascii_lowercase())
}

/// `src/actors/router.rs` is `["actors", "router"]`.
fn module_of(path: &Path) -> Vec<String> {
    let below = path.strip_prefix("src").unwrap_or(path).with_extension("");
    let mut module: Vec<String> = below.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if module.last().is_some_and(|last| last == "mod") {
        module.pop();
    }
    module
}

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap_or_default();
                found.push((path, text));
            }
        }
    }
    found.sort();
    found
}

/// Blanks comments, strings and characters, so that only code is read. Newlines stay.
fn code_only(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let symbols: Vec<char> = text.chars().collect();
    let mut at = 0;
    while at < symbols.len() {
        let rest = &symbols[at..];
        let length = match rest {
            ['/', '/', ..] => rest.iter().position(|&symbol| symbol == '\n').unwrap_or(rest.len()),
            ['/', '*', ..] => position(rest, 2, "*/"),
            ['r', '"' | '#', ..] if !previous_is_word(&symbols, at) => raw_string(rest),
            ['"', ..] => quoted(rest),
            ['\'', '\\', ..] => 2 + position(&rest[2..], 1, "'"),
            ['\'', _, '\'', ..] => 3,
            _ => 0,
        };
        if length == 0 {
            out.push(rest[0]);
            at += 1;
        } else {
            out.extend(rest[..length].iter().map(|&symbol| if symbol == '\n' { '\n' } else { ' ' }));
            at += length;
        }
    }
    out
}

fn previous_is_word(symbols: &[char], at: usize) -> bool {
    at > 0 && (symbols[at - 1].is_alphanumeric() || symbols[at - 1] == '_')
}

/// The length of `rest` up to and with `end`, searched from `from`.
fn position(rest: &[char], from: usize, end: &str) -> usize {
    let end: Vec<char> = end.chars().collect();
    let found = rest.get(from..).and_then(|tail| tail.windows(end.len()).position(|window| window == end));
    found.map_or(rest.len(), |index| from + index + end.len())
}

fn raw_string(rest: &[char]) -> usize {
    let hashes = rest[1..].iter().take_while(|&&symbol| symbol == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    position(rest, 2 + hashes, &format!("\"{}", "#".repeat(hashes)))
}

fn quoted(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Cuts off the test module at the end of a file.
fn without_tests(code: &str) -> String {
    let mut lines = code.lines().enumerate();
    let cut = lines.find(|(index, line)| {
        let opens =
            |line: &str| line.starts_with("mod ") || line.starts_with("pub mod ") || line.starts_with("pub(");
        line.trim() == "#[cfg(test)]"
            && code
                .lines()
                .skip(index + 1)
                .find(|next| !next.starts_with("#["))
                .is_some_and(|next| opens(next) && next.trim_end().ends_with('{'))
    });
    match cut {
        Some((index, _)) => code.lines().take(index).collect::<Vec<_>>().join("\n"),
        None => code.to_owned(),
    }
}

/// The files and folders that are modules for tests alone: `#[cfg(test)] mod name;`.
fn test_files(path: &Path, text: &str) -> Vec<PathBuf> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let is_root = matches!(path.file_name().and_then(|name| name.to_str()), Some("mod.rs" | "lib.rs" | "main.rs"));
    let inside = if is_root { folder.to_owned() } else { path.with_extension("") };
    let (mut found, mut for_tests, mut other_path) = (Vec::new(), false, None);
    for line in text.lines().map(str::trim) {
        if line == "#[cfg(test)]" {
            (for_tests, other_path) = (true, None);
        } else if let Some(name) = line.strip_prefix("#[path = \"").and_then(|rest| rest.strip_suffix("\"]")) {
            other_path = Some(folder.join(name));
        } else if !line.starts_with("#[") {
            let name = line.rsplit("mod ").next().and_then(|rest| rest.strip_suffix(';'));
            if let (true, true, Some(name)) = (for_tests, line.contains("mod "), name) {
                found.extend(other_path.take());
                found.push(inside.join(name));
                found.push(inside.join(format!("{name}.rs")));
            }
            for_tests = false;
        }
    }
    found
}

/// Every path in the code: of `use` with its braces spread out, and of expressions and types.
fn paths(code: &str) -> Vec<Vec<String>> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let is_use = tokens[at] == "use";
        let begins = is_word(&tokens[at]) && tokens.get(at + 1).is_some_and(|next| next == "::");
        if is_use {
            at = tree(&tokens, at + 1, &mut Vec::new(), &mut found);
        } else if begins {
            at = tree(&tokens, at, &mut Vec::new(), &mut found);
        } else {
            at += 1;
        }
    }
    found
}

/// Reads one use tree from `at`; returns where it ends.
fn tree(tokens: &[String], mut at: usize, prefix: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> usize {
    let depth = prefix.len();
    while let Some(token) = tokens.get(at) {
        if token == "::" {
            at += 1;
        } else if token == "{" {
            at += 1;
            while tokens.get(at).is_some_and(|token| token != "}") {
                let before = at;
                at = tree(tokens, at, prefix, found);
                if tokens.get(at).is_some_and(|token| token == ",") || at == before {
                    at += 1;
                }
            }
            at += 1;
            break;
        } else if is_word(token) || token == "*" {
            prefix.push(token.clone());
            at += 1;
            if tokens.get(at).is_none_or(|next| next != "::") {
                found.push(prefix.clone());
                break;
            }
        } else {
            // generics: `Vec::<u8>`; what was read so far is the path
            found.push(prefix.clone());
            break;
        }
    }
    if tokens.get(at).is_some_and(|token| token == "as") {
        at += 2;
    }
    prefix.truncate(depth);
    at
}

fn is_word(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

fn tokens(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let is_part = |symbol: char| symbol.is_alphanumeric() || symbol == '_';
        let length = if is_part(first) {
            rest.find(|symbol: char| !is_part(symbol)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        if !first.is_whitespace() {
            found.push(rest[..length].to_owned());
        }
        rest = &rest[length..];
    }
    found
}

mod the_checker {
    use super::*;

    fn complaints(file: &str, text: &str) -> Vec<String> {
        check(&module_of(Path::new(file)), text)
    }

    #[test]
    fn finds_every_way_to_reach_too_far() {
        for (file, text) in [
            ("src/domain/retry.rs", "use tokio::time::Instant;"),
            ("src/domain/retry.rs", "use crate::store::Store;"),
            ("src/domain/retry.rs", "use super::super::store::Store;"),
            ("src/domain/retry.rs", "fn f() { let _ = std::fs::read(\"x\"); }"),
            ("src/domain/mod.rs", "use {actix, serde};"),
            ("src/store/mod.rs", "use crate::{domain::time::UnixMillis, actors::handle::EngineHandle};"),
            ("src/store/mod.rs", "use crate::telemetry::CommitFinished;"),
            ("src/transport/http.rs", "type T = crate::store::StoreError;"),
            ("src/actors/router.rs", "use crate::store::sqlite::SqliteStore;"),
            ("src/actors/router.rs", "use crate::store::{Store, diesel_store::{self}};"),
            ("src/actors/router.rs", "use crate::transport::http;"),
            ("src/actors/router.rs", "#[derive(diesel::Queryable)] struct X;"),
            ("src/actors/router.rs", "fn f(request: actix_web::HttpRequest) {}"),
            ("src/actors/router.rs", "use crate::api::auth::Key as Other;"),
            ("src/api/events.rs", "fn f() { ::awc::Client::default(); }"),
            ("src/api/events.rs", "use crate::engine;"),
            ("src/newcomer/mod.rs", "use std::fmt;"),
        ] {
            assert_eq!(complaints(file, text).len(), 1, "{file}: {text}: {:?}", complaints(file, text));
        }
    }

    #[test]
    fn allows_what_the_rules_allow() {
        for (file, text) in [
            ("src/domain/retry.rs", "use super::time::UnixMillis;\nuse std::net::IpAddr;"),
            (
                "src/domain/retry.rs",
                "/// See `tokio::time`.\n// use diesel::prelude;\nconst X: &str = \"awc::Client\";",
            ),
            ("src/domain/retry.rs", "const X: &str = r#\"use \"awc::Client\"; \"#;\nfn f<'a>(x: &'a str) {}"),
            (
                "src/actors/router.rs",
                "use crate::store::{Store, StoreError as E};\nuse crate::transport::Transport;",
            ),
            ("src/actors/router.rs", "fn f() { Vec::<u8>::new(); actix::Arbiter::new(); }"),
            (
                "src/actors/router.rs",
                "fn f() {}\n#[cfg(test)]\nmod tests {\n use crate::store::memory::MemoryStore;\n}",
            ),
            (
                "src/store/sqlite.rs",
                "use diesel::prelude::*;\nuse super::schema;\nuse crate::domain::ids::EventId;",
            ),
            ("src/engine.rs", "use crate::store::sqlite::SqliteStore;\nuse diesel::prelude::*;"),
            ("src/cli/listen.rs", "use awc::Client;\nuse ringback::domain::ids::EventId;"),
        ] {
            assert_eq!(complaints(file, text), Vec::<String>::new(), "{file}: {text}");
        }
    }

    #[test]
    fn knows_the_files_that_are_compiled_only_for_tests() {
        let text = "mod a;\n#[cfg(test)]\nmod b;\n#[cfg(test)]\n#[path = \"c_tests.rs\"]\nmod tests;\nmod d;";
        let found = test_files(Path::new("src/actors/mod.rs"), text);
        for expected in ["src/actors/b.rs", "src/actors/b", "src/actors/c_tests.rs"] {
            assert!(found.contains(&PathBuf::from(expected)), "{found:?}");
        }
        assert!(!found.iter().any(|path| path.ends_with("a.rs") || path.ends_with("d.rs")), "{found:?}");
        assert!(test_files(Path::new("src/a/router.rs"), text).contains(&PathBuf::from("src/a/router/b.rs")));
    }
}
