//! The engine that a run is made against: a running one, or one of our own on a temporary database.

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use awc::http::Method;
use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::LoadError;
use super::http::Http;
use super::publisher::EVENT_TYPE;
use super::receiver::HOOKS;

/// The line that `serve` prints once it takes requests (contract).
const READY: &str = "ringback listening on ";
/// A start on a large database takes a second; this is for machines that are busy.
const START_LIMIT: Duration = Duration::from_secs(60);
/// The longest that a webhook may take (contract); who hangs should hang for long.
const WEBHOOK_TIMEOUT_SECONDS: u64 = 30;
/// Few enough that nothing is delivered while a backlog piles up (contract: at least 0.01 a second).
const HELD_BACK_PER_SECOND: f64 = 0.01;

/// How a running engine lets us in.
#[derive(Debug, Clone)]
pub enum Access {
    /// Its admin key: organizations are made, and deleted in the end.
    Admin(String),
    /// An owner's or manager's key of an organization: webhooks are made in it, and deleted in the end.
    Organization(String),
}

/// Settings in the environment that an engine of our own gets too: what they change is to be measured.
const HANDED_ON: [&str; 2] = ["DELIVERY_", "LOG"];
/// The kernel counts processor time in hundredths of a second (`USER_HZ`, proc(5)).
const TICKS_A_SECOND: f64 = 100.0;

/// An engine that answers.
pub(crate) struct Engine {
    base: String,
    access: Access,
    http: Http,
    /// Of a process of our own.
    pid: Option<u32>,
}

/// An organization of a run.
pub(crate) struct Tenant {
    /// May publish and manage.
    pub key: String,
    /// `None` when it is not ours to delete.
    organization: Option<String>,
    webhooks: Vec<String>,
}

/// What a run needs of an engine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// How many.
    pub organizations: usize,
    /// Of each organization.
    pub webhooks: usize,
    /// Where receivers are.
    pub receivers: &'a str,
    /// Of each webhook; `None`: the engine's default.
    pub max_in_flight: Option<u32>,
    /// Next to nothing is delivered until they are released.
    pub held_back: bool,
}

/// What the engine says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Usage {
    /// Processor time, in seconds.
    pub cpu_seconds: f64,
    /// Resident memory, in bytes.
    pub resident_bytes: f64,
    /// Deliveries that wait.
    pub pending: f64,
    /// Endpoint supervisors alive.
    pub endpoints_active: f64,
}

#[derive(Deserialize)]
struct Created {
    id: String,
    #[serde(default)]
    key: String,
}

impl Engine {
    /// One that runs already.
    pub(crate) fn running(base: &str, access: Access) -> Self {
        Self { base: base.trim_end_matches('/').to_owned(), access, http: Http::default(), pid: None }
    }

    /// One of our own.
    pub(crate) fn own(process: &Process, own: &OwnEngine) -> Self {
        Self {
            pid: Some(process.child.id()),
            ..Self::running(&process.base, Access::Admin(own.admin_key.clone()))
        }
    }

    /// Its address.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Makes the organizations of a run, with their webhooks at these receivers.
    pub(crate) async fn make_tenants(&self, wanted: &Wanted<'_>) -> Result<Vec<Tenant>, LoadError> {
        let Wanted { organizations, webhooks, receivers, max_in_flight, held_back } = *wanted;
        let mut tenants = Vec::with_capacity(organizations);
        for organization in 0..organizations {
            let mut tenant = self.make_tenant(organization, organizations).await?;
            for webhook in 0..webhooks {
                let url = format!("{receivers}{HOOKS}/{}", organization * webhooks + webhook);
                let mut body = json!({"url": url, "events": [EVENT_TYPE], "timeout": WEBHOOK_TIMEOUT_SECONDS});
                if let Some(max_in_flight) = max_in_flight {
                    body["max_in_flight"] = json!(max_in_flight);
                }
                if held_back {
                    body["rate_limit"] = json!({"per_second": HELD_BACK_PER_SECOND, "burst": 1});
                }
                let created: Created = self.ask(Method::POST, "/v1/webhooks", &tenant.key, Some(&body)).await?;
                tenant.webhooks.push(created.id);
            }
            tenants.push(tenant);
        }
        Ok(tenants)
    }

    async fn make_tenant(&self, number: usize, of: usize) -> Result<Tenant, LoadError> {
        let admin = match &self.access {
            Access::Organization(key) if of == 1 => {
                return Ok(Tenant { key: key.clone(), organization: None, webhooks: Vec::new() });
            }
            Access::Organization(_) => {
                let text = "several organizations need the engine's admin key (--admin-key)";
                return Err(LoadError::Options(text.to_owned()));
            }
            Access::Admin(key) => key,
        };
        let name = json!({"name": format!("ringback load {number}")});
        let organization: Created = self.ask(Method::POST, "/v1/organizations", admin, Some(&name)).await?;
        let path = format!("/v1/organizations/{}/keys", organization.id);
        let key: Created =
            self.ask(Method::POST, &path, admin, Some(&json!({"name": "ringback load", "role": "owner"}))).await?;
        Ok(Tenant { key: key.key, organization: Some(organization.id), webhooks: Vec::new() })
    }

    /// Lets go what was held back.
    pub(crate) async fn release(&self, tenants: &[Tenant]) -> Result<(), LoadError> {
        for tenant in tenants {
            for webhook in &tenant.webhooks {
                let path = format!("/v1/webhooks/{webhook}");
                let _: Value =
                    self.ask(Method::PATCH, &path, &tenant.key, Some(&json!({"rate_limit": null}))).await?;
            }
        }
        Ok(())
    }

