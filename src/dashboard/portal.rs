//! The look of a product: what customers see who come by a sign-in link, instead of ours.

use actix_web::http::header::HeaderValue;
use bytes::Bytes;
use maud::{Markup, html};

use super::accent;
use super::assets::address;
use super::response::policy_in_frames_of;
use crate::config::{AccentColor, PortalSettings};

/// Of the mark in a browser's tab, when the product has neither logo nor colour.
const NO_COLOR: AccentColor = AccentColor([0x56, 0x61, 0x76]);
/// What the dashboard is called when the product has no name.
const NO_NAME: &str = "Webhooks";

/// How a product looks.
#[derive(Debug)]
pub struct Portal {
    name: Option<String>,
    logo: Option<PortalFile>,
    icon: Option<PortalFile>,
    style: Option<PortalFile>,
    /// The policy of pages that may be shown in its frames.
    frames: Option<HeaderValue>,
}

impl Default for Portal {
    fn default() -> Self {
        Self::new(&PortalSettings::default())
    }
}

/// Made or read at the start.
#[derive(Debug)]
pub(crate) struct PortalFile {
    name: &'static str,
    pub content_type: &'static str,
    pub bytes: Bytes,
    /// The address, which contains a hash of the content.
    pub path: String,
}

impl PortalFile {
    fn new(name: &'static str, content_type: &'static str, bytes: Bytes) -> Self {
        Self { path: address(name, &bytes), name, content_type, bytes }
    }
}

impl Portal {
    /// As the settings say.
    pub fn new(settings: &PortalSettings) -> Self {
        let logo = settings.logo.as_ref();
        let logo = logo.map(|logo| PortalFile::new("logo", logo.content_type, logo.bytes.clone()));
        let style = settings.accent_color.map(|color| {
            PortalFile::new("accent.css", "text/css; charset=utf-8", Bytes::from(accent::style(color)))
        });
        let icon = match logo {
            Some(_) => None,
            None => {
                let color = settings.accent_color.unwrap_or(NO_COLOR);
                let mark = format!(
                    "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 32 32\"><circle cx=\"16\" cy=\"16\" r=\"13\" fill=\"{color}\"/></svg>"
                );
                Some(PortalFile::new("mark.svg", "image/svg+xml", Bytes::from(mark)))
            }
        };
        Self {
            name: settings.name.clone(),
            logo,
            icon,
            style,
            frames: policy_in_frames_of(&settings.frame_ancestors),
        }
    }

    /// What the dashboard is called here.
    pub(crate) fn brand(&self) -> &str {
        self.name.as_deref().unwrap_or(NO_NAME)
    }

    /// The product, in a sentence.
    pub(crate) fn product(&self) -> &str {
        self.name.as_deref().unwrap_or("where you came from")
    }

    pub(crate) fn heading(&self) -> Markup {
        html! {
            // the name stands beside it
            @if let Some(logo) = &self.logo { img.logo src=(logo.path) alt=""; }
            (self.brand())
        }
    }

    /// What goes into the head of a page, after our style sheet.
    pub(crate) fn head(&self) -> Markup {
        html! {
            @if let Some(icon) = self.logo.as_ref().or(self.icon.as_ref()) {
                link rel="icon" type=(icon.content_type) href=(icon.path);
            }
            @if let Some(style) = &self.style { link rel="stylesheet" href=(style.path); }
        }
    }

    /// The policy of pages in its frames; `None`: it may have none.
    pub(crate) fn frames(&self) -> Option<&HeaderValue> {
        self.frames.as_ref()
    }

    /// The file of this name, whatever hash it was requested with.
    pub(crate) fn find(&self, name: &str) -> Option<&PortalFile> {
        [&self.logo, &self.icon, &self.style].into_iter().flatten().find(|file| file.name == name)
    }
}
