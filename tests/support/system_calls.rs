//! The system calls of an engine, in their order, as `strace` writes them down.
//!
//! strace stops a thread before a call begins and after it ended, and writes a line each time, or one line when nothing
//! came between. A call that begins because another one ended is therefore in a later line: the order of lines is
//! enough, no clock is compared.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::engine::{Engine, Serve, eventually};
use crate::requirements;

/// Whether strace is installed and may trace here; if not, prints a message to standard error.
pub fn can_trace() -> bool {
    let tried = Command::new("strace").args(["-D", "-f", "--seccomp-bpf", "-o", "/dev/null", "true"]).output();
    let works = tried.is_ok_and(|tried| tried.status.success());
    if !works {
        requirements::missing("strace (5.3 or newer, and the right to trace)");
    }
    works
}

/// A log of calls that is being written.
pub struct Trace(PathBuf);

/// Lets the engine be traced. Only these calls stop it.
pub fn traced(serve: Serve, folder: &Path, calls: &str) -> (Serve, Trace) {
    let log = folder.join("system-calls.log");
    let (only, path) = (format!("trace={calls}"), log.to_str().unwrap());
    // -D: the engine stays our child; -yy: descriptors by name; -s: whole pages and messages
    let strace = ["strace", "-D", "-f", "-q", "--seccomp-bpf", "-yy", "-s", "200000", "-e", &only, "-o", path];
    (serve.under(&strace), Trace(log))
}

/// One call. Its data are still as strace writes them.
#[derive(Debug)]
pub struct Call {
    pub name: String,
    /// The descriptor's number and what it is open on.
    pub descriptor: String,
    /// All arguments and, once it has ended, what they and the result became.
    pub text: String,
    /// Its place among all beginnings and ends.
    pub began: usize,
    /// `None` when the engine ended before.
    pub ended: Option<usize>,
}

impl Trace {
    /// Every call, in the order in which they began, once the engine has ended.
    pub fn of_ended(self, engine: &mut Engine) -> Vec<Call> {
        let pid = engine.pid().to_string();
        engine.end();
        let read = || {
            let log = String::from_utf8_lossy(&std::fs::read(&self.0).unwrap()).into_owned();
            let is_end = |line: &str| line.split_whitespace().take(2).eq([pid.as_str(), "+++"]);
            let is_over = log.lines().rev().take(50).any(is_end);
            is_over.then_some(log)
        };
        parse(&eventually("strace has written down the engine's end", read))
    }
}

fn parse(log: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut unfinished: HashMap<&str, usize> = HashMap::new();
    for (place, line) in log.lines().enumerate() {
        let (thread, rest) = line.split_once(' ').unwrap();
        let rest = rest.trim_start();
        if rest.starts_with(['+', '-']) {
            continue;
        }
        if rest.starts_with("<... ") {
            let Some(call) = unfinished.remove(thread).map(|index| &mut calls[index]) else { continue };
            call.text.push_str(rest);
            call.ended = Some(place);
            continue;
        }
        let (name, arguments) = rest.split_once('(').unwrap();
        let end = [">,", ">)", "> "].iter().filter_map(|end| arguments.find(end)).min().map_or(0, |end| end + 1);
        let is_unfinished = rest.ends_with("<unfinished ...>");
        if is_unfinished {
            unfinished.insert(thread, calls.len());
        }
        calls.push(Call {
            name: name.to_owned(),
            descriptor: arguments[..end].to_owned(),
            text: rest.to_owned(),
            began: place,
            ended: (!is_unfinished).then_some(place),
        });
    }
    calls
}
