//! The command line.

mod cli;

use std::process::ExitCode;

/// glibc's allocator keeps freed megabytes in the arena of each thread: with events of 10 MiB the process grew to four
/// times of what it held. This one gives large blocks back as soon as they are freed, and small ones after a while.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match cli::Cli::read().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            cli::complain(&format!("error: {}", told(&error)));
            ExitCode::FAILURE
        }
    }
}

/// The error with its causes, each of them once: many errors tell their cause's text themselves.
fn told(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let cause = || anyhow::anyhow!("disk full");
        assert_eq!(told(&cause().context("can't store")), "can't store: disk full");
        assert_eq!(told(&cause().context("can't store: disk full")), "can't store: disk full");
    }
}
