//! The style sheet, scripts and icon, built into the program. Their addresses contain a hash of their content, so
//! that browsers may cache them for ever and never use an outdated one.

use std::sync::LazyLock;

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha256};

pub(crate) struct Asset {
    name: &'static str,
    pub content_type: &'static str,
    pub bytes: &'static [u8],
    /// The address, which contains the hash.
    pub path: LazyLock<String>,
}

macro_rules! asset {
    ($file:literal, $content_type:literal) => {
        Asset {
            name: $file,
            content_type: $content_type,
            bytes: include_bytes!(concat!("assets/", $file)),
            path: LazyLock::new(|| address($file, include_bytes!(concat!("assets/", $file)))),
        }
    };
}

pub(crate) static STYLE: Asset = asset!("app.css", "text/css; charset=utf-8");
pub(crate) static SCRIPT: Asset = asset!("app.js", "text/javascript; charset=utf-8");
/// htmx 2.0.11 (0BSD): fragments of a page that are requested on their own.
pub(crate) static HTMX: Asset = asset!("htmx.min.js", "text/javascript; charset=utf-8");
/// idiomorph 0.8.0 (0BSD): swaps in only what changed, so that focus and selection survive.
pub(crate) static MORPH: Asset = asset!("idiomorph-ext.min.js", "text/javascript; charset=utf-8");
pub(crate) static ICON: Asset = asset!("icon.svg", "image/svg+xml");

static ALL: [&Asset; 5] = [&STYLE, &SCRIPT, &HTMX, &MORPH, &ICON];

/// With a hash of the content.
pub(super) fn address(name: &str, bytes: &[u8]) -> String {
    let hash = BASE64URL_NOPAD.encode(&Sha256::digest(bytes)[..9]);
    format!("/assets/{hash}/{name}")
}

/// The file of this name, whatever hash it was requested with.
pub(crate) fn find(name: &str) -> Option<&'static Asset> {
    ALL.iter().find(|asset| asset.name == name).copied()
}
