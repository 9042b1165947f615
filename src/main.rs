//! The `ringback` program.

mod cli;

use std::process::ExitCode;

/// glibc's allocator keeps freed megabytes in the arena of each thread: with events of 10 MiB the process grew to four
/// times the size of its live data. This allocator returns large blocks as soon as they are freed, and small ones after a
/// while.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match cli::Cli::read().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            cli::print_error(&format!("error: {}", with_causes(&error)));
            ExitCode::FAILURE
        }
    }
}

/// The error followed by its causes. A cause is left out when the text before it contains it already, as many errors do.
fn with_causes(error: &anyhow::Error) -> String {
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
    fn a_cause_is_printed_once() {
        let cause = || anyhow::anyhow!("disk full");
        assert_eq!(with_causes(&cause().context("can't store")), "can't store: disk full");
        assert_eq!(with_causes(&cause().context("can't store: disk full")), "can't store: disk full");
    }
}
