//! The real binary as a process: started on a free port, talked to over HTTP, stopped or killed.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::http;

use crate::binary::RINGBACK;

pub const ADMIN_KEY: &str = "admin-key-of-the-engine-tests";
pub const MASTER_KEY: &str = "bW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW0=";
/// Bounds every wait of the tests. Smaller: a delivery that failed once on a busy machine, and is tried again after a minute, fails
/// the test. Larger: a test that fails says so later.
pub const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(10);

/// Polls until there is a result; fails after a time that is far longer than any machine needs.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(POLL);
    }
}

/// A `ringback serve` to be started. Its environment holds only what is set here.
#[derive(Clone)]
pub struct Serve {
    folder: PathBuf,
    variables: Vec<(String, String)>,
    arguments: Vec<String>,
    wrapper: Vec<String>,
}

impl Serve {
    /// With no setting except a free port.
    pub fn bare(folder: &Path) -> Self {
        let (folder, variables, arguments, wrapper) = (folder.to_owned(), Vec::new(), Vec::new(), Vec::new());
        let serve = Self { folder, variables, arguments, wrapper };
        serve.set("RINGBACK_LISTEN", "127.0.0.1:0")
    }

    /// With keys, and with receivers on this machine allowed.
    pub fn new(folder: &Path, database_url: &str) -> Self {
        Self::bare(folder)
            .set("RINGBACK_DATABASE_URL", database_url)
            .set("RINGBACK_ADMIN_KEY", ADMIN_KEY)
            .set("RINGBACK_MASTER_KEY", MASTER_KEY)
            .set("RINGBACK_ALLOW_HTTP", "true")
            .set("RINGBACK_ALLOWED_NETWORKS", "127.0.0.0/8,::1/128")
            .set("RINGBACK_LOG", "warn")
    }

    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Under another program, which gets the engine's command line after its own arguments and executes it.
    pub fn under(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|&argument| argument.to_owned()).collect();
        self
    }

    fn command(&self) -> Command {
        let mut command = match self.wrapper.split_first() {
            Some((program, arguments)) => {
                let mut wrapped = Command::new(program);
                wrapped.args(arguments).arg(&*RINGBACK);
                wrapped
            }
            None => Command::new(&*RINGBACK),
        };
        command.arg("serve").args(&self.arguments).current_dir(&self.folder);
        command.env_clear().envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        command
    }

    /// Runs another command in the same environment, and waits for it to end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&*RINGBACK);
        command.args(arguments).current_dir(&self.folder);
        command.env_clear().envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// Starts it and waits for the line that announces that it takes requests.
    pub fn start(&self) -> Engine {
        let mut engine = self.spawn();
        engine.await_ready();
        engine
    }

    /// Starts it without waiting.
    pub fn spawn(&self) -> Engine {
        let log = self.folder.join("stderr.log");
        let stderr = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let mut child = self.command().stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let address = Arc::new(Mutex::new(SocketAddr::from(([127, 0, 0, 1], 0))));
        Engine { child, lines, log, greeting: Vec::new(), address, was_ready: false }
    }

    /// Starts it where it must refuse to start: waits for its end and returns its standard error.
    pub fn refusal(&self) -> String {
        let mut child = self.command().stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() < deadline => std::thread::sleep(POLL),
                None => {
                    child.kill().unwrap();
                    panic!("serve runs instead of refusing to start");
                }
            }
        };
        let said = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(!status.success(), "serve ended well instead of refusing to start: {said}");
        said
    }
}

/// A running engine; killed when it is dropped.
pub struct Engine {
    child: Child,
    lines: Receiver<String>,
    log: PathBuf,
    /// Standard output up to the line that announces that it takes requests.
    pub greeting: Vec<String>,
    address: Arc<Mutex<SocketAddr>>,
    was_ready: bool,
}

