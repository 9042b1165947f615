//! A driver's process, and the calls of one session with it: `fantoccini`, waited for.
//!
//! Not `thirtyfour`: it switches on a feature of `serde_json` for the whole build, so that the engine under test would not
//! be the one that is shipped.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use fantoccini::error::CmdError;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder};
use http::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use test_support::requirements::missing_for;
use tokio::runtime::Runtime;
use url::{ParseError, Url};

const REQUIRE: &str = "RINGBACK_REQUIRE_BROWSER";
/// Starts the driver and ends it, with the browsers that it started, when standard input is closed: however the
/// tests end, that happens.
const GUARD: &str = "chromedriver --port=0 </dev/null & read -r _; kill $!; wait; kill -KILL 0";
/// What a call may take. The slowest starts a browser, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(60);
/// How the protocol names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// What a call did not do.
#[derive(Debug)]
pub(crate) struct Failure {
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

/// A call by its path below the session, for what `fantoccini` has no function for.
#[derive(Debug)]
struct Call {
    path: String,
    /// Of a POST; without one it is a GET.
    body: Option<String>,
}

impl WebDriverCompatibleCommand for Call {
    fn endpoint(&self, base_url: &Url, session_id: Option<&str>) -> Result<Url, ParseError> {
        base_url.join(&format!("session/{}{}", session_id.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        let method = if self.body.is_some() { Method::POST } else { Method::GET };
        (method, self.body.clone())
    }
}

/// One browser. It is ended when this is dropped.
pub(crate) struct Session {
    runtime: Runtime,
    /// Taken when it ends.
    client: Option<Client>,
}

impl Session {
    /// Starts a browser with these options of Chromium's; `None` where there is none.
    pub(crate) fn start(options: &Value) -> Option<Self> {
        let driver = driver()?;
        let capabilities = json!({
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"},
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities.as_object().unwrap().clone());
        let client = runtime.block_on(builder.connect(&driver.address)).unwrap();
        Some(Self { runtime, client: Some(client) })
    }

    /// One call of the protocol.
    pub(crate) fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value, Failure> {
        let client = self.client.as_ref().unwrap();
        let body = (method == "POST").then(|| body.to_string());
        let call = client.issue_cmd(Call { path: path.to_owned(), body });
        let answer = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, call).await });
        answer.expect("the driver does not answer").map_err(|error| match error {
            CmdError::Standard(said) => {
                Failure { error: said.error.to_string(), message: said.message.into_owned() }
            }
            other => panic!("{other}"),
        })
    }

    /// A command of the DevTools protocol.
    pub(crate) fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.call("POST", "/goog/cdp/execute", &json!({"cmd": command, "params": parameters})).unwrap()
    }

    /// Runs a script in the page; what it returns, or what its promise becomes.
    pub(crate) fn script(&self, source: &str, arguments: &Value) -> Result<Value, Failure> {
        self.call("POST", "/execute/sync", &json!({"script": source, "args": arguments}))
    }

    /// The elements that there are now.
    pub(crate) fn find(&self, using: &str, value: &str) -> Result<Vec<Element<'_>>, Failure> {
        let found = self.call("POST", "/elements", &json!({"using": using, "value": value}))?;
        let id = |element: &Value| element[ELEMENT].as_str().unwrap().to_owned();
        Ok(found.as_array().unwrap().iter().map(|it| Element { session: self, id: id(it) }).collect())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // it may be gone already; its guard ends it then
        if let Some(client) = self.client.take() {
            drop(self.runtime.block_on(async { tokio::time::timeout(PATIENCE, client.close()).await }));
        }
    }
}

/// A part of a page.
pub(crate) struct Element<'a> {
    session: &'a Session,
    id: String,
}

impl Element<'_> {
    fn call(&self, method: &str, what: &str, body: &Value) -> Result<Value, Failure> {
        self.session.call(method, &format!("/element/{}/{what}", self.id), body)
    }

    pub(crate) fn is_displayed(&self) -> Result<bool, Failure> {
        Ok(self.call("GET", "displayed", &Value::Null)?.as_bool().unwrap())
    }

    pub(crate) fn click(&self) -> Result<(), Failure> {
        self.call("POST", "click", &json!({})).map(drop)
    }

    /// Types into it what is to stand there.
    pub(crate) fn fill(&self, text: &str) -> Result<(), Failure> {
        self.call("POST", "clear", &json!({}))?;
        self.type_in(text)
    }

    pub(crate) fn type_in(&self, text: &str) -> Result<(), Failure> {
        self.call("POST", "value", &json!({"text": text})).map(drop)
    }

    /// For a script's arguments.
    pub(crate) fn reference(&self) -> Value {
        json!({ELEMENT: self.id})
    }
}
