//! Where the engine's binary is.

use std::path::PathBuf;
use std::sync::LazyLock;

/// The binary that Cargo builds before it runs a test crate: next to the folder with the crate's own binary. (Only a
/// test crate itself is compiled with the path, as `CARGO_BIN_EXE_ringback`.)
pub static RINGBACK: LazyLock<PathBuf> = LazyLock::new(|| {
    let this = std::env::current_exe().expect("the path of a test's binary");
    let folder = this.parent().and_then(|deps| deps.parent()).expect("the folder of the profile");
    folder.join("ringback")
});
