//! The shape of the documentation: short at the door, every page in the book, links that work in the book.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The pages of the book, as paths from `docs/`.
fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for folder in ["", "decisions"] {
        for entry in fs::read_dir(root().join("docs").join(folder)).unwrap() {
            let name = PathBuf::from(entry.unwrap().file_name());
            if name.extension().is_some_and(|extension| extension == "md") && name != Path::new("SUMMARY.md") {
                pages.push(Path::new(folder).join(name));
            }
        }
    }
    pages.sort();
    pages
}

#[test]
fn the_readme_has_at_most_900_words_and_begins_with_the_two_commands() {
    let readme = read("README.md");
    assert!(readme.split_whitespace().count() <= 900);
    let commands: Vec<&str> = readme.lines().filter(|line| line.starts_with("cargo ")).take(2).collect();
    assert!(
        commands[0].starts_with("cargo run --release -- serve --dev ") && commands[1].starts_with("cargo test ")
    );
    assert!(readme.lines().take(5).any(|line| line == commands[0]));
}

#[test]
fn architecture_has_at_most_1500_words() {
    assert!(read("ARCHITECTURE.md").split_whitespace().count() <= 1500);
}

#[test]
fn every_page_is_in_the_books_contents() {
    let summary = read("docs/SUMMARY.md");
    for page in pages() {
        assert!(summary.contains(&format!("({})", page.display())), "docs/SUMMARY.md lacks {}", page.display());
    }
}

/// A link out of `docs/` works in the repository, and is broken in the book.
#[test]
fn pages_of_the_book_link_only_to_the_book() {
    for page in pages() {
        let depth = page.components().count() - 1;
        for link in read(Path::new("docs").join(&page)).split("](").skip(1) {
            let up = link.split(')').next().unwrap_or_default().matches("../").count();
            assert!(up <= depth, "docs/{}: {}", page.display(), link.split(')').next().unwrap_or_default());
        }
    }
}
