//! Tests that can run for long: short in `cargo test`, as long as a variable says otherwise, with progress and a
//! summary.

use std::io::{IsTerminal, Write};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

/// A number of rounds that is being gone through.
pub struct LongRun {
    name: &'static str,
    rounds: u64,
    bar: ProgressBar,
    started: Instant,
}

impl LongRun {
    /// As many rounds as the variable says, or `short`.
    pub fn new(name: &'static str, variable: &str, short: u64) -> Self {
        let rounds = std::env::var(variable).map_or(short, |given| {
            given.parse().unwrap_or_else(|_| panic!("{variable} expects a number of rounds, got `{given}`"))
        });
        let bar = if rounds > short { ProgressBar::new(rounds) } else { ProgressBar::hidden() };
        let template = "{msg} {wide_bar} {pos}/{len}, {eta} left";
        bar.set_style(ProgressStyle::with_template(template).expect("the template is written above"));
        bar.set_message(name);
        Self { name, rounds, bar, started: Instant::now() }
    }

    pub fn rounds(&self) -> u64 {
        self.rounds
    }

    /// One round is over; without a terminal every tenth part of them is said in a line.
    pub fn step(&self) {
        self.bar.inc(1);
        let (done, tenth) = (self.bar.position(), (self.rounds / 10).max(1));
        if !self.bar.is_hidden() || std::io::stderr().is_terminal() || done % tenth != 0 {
            return;
        }
        // not eprintln: the test harness would keep that to itself while the tests pass
        let _ = writeln!(
            std::io::stderr(),
            "{}: {done} of {} after {:?}",
            self.name,
            self.rounds,
            self.started.elapsed()
        );
    }

    /// Says what was measured, to whoever looks (`--nocapture`, or a failure).
    pub fn finish(self, measured: &str) {
        self.bar.finish_and_clear();
        println!("measured: {}: {} rounds in {:?}: {measured}", self.name, self.rounds, self.started.elapsed());
    }
}
