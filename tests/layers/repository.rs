//! What the repository says about itself: files, modules and types that its documents name exist, links lead
//! somewhere, and no file tells where or how somebody worked on it.

use std::fs;
use std::path::{Path, PathBuf};

/// Not ours: built, fetched, or kept by version control.
const SKIPPED: &[&str] = &["target", ".git", "node_modules", "screenshots", "corpus"];
/// Texts that belong to one developer's machine; in pieces, so that this file does not hold them.
const PRIVATE: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/fa", "rm/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("/ro", "ot/"),
    concat!("/tmp/ring", "back/"),
    concat!("sub", "agent"),
    concat!("DEVELOPERS", ".md"),
];
/// Names of other projects' items, of headers and of settings that the source does not have to mention.
const FOREIGN: &[&str] = &["SyncArbiter", "journal_size_limit", "json_each", "sqlite3_prepare_v3", "DateService"];
/// Where a code span with a slash begins when it names a file of the repository.
const FOLDERS: &[&str] = &[
    "src/",
    "tests/",
    "docs/",
    "examples/",
    "benches/",
    "migrations/",
    "packaging/",
    "fuzz/",
    ".ci/",
    ".cargo/",
    ".github/",
];

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name();
        let is_skipped = SKIPPED.iter().any(|skipped| name == *skipped);
        if entry.file_type().unwrap().is_dir() && !is_skipped {
            walk(&entry.path(), files);
        } else if entry.file_type().unwrap().is_file() && !is_skipped {
            files.push(entry.path());
        }
    }
}

/// Every text file of the repository, with its path from the root.
fn texts() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    walk(root, &mut files);
    let read = |path: PathBuf| Some((path.strip_prefix(root).ok()?.to_owned(), fs::read_to_string(&path).ok()?));
    let mut texts: Vec<_> = files.into_iter().filter_map(read).collect();
    texts.sort();
    assert!(texts.len() > 200, "the files of the repository were not found");
    texts
}

fn documents(texts: &[(PathBuf, String)]) -> impl Iterator<Item = &(PathBuf, String)> {
    texts.iter().filter(|(path, _)| path.extension().is_some_and(|extension| extension == "md"))
}

/// The lines of a document outside of code blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// What stands between backticks on a line.
fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

fn has_word(text: &str, word: &str) -> bool {
    let is_part = |symbol: Option<char>| symbol.is_some_and(|symbol| symbol.is_alphanumeric() || symbol == '_');
    text.match_indices(word).any(|(at, _)| {
        !is_part(text[..at].chars().next_back()) && !is_part(text[at + word.len()..].chars().next())
    })
}

#[test]
fn no_file_tells_where_or_how_somebody_worked_on_it() {
    let mut complaints = Vec::new();
    for (path, text) in texts() {
        for (number, line) in text.lines().enumerate() {
            for private in PRIVATE.iter().filter(|private| line.contains(*private)) {
                complaints.push(format!("{}:{}: {private}", path.display(), number + 1));
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// The anchor that a heading gets, as GitHub and mdBook make it.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    text.chars().filter(|symbol| symbol.is_alphanumeric() || ['-', '_'].contains(symbol)).collect()
}

/// Whether a link in a document leads to a file of the repository, and to a heading in it.
fn leads_somewhere(document: &Path, target: &str) -> bool {
    if target.contains("://") || target.starts_with("mailto:") {
        return true;
    }
    let (file, wanted) = target.split_once('#').unwrap_or((target, ""));
    let folder = document.parent().unwrap_or(Path::new(""));
    let path = if file.is_empty() { document.to_owned() } else { folder.join(file) };
    let is_document = path.extension().is_some_and(|extension| extension == "md");
    if wanted.is_empty() || !is_document {
        return path.exists();
    }
    let text = fs::read_to_string(&path).unwrap_or_default();
    prose(&text).any(|line| line.starts_with('#') && anchor(line) == wanted)
}

#[test]
fn every_link_leads_to_a_file_and_to_a_heading_in_it() {
    let texts = texts();
    let mut complaints = Vec::new();
    for (path, text) in documents(&texts) {
        let targets =
            prose(text).flat_map(|line| line.split("](").skip(1)).filter_map(|rest| rest.split(')').next());
        let broken = targets.filter(|target| !leads_somewhere(path, target));
        complaints.extend(broken.map(|target| format!("{}: {target}", path.display())));
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// The file of the module that a path such as `store::sqlite::lock` begins with, and what follows in it.
fn module(path: &str) -> Option<(PathBuf, Vec<&str>)> {
    let mut names: Vec<&str> = path.split("::").collect();
    let (mut folder, mut file) = (PathBuf::from("src"), None);
    while let Some(name) = names.first() {
        let as_file = folder.join(format!("{name}.rs"));
        let as_folder = folder.join(name).join("mod.rs");
        match [as_file, as_folder].into_iter().find(|candidate| candidate.exists()) {
            Some(found) => file = Some(found),
            None => break,
        }
        folder = folder.join(name);
        names.remove(0);
    }
    Some((file?, names))
}

/// Whether a code span that names something of this repository names something that exists.
fn is_true(span: &str, sources: &str) -> bool {
    if FOLDERS.iter().any(|folder| span.starts_with(folder)) {
        // a pattern or a placeholder names no single file
        return span.contains(['*', '{', '…', ' ', 'N']) || Path::new(span).exists();
    }
    let is_word = |text: &str| text.chars().all(|symbol| symbol.is_ascii_alphanumeric() || symbol == '_');
    let word = span.trim_end_matches("()");
    if span.contains("::") && span.split("::").all(is_word) {
        let is_ours = Path::new("src").join(span.split("::").next().unwrap_or_default()).exists();
        let found = || {
            module(span).is_some_and(|(file, names)| {
                let text = fs::read_to_string(file).unwrap_or_default();
                names.iter().all(|name| has_word(&text, name))
            })
        };
        return !is_ours || found();
    }
    let is_type = word.starts_with(|first: char| first.is_ascii_uppercase())
        && word.chars().any(|symbol| symbol.is_ascii_lowercase())
        && word.chars().skip(1).any(|symbol| symbol.is_ascii_uppercase());
    let is_name = word.contains('_') && word.starts_with(|first: char| first.is_ascii_lowercase());
    !is_word(word) || !(is_type || is_name) || FOREIGN.contains(&word) || has_word(sources, word)
}

#[test]
fn every_file_module_type_and_name_in_the_documents_exists() {
    let texts = texts();
    let sources: String = texts
        .iter()
        .filter(|(path, _)| path.extension().is_none_or(|extension| extension != "md"))
        .map(|(_, text)| text.as_str())
        .collect();
    let mut complaints = Vec::new();
    for (path, text) in documents(&texts) {
        // the changelog names things as they were then
        if path != Path::new("CHANGELOG.md") {
            let wrong = prose(text).flat_map(code_spans).filter(|span| !is_true(span, &sources));
            complaints.extend(wrong.map(|span| format!("{}: {span}", path.display())));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
