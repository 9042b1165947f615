//! The WebDriver protocol, as far as these tests need it: a driver's process and the calls of one session.
//!
//! Our own and not a crate's: those that there are bring a second HTTP client, and one switches on a feature of
//! `serde_json` for the whole build, so that the engine under test would not be the one that is shipped.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};
use ureq::http;

use crate::requirements::missing_for;

const REQUIRE: &str = "RINGBACK_REQUIRE_BROWSER";
/// Starts the driver and ends it, with the browsers that it started, when standard input is closed: however the
/// tests end, that happens.
const GUARD: &str = "chromedriver --port=0 </dev/null & read -r _; kill $!; wait; kill -KILL 0";
/// How the protocol names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// What a call did not do.
#[derive(Debug)]
pub struct Failure {
    pub error: String,
    pub message: String,
}

struct Driver {
    address: String,
    /// Holds the guard's standard input open.
    _guard: Child,
}

/// The one of all tests; `None` where there is none.
fn driver() -> Option<&'static Driver> {
    static DRIVER: OnceLock<Option<Driver>> = OnceLock::new();
    DRIVER.get_or_init(start).as_ref()
}

fn start() -> Option<Driver> {
    for program in ["chromedriver", "chromium"] {
        let answer = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !answer.is_ok_and(|status| status.success()) {
            missing_for(REQUIRE, program);
            return None;
        }
    }
    use std::os::unix::process::CommandExt;
    let mut command = Command::new("sh");
    command.args(["-c", GUARD]).process_group(0);
    let mut guard = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(guard.stdout.take().unwrap()).lines();
    let port = loop {
        let line = lines.next().expect("the driver ended before it said its port").unwrap();
        if let Some(port) = line.strip_prefix("ChromeDriver was started successfully on port ") {
            break port.trim_end_matches('.').to_owned();
        }
    };
    // what it says later must not fill the pipe
    std::thread::spawn(move || lines.for_each(drop));
    Some(Driver { address: format!("http://127.0.0.1:{port}"), _guard: guard })
}

/// One browser. It is ended when this is dropped.
pub struct Session {
    agent: ureq::Agent,
    address: String,
}

impl Session {
    /// Starts a browser with these options of Chromium's; `None` where there is none.
    pub fn start(options: &Value) -> Option<Self> {
        let driver = driver()?;
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let agent = config.timeout_global(Some(Duration::from_secs(60))).build().new_agent();
        let mut session = Self { agent, address: format!("{}/session", driver.address) };
        let capabilities = json!({
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"},
        });
        let started = session.call("POST", "", &json!({"capabilities": {"alwaysMatch": capabilities}})).unwrap();
        session.address = format!("{}/{}", session.address, started["sessionId"].as_str().unwrap());
        Some(session)
    }

    /// One call of the protocol.
    pub fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value, Failure> {
        let request = http::Request::builder().method(method).uri(format!("{}{path}", self.address));
        let answer = match method {
            "POST" => self.agent.run(request.body(body.to_string()).unwrap()),
            _ => self.agent.run(request.body(()).unwrap()),
        };
        let mut answer = answer.unwrap();
        let text = answer.body_mut().with_config().limit(64 << 20).read_to_string().unwrap();
        let mut said: Value = serde_json::from_str(&text).unwrap();
        let value = said["value"].take();
        if answer.status().is_success() {
            return Ok(value);
        }
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        Err(Failure { error: text("error"), message: text("message") })
    }

    /// A command of the DevTools protocol.
    pub fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.call("POST", "/goog/cdp/execute", &json!({"cmd": command, "params": parameters})).unwrap()
    }

    /// Runs a script in the page; what it returns, or what its promise becomes.
    pub fn script(&self, source: &str, arguments: &Value) -> Result<Value, Failure> {
        self.call("POST", "/execute/sync", &json!({"script": source, "args": arguments}))
    }

    /// The elements that there are now.
    pub fn find(&self, using: &str, value: &str) -> Result<Vec<Element<'_>>, Failure> {
        let found = self.call("POST", "/elements", &json!({"using": using, "value": value}))?;
        let id = |element: &Value| element[ELEMENT].as_str().unwrap().to_owned();
        Ok(found.as_array().unwrap().iter().map(|it| Element { session: self, id: id(it) }).collect())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // it may be gone already; its guard ends it then
        let _ = self.call("DELETE", "", &Value::Null);
    }
}

/// A part of a page.
pub struct Element<'a> {
    session: &'a Session,
    id: String,
}

impl Element<'_> {
    fn call(&self, method: &str, what: &str, body: &Value) -> Result<Value, Failure> {
        self.session.call(method, &format!("/element/{}/{what}", self.id), body)
    }

    pub fn is_displayed(&self) -> Result<bool, Failure> {
        Ok(self.call("GET", "displayed", &Value::Null)?.as_bool().unwrap())
    }

    pub fn click(&self) -> Result<(), Failure> {
        self.call("POST", "click", &json!({})).map(drop)
    }

    /// Types into it what is to stand there.
    pub fn fill(&self, text: &str) -> Result<(), Failure> {
        self.call("POST", "clear", &json!({}))?;
        self.type_in(text)
    }

    pub fn type_in(&self, text: &str) -> Result<(), Failure> {
        self.call("POST", "value", &json!({"text": text})).map(drop)
    }

    /// For a script's arguments.
    pub fn reference(&self) -> Value {
        json!({ELEMENT: self.id})
    }
}
