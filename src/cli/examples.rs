//! Every example of the help and of the documentation is a command line that is understood.

use clap::{Command, CommandFactory, Parser};

use super::Cli;

/// Splits a line as a shell does, as far as examples need it. Ends before a comment, a pipe or a file.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for symbol in line.chars() {
        match (quote, symbol) {
            (Some(open), symbol) if symbol == open => quote = None,
            (Some(_), symbol) => word.get_or_insert_default().push(symbol),
            (None, '\'' | '"') => {
                quote = Some(symbol);
                word.get_or_insert_default();
            }
            (None, '#' | '|' | '>') if word.is_none() => break,
            (None, ' ') => words.extend(word.take()),
            (None, symbol) => word.get_or_insert_default().push(symbol),
        }
    }
    words.extend(word);
    words
}

/// The lines of a text that begin with the program.
fn examples(text: &str) -> Vec<Vec<String>> {
    let joined = text.replace("\\\n", " ");
    joined.lines().map(str::trim).filter(|line| line.starts_with("ringback ")).map(words).collect()
}

fn help_texts(command: &Command, found: &mut Vec<String>) {
    found.extend(command.get_after_help().map(ToString::to_string));
    command.get_subcommands().for_each(|subcommand| help_texts(subcommand, found));
}

fn document() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/command-line.md");
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn every_example_of_the_help_and_of_the_documentation_is_understood() {
    let mut texts = vec![document()];
    help_texts(&Cli::command(), &mut texts);
    let examples: Vec<_> = texts.iter().flat_map(|text| examples(text)).collect();
    assert!(examples.len() > 100, "{}", examples.len());
    for example in examples {
        if let Err(error) = Cli::try_parse_from(&example) {
            panic!("{example:?}: {error}");
        }
    }
}

fn leaves(command: &Command, path: &[&str], found: &mut Vec<String>) {
    let path = [path, &[command.get_name()]].concat();
    if !command.has_subcommands() {
        found.push(path.join(" "));
    }
    command.get_subcommands().for_each(|subcommand| leaves(subcommand, &path, found));
}

#[test]
fn the_documentation_has_an_example_of_every_command() {
    let examples: Vec<String> = examples(&document()).iter().map(|words| words.join(" ")).collect();
    let mut commands = Vec::new();
    leaves(&Cli::command(), &[], &mut commands);
    commands.retain(|command| !examples.iter().any(|example| example.starts_with(command)));
    assert_eq!(commands, Vec::<String>::new());
}
