//! Who may know whom: reads every path written under `src/` and fails when a module reaches where it must not.
//! The rules are those of `ARCHITECTURE.md`; what is compiled only for tests is free.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod circles;
mod documentation;
mod repository;
mod rust_code;

use std::path::PathBuf;

use rust_code::{code_only, module_of, paths, sources, test_files, without_tests};

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
        modules: &["domain"],
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
        name: "svix",
        modules: &["domain", "telemetry", "config", "store", "actors", "api"],
        not: &["diesel", "diesel_migrations", "r2d2", "awc", "clap", "anyhow"],
    },
    Layer {
        name: "load",
        modules: &["domain", "config"],
        not: &["diesel", "diesel_migrations", "r2d2", "anyhow"],
    },
];
/// For tools of the command line: no request of the engine may pass by the guarded transport.
const ONLY_IN_TOOLS: &[&str] = &["ureq"];
/// The wiring, the command line and the bodies of the fuzz targets know everyone.
const FREE: &[&str] = &["engine", "main", "lib", "cli", "fuzzing"];
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
        return vec![format!("the module {top} has no rule in tests/layers/main.rs")];
    };
    let mut complaints: Vec<String> = paths(&without_tests(&code_only(text)))
        .iter()
        .filter_map(|path| judge(layer, module, &path.segments))
        .collect();
    complaints.sort();
    complaints.dedup();
    complaints
}

fn judge(layer: &Layer, module: &[String], path: &[String]) -> Option<String> {
    let written = path.join("::");
    let Some(inner) = resolve(module, path) else {
        let banned = layer
            .not
            .iter()
            .chain(ONLY_IN_TOOLS)
            .find(|not| written == **not || written.starts_with(&format!("{not}::")));
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

mod the_checker {
    use std::path::Path;

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
            ("src/transport/http.rs", "fn f() { ureq::agent(); }"),
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
