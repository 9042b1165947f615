//! What a person does with a page: opens it, reads it, clicks and types. Everything waits for what it needs.

use std::sync::{Condvar, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::site::Site;
use crate::webdriver::{Element, Failure, Session};

/// Bounds every wait.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);
/// Browsers at a time.
const AT_ONCE: u32 = 2;
/// Of a desk and of a phone.
pub(crate) const WIDTHS: [u32; 2] = [1280, 390];
/// At which everything fits: also those of a small desk and of a tablet.
pub(crate) const ALL_WIDTHS: [u32; 4] = [1280, 1024, 800, 390];
const HEIGHT: u32 = 900;
/// As the cookie and the chooser call them.
pub(crate) const THEMES: [&str; 2] = ["light", "dark"];

static RUNNING: Mutex<u32> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

/// A permit for one more browser.
struct Turn;

impl Turn {
    fn take() -> Self {
        let mut running = RUNNING.lock().unwrap();
        while *running == AT_ONCE {
            running = ENDED.wait(running).unwrap();
        }
        *running += 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *RUNNING.lock().unwrap() -= 1;
        ENDED.notify_one();
    }
}

/// How to find a part of a page.
#[derive(Debug, Clone)]
pub(crate) struct By(&'static str, String);

pub(crate) fn css(selector: impl Into<String>) -> By {
    By("css selector", selector.into())
}

fn xpath(path: String) -> By {
    By("xpath", path)
}

/// By what stands on it.
pub(crate) fn button(name: &str) -> By {
    xpath(format!(
        "//button[normalize-space()='{name}' or @aria-label='{name}' or span[normalize-space()='{name}']]"
    ))
}

pub(crate) fn link(name: &str) -> By {
    xpath(format!("//a[normalize-space()='{name}']"))
}

/// The control whose label begins with this.
pub(crate) fn field(label: &str) -> By {
    let label = format!("//label[starts-with(normalize-space(),'{label}')]");
    xpath(format!("//*[@id={label}/@for] | {label}//*[self::input or self::select or self::textarea]"))
}

/// A browser with a profile of its own.
pub(crate) struct Browser {
    session: Session,
    address: String,
    /// What it may write into its log, as of answers that are meant to be errors.
    expected: Mutex<Vec<String>>,
    _profile: TempDir,
    _turn: Turn,
}

impl Browser {
    /// On a site, not signed in; `None` where there is no browser.
    pub(crate) fn on(site: &Site) -> Option<Self> {
        Self::with(site, &json!({}))
    }

    /// One that runs no scripts.
    pub(crate) fn without_scripts(site: &Site) -> Option<Self> {
        Self::with(site, &json!({"profile.managed_default_content_settings.javascript": 2}))
    }

    /// One that keeps no cookies of frames of other sites, except each frame's own for itself.
    pub(crate) fn without_cookies_of_other_sites(site: &Site) -> Option<Self> {
        Self::with(site, &json!({"profile.cookie_controls_mode": 1}))
    }

    fn with(site: &Site, preferences: &Value) -> Option<Self> {
        let turn = Turn::take();
        let profile = tempfile::Builder::new().prefix("ringback-browser-").tempdir().unwrap();
        let profile_argument = format!("--user-data-dir={}", profile.path().display());
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--force-prefers-reduced-motion",
            "--no-first-run",
            "--no-proxy-server",
            "--disable-background-networking",
            "--disable-component-update",
            &profile_argument,
        ];
        let session = Session::start(&json!({"args": arguments, "prefs": preferences}))?;
        let browser = Self {
            session,
            address: site.address(),
            expected: Mutex::new(vec!["status of 422".to_owned()]),
            _profile: profile,
            _turn: turn,
        };
        browser.resize(WIDTHS[0]);
        Some(browser)
    }

    /// Makes the window this wide.
    pub(crate) fn resize(&self, width: u32) {
        self.resize_to(width, HEIGHT);
    }

    fn resize_to(&self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", size);
    }

    pub(crate) fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.session.devtools(command, parameters)
    }

    /// Says that a complaint with this in it is meant to come.
    pub(crate) fn expect(&self, complaint: &str) {
        self.expected.lock().unwrap().push(complaint.to_owned());
    }

    /// Goes to a page and waits until it is there.
    pub(crate) fn open(&self, path: &str) {
        let url = if path.starts_with('/') { format!("{}{path}", self.address) } else { path.to_owned() };
        self.session.call("POST", "/url", &json!({"url": url})).unwrap();
    }

    /// The path and query of the page that is open.
    pub(crate) fn path(&self) -> String {
        let url = self.session.call("GET", "/url", &Value::Null).unwrap();
        let url = url.as_str().unwrap();
        url.strip_prefix(&self.address).unwrap_or(url).to_owned()
    }

    /// Waits until the page's path begins with this.
    pub(crate) fn arrive(&self, path: &str) {
        self.eventually(&format!("the page {path}"), || Ok(self.path().starts_with(path).then_some(())));
    }

    /// Asks again and again; fails with what the page shows when there is no answer in a time that is never needed.
    pub(crate) fn eventually<T>(&self, what: &str, mut ask: impl FnMut() -> Result<Option<T>, Failure>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = ask();
            if let Ok(Some(answer)) = answer {
                return answer;
            }
            if Instant::now() > deadline {
                let why = answer.err().map(|failure| format!(" ({}: {})", failure.error, failure.message));
                let why = why.unwrap_or_default();
                let (page, text, log) = (self.path(), self.text_now(), self.complaints());
                panic!("not within {PATIENCE:?}: {what}{why}; the browser's log: {log:#?}; {page} shows:\n{text}");
            }
            sleep(POLL);
        }
    }

    /// Runs a script in the page.
    pub(crate) fn script(&self, source: &str, arguments: &Value) -> Value {
        match self.session.script(source, arguments) {
            Ok(value) => value,
            Err(failure) => panic!("{}: {}", failure.error, failure.message),
        }
    }

    /// What a script's expression is.
    pub(crate) fn value(&self, expression: &str) -> Value {
        self.script(&format!("return {expression}"), &json!([]))
    }

    fn text_now(&self) -> String {
        let text = self.session.script("return document.body.innerText", &json!([]));
        text.ok().and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// Waits until the page shows this.
    pub(crate) fn sees(&self, text: &str) {
        self.eventually(&format!("the text {text:?}"), || Ok(self.text_now().contains(text).then_some(())));
    }

    /// Waits until the page shows it no more.
    pub(crate) fn sees_no(&self, text: &str) {
        self.eventually(&format!("no {text:?}"), || Ok((!self.text_now().contains(text)).then_some(())));
    }

    fn displayed(&self, by: &By) -> Result<Option<Element<'_>>, Failure> {
        for element in self.session.find(by.0, &by.1)? {
            if element.is_displayed()? {
                return Ok(Some(element));
            }
        }
        Ok(None)
    }

    /// Does something with the first displayed one, again while the page changes under it.
    fn with_element<T>(&self, by: &By, act: impl Fn(&Element<'_>) -> Result<T, Failure>) -> T {
        self.eventually(&format!("{by:?}"), || match self.displayed(by)? {
            Some(element) => act(&element).map(Some),
            None => Ok(None),
        })
    }

    /// In the middle of the window, where no bar at an edge of it is in the way.
    pub(crate) fn click(&self, by: &By) {
        let centre = "arguments[0].scrollIntoView({ block: 'center', inline: 'nearest' })";
        self.with_element(by, |element| {
            self.session.script(centre, &json!([element.reference()]))?;
            element.click()
        });
    }

    /// Types into a field what is to stand there.
    pub(crate) fn fill(&self, by: &By, text: &str) {
        self.with_element(by, |element| element.fill(text));
    }

    /// Types without clearing: chooses in a select too.
    pub(crate) fn type_in(&self, by: &By, text: &str) {
        self.with_element(by, |element| element.type_in(text));
    }

    /// From here on, what is asked is about the page in this frame.
    pub(crate) fn enter_frame(&self, by: &By) {
        self.with_element(by, |element| self.session.call("POST", "/frame", &json!({"id": element.reference()})));
    }

    /// And again about the page around it.
    pub(crate) fn leave_frame(&self) {
        self.session.call("POST", "/frame", &json!({"id": null})).unwrap();
    }

    /// Presses a key where the focus is.
    pub(crate) fn press(&self, key: &str) {
        let presses = json!([{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]);
        let actions = json!({"actions": [{"type": "key", "id": "keyboard", "actions": presses}]});
        self.session.call("POST", "/actions", &actions).unwrap();
    }

    /// Waits for it, and gives what a script says about it: `it` is the element.
    pub(crate) fn ask(&self, by: &By, expression: &str) -> Value {
        let script = format!("const it = arguments[0]; return {expression}");
        self.with_element(by, |element| self.session.script(&script, &json!([element.reference()])))
    }

    /// Its text.
    pub(crate) fn text(&self, by: &By) -> String {
        self.ask(by, "it.innerText").as_str().unwrap().trim().to_owned()
    }

    /// Waits until there is one that is displayed.
    pub(crate) fn has(&self, by: &By) {
        self.with_element(by, |_| Ok(()));
    }

    /// Waits until its text has this.
    pub(crate) fn reads(&self, by: &By, text: &str) {
        self.eventually(&format!("{text:?} in {by:?}"), || {
            let shown = self
                .displayed(by)?
                .map(|it| self.session.script("return arguments[0].innerText", &json!([it.reference()])));
            Ok(shown
                .transpose()?
                .filter(|shown| shown.as_str().is_some_and(|shown| shown.contains(text)))
                .map(drop))
        });
    }

    /// How many there are.
    pub(crate) fn count(&self, by: &By) -> usize {
        self.session.find(by.0, &by.1).unwrap().len()
    }

    /// Signs in with a key.
    pub(crate) fn sign_in(&self, key: &str) {
        self.open("/sign-in");
        self.fill(&field("API key"), key);
        self.click(&button("Sign in"));
        self.has(&button("Sign out"));
    }

    /// Lets the page's scripts write to the clipboard, and the tests read it.
    pub(crate) fn allow_the_clipboard(&self) {
        let permissions = json!(["clipboardReadWrite", "clipboardSanitizedWrite"]);
        self.devtools("Browser.grantPermissions", json!({"permissions": permissions, "origin": self.address}));
    }

    /// Chooses a theme as its reader does; where there is no choice, as before a sign-in, by what it leads to.
    pub(crate) fn choose_theme(&self, theme: &str) {
        self.script(
            "const [theme] = arguments, it = document.getElementById('theme'); \
             if (!it) { document.documentElement.dataset.theme = theme; return } \
             it.value = theme; it.dispatchEvent(new Event('change', { bubbles: true }))",
            &json!([theme]),
        );
    }

    /// Fails when the page is wider than its window, when a part of it has to be scrolled sideways to be seen (but code as
    /// it is written), or when a control is cut off.
    pub(crate) fn fits(&self) {
        let found = self.script(include_str!("fits.js"), &json!([]));
        assert_eq!(found, json!([]), "{} does not fit into {}", self.path(), self.value("innerWidth"));
    }

    /// Fails when the browser complained since the last time: of a script, of the policy, of a file that is missing.
    pub(crate) fn has_no_complaints(&self) {
        let complaints = self.complaints();
        assert!(complaints.is_empty(), "the browser's log: {complaints:#?}");
    }

    fn complaints(&self) -> Vec<String> {
        let log = self.session.call("POST", "/se/log", &json!({"type": "browser"})).unwrap();
        let expected = self.expected.lock().unwrap();
        let is_expected = |message: &str| expected.iter().any(|it| message.contains(it));
        let is_serious = |it: &&Value| matches!(it["level"].as_str(), Some("SEVERE" | "WARNING"));
        let log = log.as_array().unwrap().iter().filter(is_serious);
        let messages = log.map(|it| it["message"].as_str().unwrap());
        messages.filter(|message| !is_expected(message)).map(str::to_owned).collect()
    }

    /// A picture of the page as PNG: its whole height, but no more than this.
    pub(crate) fn picture(&self, width: u32, at_most: u32) -> Vec<u8> {
        let height = self.value("document.documentElement.scrollHeight").as_u64().unwrap();
        self.resize_to(width, u32::try_from(height).unwrap().clamp(HEIGHT, at_most));
        let picture = self.devtools("Page.captureScreenshot", json!({"format": "png"}));
        self.resize(width);
        data_encoding::BASE64.decode(picture["data"].as_str().unwrap().as_bytes()).unwrap()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.has_no_complaints();
        }
    }
}
