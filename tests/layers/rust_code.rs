//! Reads Rust source without a compiler: its files, its code without comments and strings, the paths that it writes.

use std::fs;
use std::path::{Path, PathBuf};

/// A path as the code writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WrittenPath {
    pub(crate) segments: Vec<String>,
    /// The name that a `use` gives to it in its file.
    pub(crate) imported_as: Option<String>,
}

/// `src/actors/router.rs` is `["actors", "router"]`.
pub(crate) fn module_of(path: &Path) -> Vec<String> {
    let below = path.strip_prefix("src").unwrap_or(path).with_extension("");
    let mut module: Vec<String> = below.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if module.last().is_some_and(|last| last == "mod") {
        module.pop();
    }
    module
}

pub(crate) fn sources(folder: &str) -> Vec<(PathBuf, String)> {
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
pub(crate) fn code_only(text: &str) -> String {
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
pub(crate) fn without_tests(code: &str) -> String {
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
pub(crate) fn test_files(path: &Path, text: &str) -> Vec<PathBuf> {
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
pub(crate) fn paths(code: &str) -> Vec<WrittenPath> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let is_use = tokens[at] == "use";
        let begins = is_word(&tokens[at]) && tokens.get(at + 1).is_some_and(|next| next == "::");
        if is_use {
            at = tree(&tokens, at + 1, &mut Vec::new(), &mut found);
        } else if begins {
            let before = found.len();
            at = tree(&tokens, at, &mut Vec::new(), &mut found);
            found[before..].iter_mut().for_each(|path| path.imported_as = None);
        } else {
            at += 1;
        }
    }
    found
}

/// Reads one use tree from `at`; returns where it ends.
fn tree(tokens: &[String], mut at: usize, prefix: &mut Vec<String>, found: &mut Vec<WrittenPath>) -> usize {
    let (depth, before) = (prefix.len(), found.len());
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
                found.push(written(prefix));
                break;
            }
        } else {
            // generics: `Vec::<u8>`; what was read so far is the path
            found.push(written(prefix));
            break;
        }
    }
    if tokens.get(at).is_some_and(|token| token == "as") {
        if let [path] = &mut found[before..] {
            path.imported_as = tokens.get(at + 1).cloned();
        }
        at += 2;
    }
    prefix.truncate(depth);
    at
}

fn written(segments: &[String]) -> WrittenPath {
    let name = segments.iter().rev().find(|segment| *segment != "self");
    WrittenPath { segments: segments.to_vec(), imported_as: name.filter(|name| *name != "*").cloned() }
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
