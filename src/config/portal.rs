//! The table `[portal]`: what customers see who come by a sign-in link.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use bytes::Bytes;
use url::{Host, Url};

use super::value::SettingValue;

/// Every page loads it. Smaller: a logo with a picture in it is refused. Larger: pages are slow on a phone.
const MAX_LOGO_BYTES: u64 = 256 * 1024;
/// They travel in a header of every page.
const MAX_FRAME_ANCESTORS: usize = 50;
/// Of the name of a product.
const MAX_NAME_CHARACTERS: usize = 100;
const SVG_NAMESPACE: &str = "http://www.w3.org/2000/svg";

/// What customers see who come by a sign-in link.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PortalSettings {
    /// Where their browsers reach the dashboard.
    pub public_url: Option<String>,
    /// The product's.
    pub name: Option<String>,
    /// The product's.
    pub logo: Option<Logo>,
    /// The product's.
    pub accent_color: Option<AccentColor>,
    /// Origins whose pages may show the dashboard in a frame.
    pub frame_ancestors: Vec<String>,
}

/// A picture, as it was in its file at the start.
#[derive(Clone, PartialEq, Eq)]
pub struct Logo {
    /// Of its file.
    pub path: PathBuf,
    /// By what is in it.
    pub content_type: &'static str,
    /// The file.
    pub bytes: Bytes,
}

impl fmt::Debug for Logo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {} bytes)", self.path.display(), self.content_type, self.bytes.len())
    }
}

/// Red, green and blue; shown as `#rrggbb`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccentColor(pub [u8; 3]);

impl fmt::Display for AccentColor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([red, green, blue]) = self;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

pub(super) fn public_url(value: &SettingValue) -> Result<String, String> {
    let text = value.text()?;
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
    let is_whole = url.is_some_and(|url| url.query().is_none() && url.fragment().is_none() && url.path() == "/");
    match is_whole {
        true => Ok(text.trim_end_matches('/').to_owned()),
        false => Err(format!("expects an address without a path, like https://hooks.example.com, got {text}")),
    }
}

pub(super) fn name(value: &SettingValue) -> Result<String, String> {
    let text = value.text()?.trim();
    let is_good =
        !text.is_empty() && text.chars().count() <= MAX_NAME_CHARACTERS && !text.chars().any(char::is_control);
    match is_good {
        true => Ok(text.to_owned()),
        false => Err(format!("expects 1 to {MAX_NAME_CHARACTERS} characters on one line")),
    }
}

pub(super) fn accent_color(value: &SettingValue) -> Result<AccentColor, String> {
    let text = value.text()?;
    let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6);
    let part = |at: usize| u8::from_str_radix(digits?.get(at..at + 2)?, 16).ok();
    let is_hex = digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    match (part(0), part(2), part(4)) {
        (Some(red), Some(green), Some(blue)) if is_hex => Ok(AccentColor([red, green, blue])),
        _ => Err(format!("expects a colour as # and six hexadecimal digits, like #0a7c5a, got `{text}`")),
    }
}

pub(super) fn logo(value: &SettingValue) -> Result<Logo, String> {
    let text = value.text()?;
    let path = PathBuf::from(text);
    // a pipe would keep the start waiting
    if !path.is_file() {
        return Err(format!("there is no file `{text}`"));
    }
    let mut bytes = Vec::new();
    File::open(&path)
        .and_then(|file| file.take(MAX_LOGO_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("the file `{text}` can't be read: {error}"))?;
    if bytes.len() as u64 > MAX_LOGO_BYTES {
        return Err(format!(
            "the file `{text}` has more than {} KiB; every page loads it: make it smaller",
            MAX_LOGO_BYTES / 1024
        ));
    }
    let content_type = content_type(&bytes).map_err(|why| {
        format!("the file `{text}` is {why}; save the logo as SVG (in UTF-8), PNG, JPEG or WebP, the name does not matter")
    })?;
    Ok(Logo { path, content_type, bytes: Bytes::from(bytes) })
}

/// By how the content begins; what says that it is XML must be a whole SVG, as browsers show nothing of a broken one.
fn content_type(bytes: &[u8]) -> Result<&'static str, String> {
    match bytes {
        [] => Err("empty".to_owned()),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Ok("image/png"),
        [0xff, 0xd8, 0xff, ..] => Ok("image/jpeg"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Ok("image/webp"),
        _ => {
            let text = std::str::from_utf8(bytes).map_err(|_| "none of the kinds that can be shown".to_owned())?;
            let text = text.trim_start_matches('\u{feff}');
            if !text.trim_start().starts_with('<') {
                return Err("none of the kinds that can be shown".to_owned());
            }
            let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
            let document = roxmltree::Document::parse_with_options(text, options)
                .map_err(|error| format!("no SVG that browsers show: {error}"))?;
            let root = document.root_element().tag_name();
            match (root.name(), root.namespace()) {
                ("svg", Some(SVG_NAMESPACE)) => Ok("image/svg+xml"),
                ("svg", _) => Err(format!("an SVG without xmlns=\"{SVG_NAMESPACE}\", which browsers don't show")),
                _ => Err("XML, but no SVG".to_owned()),
            }
        }
    }
}

pub(super) fn frame_ancestors(value: &SettingValue) -> Result<Vec<String>, String> {
    let mut origins = Vec::new();
    for item in value.items()? {
        let origin = origin(&item)?;
        if !origins.contains(&origin) {
            origins.push(origin);
        }
    }
    match origins.len() {
        ..=MAX_FRAME_ANCESTORS => Ok(origins),
        count => Err(format!("expects at most {MAX_FRAME_ANCESTORS} origins, got {count}")),
    }
}

/// An origin, as it may stand in a policy.
fn origin(text: &str) -> Result<String, String> {
    if text.contains('*') {
        return Err(format!(
            "expects each origin by its name, without `*`: whoever can put a page on any host that fits could frame the dashboard, got `{text}`"
        ));
    }
    let expected = || format!("expects origins like https://app.example.com, without a path, got `{text}`");
    let url = Url::parse(text).map_err(|_| expected())?;
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let is_nobodys = url.username().is_empty() && url.password().is_none();
    let is_in_policy = |host: &str| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
    // policies have no IPv6 addresses, and a `;` in a host would end ours
    if !is_bare || !is_nobodys || !url.host_str().is_some_and(is_in_policy) {
        return Err(expected());
    }
    let is_here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        _ => false,
    };
    match url.scheme() {
        "https" => Ok(url.origin().ascii_serialization()),
        "http" if is_here => Ok(url.origin().ascii_serialization()),
        "http" => Err(format!(
            "expects https://, as anyone on the way can change a page that comes by http:// (which is for localhost only), got `{text}`"
        )),
        _ => Err(expected()),
    }
}

#[cfg(test)]
#[path = "portal_tests.rs"]
mod tests;