impl Engine {
    /// Waits up to `limit` for the line that announces that it takes requests; returns whether it came.
    pub fn is_ready_within(&mut self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        if self.was_ready {
            return true;
        }
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    if self.take(line) {
                        return true;
                    }
                }
                Err(_) => return false,
            }
        }
    }

    /// Keeps a line of its output; returns whether the engine is ready by now.
    fn take(&mut self, line: String) -> bool {
        let address = line.strip_prefix("ringback listening on http://").map(|it| it.parse().unwrap());
        self.greeting.push(line);
        if let Some(address) = address {
            *self.address.lock().unwrap() = address;
        }
        self.was_ready |= address.is_some();
        self.was_ready
    }

    /// Waits until it is ready.
    pub fn await_ready(&mut self) {
        while !self.was_ready {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|error| {
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                panic!("no readiness line ({error}); printed: {:?}; standard error:\n{log}", self.greeting)
            });
            self.take(line);
        }
    }

    /// A client with this key.
    pub fn api(&self, key: &str) -> Api {
        Api::new(self.address.clone(), key)
    }

    /// `kill -9`, and waits for the end.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Kills and restarts it; clients made before continue with the new process.
    pub fn kill_and_restart(&mut self, serve: &Serve) {
        self.kill();
        self.restart(serve);
    }

    /// Replaces a process that has ended, and waits until the new one is ready; clients continue with it.
    pub fn restart(&mut self, serve: &Serve) {
        self.replace(serve);
        self.await_ready();
    }

    /// Like [`Engine::restart`] without waiting.
    pub fn replace(&mut self, serve: &Serve) {
        let mut next = serve.spawn();
        next.address = self.address.clone();
        *self = next;
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its open files, as the system names them: paths, and `socket:[…]`.
    pub fn open_files(&self) -> Vec<String> {
        let folder = format!("/proc/{}/fd", self.child.id());
        let files = std::fs::read_dir(folder).unwrap().flatten();
        // one may be closed meanwhile
        files
            .filter_map(|file| std::fs::read_link(file.path()).ok())
            .map(|link| link.display().to_string())
            .collect()
    }

    /// How many sockets it has open.
    pub fn open_sockets(&self) -> usize {
        self.open_files().iter().filter(|file| file.starts_with("socket:")).count()
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    pub fn address(&self) -> SocketAddr {
        *self.address.lock().unwrap()
    }

    /// Its standard error so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until the process ends without being killed.
    pub fn end(&mut self) -> ExitStatus {
        eventually("the engine ends", || self.child.try_wait().unwrap())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // it may have ended already
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            eprintln!("the engine's standard error:\n{log}");
        }
    }
}

/// A client of the API.
#[derive(Clone)]
pub struct Api {
    address: Arc<Mutex<SocketAddr>>,
    key: String,
    agent: ureq::Agent,
}

impl Api {
    fn new(address: Arc<Mutex<SocketAddr>>, key: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(PATIENCE));
        Self { address, key: key.to_owned(), agent: config.build().new_agent() }
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    /// A client with another key.
    pub fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }

    /// One call; an error when no response came.
    pub fn try_call(&self, method: &str, path: &str, body: Option<&[u8]>) -> Result<Answer, ureq::Error> {
        let url = format!("http://{}{path}", self.address.lock().unwrap());
        let request = http::Request::builder()
            .method(method)
            .uri(url)
            .header("authorization", format!("Bearer {}", self.key));
        let response = match body {
            Some(body) => self.agent.run(request.body(body).unwrap())?,
            None => self.agent.run(request.body(()).unwrap())?,
        };
        read(response)
    }

    /// One call with an additional header.
    pub fn call_with_header(&self, method: &str, path: &str, body: &str, header: (&str, &str)) -> Answer {
        self.try_call_with_header(method, path, body, header).unwrap()
    }

    /// The same; an error when the engine ends meanwhile.
    pub fn try_call_with_header(
        &self,
        method: &str,
        path: &str,
        body: &str,
        header: (&str, &str),
    ) -> Result<Answer, ureq::Error> {
        self.try_call_with_headers(method, path, body, &[header])
    }

    /// The same with several.
    pub fn try_call_with_headers(
        &self,
        method: &str,
        path: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Result<Answer, ureq::Error> {
        let url = format!("http://{}{path}", self.address.lock().unwrap());
        let request = http::Request::builder()
            .method(method)
            .uri(url)
            .header("authorization", format!("Bearer {}", self.key));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        read(self.agent.run(request.body(body.as_bytes()).unwrap())?)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.try_call("GET", path, None).unwrap()
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.try_call("POST", path, Some(body.to_string().as_bytes())).unwrap()
    }

    /// The sum of a metric's samples whose labels hold `label`; 0 when there are none.
    pub fn metric(&self, name: &str, label: &str) -> f64 {
        let metrics = self.get("/metrics").expect(200).text;
        let samples = metrics.lines().filter_map(|line| line.strip_prefix(name));
        samples
            .filter(|rest| rest.starts_with(['{', ' ']) && rest.contains(label))
            .map(|rest| rest.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    }
}

/// A response of the API.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub text: String,
}

impl Answer {
    /// Fails unless the status is this one.
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A string field of a JSON object.
pub fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no text `{field}` in {value}"))
}

fn read(response: http::Response<ureq::Body>) -> Result<Answer, ureq::Error> {
    let (head, body) = response.into_parts();
    let text = body.into_with_config().limit(64 << 20).read_to_string()?;
    Ok(Answer { status: head.status.as_u16(), headers: head.headers, text })
}