    /// Deletes what a run made.
    pub(crate) async fn remove(&self, tenants: &[Tenant]) -> Result<(), LoadError> {
        for tenant in tenants {
            match (&tenant.organization, &self.access) {
                (Some(organization), Access::Admin(admin)) => {
                    self.tell(Method::DELETE, &format!("/v1/organizations/{organization}"), admin).await?;
                }
                _ => {
                    for webhook in &tenant.webhooks {
                        self.tell(Method::DELETE, &format!("/v1/webhooks/{webhook}"), &tenant.key).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// What it says of itself; `None` when it shows its metrics elsewhere.
    pub(crate) async fn usage(&self) -> Option<Usage> {
        let url = format!("{}/metrics", self.base);
        let text = self.http.text(Method::GET, &url, None, None::<&()>).await.ok()?;
        let text = String::from_utf8_lossy(&text);
        let value = |name: &str| {
            let line =
                text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')))?;
            line.rsplit(' ').next()?.parse::<f64>().ok()
        };
        Some(Usage {
            // its own figure has whole seconds only
            cpu_seconds: self.pid.and_then(cpu_seconds).or_else(|| value("process_cpu_seconds_total"))?,
            resident_bytes: value("process_resident_memory_bytes")?,
            pending: value("ringback_deliveries_pending")?,
            endpoints_active: value("ringback_endpoints_active")?,
        })
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        key: &str,
        body: Option<&Value>,
    ) -> Result<T, LoadError> {
        self.http.json(method, &format!("{}{path}", self.base), Some(key), body).await
    }

    async fn tell(&self, method: Method, path: &str, key: &str) -> Result<(), LoadError> {
        self.http.text(method, &format!("{}{path}", self.base), Some(key), None::<&()>).await.map(drop)
    }
}

/// How an engine of our own is started.
#[derive(Debug, Clone)]
pub struct OwnEngine {
    /// The program.
    pub program: PathBuf,
    /// Where it works; also for its database, when that is SQLite.
    pub folder: PathBuf,
    /// Its database.
    pub database_url: String,
    /// Where it listens: the same after a restart.
    pub listen: SocketAddr,
    /// 32 bytes in base64.
    pub master_key: String,
    /// For the API.
    pub admin_key: String,
    /// Where receivers are, that it must not refuse.
    pub receivers: IpAddr,
}

/// An engine of our own; killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    /// Where it listens.
    pub base: String,
}

impl OwnEngine {
    /// Starts it, and waits until it takes requests.
    pub(crate) fn start(&self) -> Result<Process, LoadError> {
        let stderr = self.folder.join("engine.log");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&stderr);
        let mut command = Command::new(&self.program);
        command.arg("serve").current_dir(&self.folder);
        for (name, _) in std::env::vars_os() {
            let settings = name.to_str().and_then(|name| name.strip_prefix("RINGBACK_"));
            if settings.is_some_and(|setting| !HANDED_ON.iter().any(|begin| setting.starts_with(begin))) {
                command.env_remove(name);
            }
        }
        command.env("RINGBACK_LISTEN", self.listen.to_string()).env("RINGBACK_DATABASE_URL", &self.database_url);
        command.env("RINGBACK_MASTER_KEY", &self.master_key).env("RINGBACK_ADMIN_KEY", &self.admin_key);
        command.env("RINGBACK_ALLOW_HTTP", "true");
        command.env("RINGBACK_ALLOWED_NETWORKS", IpNet::from(self.receivers).to_string());
        if std::env::var_os("RINGBACK_LOG").is_none() {
            command.env("RINGBACK_LOG", "warn");
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(log.map_err(LoadError::system(format!("{} can't be written", stderr.display())))?);
        let mut child = command.spawn().map_err(LoadError::system("the engine can't be started"))?;
        let Some(stdout) = child.stdout.take() else {
            return Err(LoadError::NotStarted("it has no output".to_owned()));
        };
        let mut process = Process { child, base: String::new() };
        let ready = ready_line(stdout);
        match ready.recv_timeout(START_LIMIT) {
            Ok(base) => process.base = base,
            Err(_) => return Err(LoadError::NotStarted(last_lines(&stderr))),
        }
        Ok(process)
    }
}

impl Process {
    /// `kill -9`, and waits for the end.
    pub(crate) fn kill(&mut self) -> Result<(), LoadError> {
        self.child
            .kill()
            .and_then(|()| self.child.wait())
            .map_err(LoadError::system("the engine can't be killed"))?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // it may have ended already
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Gives the address as soon as it is printed; closes when the engine ends before.
fn ready_line(stdout: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        // read to the end, so that the engine never writes into a closed pipe
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some(base) = line.strip_prefix(READY) {
                let _ = sender.send(base.to_owned());
            }
        }
    });
    receiver
}

/// Processor time of a process by proc(5); `None` where there is no such file.
fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // the program's name may hold anything but ends with the last parenthesis; `utime` is the 14th field
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_A_SECOND)
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_time_of_a_process_is_read_to_hundredths() {
        let before = cpu_seconds(std::process::id()).unwrap();
        let mut work = 0_u64;
        // bounded by what a debug build does in a few seconds
        for round in 0..2_000_000_000_u64 {
            work = work.wrapping_add(std::hint::black_box(round));
            if round % 1_000_000 == 0 && cpu_seconds(std::process::id()).unwrap() > before {
                return;
            }
        }
        panic!("no time has passed: {work}");
    }
}
