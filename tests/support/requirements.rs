//! Tools that tests need and that a machine may lack.

use std::io::{self, Write};

/// Set to 1 where a missing tool must fail the tests of faults instead of skipping them.
const FAULTS: &str = "RINGBACK_REQUIRE_FAULTS";

/// Prints that something is not tested here because `what` is missing; fails where it is required.
pub fn missing(what: &str) {
    missing_for(FAULTS, what);
}

/// Like [`missing`], for the tests that `variable` requires when it is 1.
pub fn missing_for(variable: &str, what: &str) {
    let message = format!("{what} is missing: tests that need it are SKIPPED");
    assert!(std::env::var(variable).as_deref() != Ok("1"), "{message}, and {variable}=1 requires it");
    // not eprintln: the test harness would keep that to itself while the tests pass
    let _ = writeln!(io::stderr(), "\n*** {message} ***\n");
}
