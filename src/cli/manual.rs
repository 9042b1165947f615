//! The manual pages and completion scripts that packages contain. A test makes them, so that the program does not carry
//! what makes manual pages, and so that a package for another processor needs no run of its program.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};
use clap_complete::{Shell, generate};
use clap_mangen::Man;

use super::Cli;

/// A page for each command and verb, under the name that `man` looks for. Without the version: it would change every page.
fn pages(command: Command, words: &[&str], found: &mut Vec<(String, Vec<u8>)>) {
    for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        pages(subcommand.clone(), &[words, &[subcommand.get_name()]].concat(), found);
    }
    let name = words.join("-");
    // names of a command live as long as the program: so do those of a test
    let command = command.name(&*name.clone().leak()).bin_name(words.join(" ")).version(None::<&str>);
    let mut page = Vec::new();
    Man::new(command).title(&name).source("Ringback").manual("Ringback").render(&mut page).unwrap();
    found.push((format!("man/{name}.1"), page));
}

fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "ringback", &mut script);
    script
}

fn documents() -> Vec<(String, Vec<u8>)> {
    let mut command = Cli::command();
    // flags that every verb of a command has are on each of their pages
    command.build();
    let mut documents = Vec::new();
    pages(command, &["ringback"], &mut documents);
    for (shell, name) in
        [(Shell::Bash, "ringback.bash"), (Shell::Zsh, "_ringback"), (Shell::Fish, "ringback.fish")]
    {
        documents.push((format!("completions/{name}"), completions(shell)));
    }
    documents
}

fn packaging() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging")
}

fn present(folder: &str) -> Vec<String> {
    let files = fs::read_dir(packaging().join(folder)).into_iter().flatten().flatten();
    files.map(|file| format!("{folder}/{}", file.file_name().to_string_lossy())).collect()
}

#[test]
fn the_packages_have_the_manual_pages_and_completions_of_this_command_line() {
    let documents = documents();
    assert!(documents.len() > 50, "{}", documents.len());
    let stale =
        |(path, content): &&(String, Vec<u8>)| fs::read(packaging().join(path)).ok().as_ref() != Some(content);
    let is_ours = |path: &String| documents.iter().any(|(ours, _)| ours == path);
    let mut wrong: Vec<String> = documents.iter().filter(stale).map(|(path, _)| path.clone()).collect();
    wrong.extend(["man", "completions"].iter().flat_map(|folder| present(folder)).filter(|path| !is_ours(path)));
    if std::env::var_os("RINGBACK_UPDATE_DOCUMENTS").is_some() {
        for folder in ["man", "completions"] {
            fs::create_dir_all(packaging().join(folder)).unwrap();
        }
        for path in &wrong {
            let _ = fs::remove_file(packaging().join(path));
        }
        for (path, content) in documents.iter().filter(|(path, _)| wrong.contains(path)) {
            fs::write(packaging().join(path), content).unwrap();
        }
    }
    assert!(
        wrong.is_empty(),
        "out of date in packaging/, RINGBACK_UPDATE_DOCUMENTS=1 cargo test --bin ringback manual renews them: {wrong:?}"
    );
}
