//! The engine that a run measures: a running one, or one that the run starts on a temporary database.

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
use super::http::LoadClient;
use super::publisher::EVENT_TYPE;
use super::receiver::HOOKS;

/// The line that `serve` prints once it takes requests (contract).
const READY: &str = "ringback listening on ";
/// A start on a large database takes a second; a busy machine takes longer.
const START_LIMIT: Duration = Duration::from_secs(60);
/// The longest timeout of a webhook (contract), so that hanging receivers hold attempts open for long.
const WEBHOOK_TIMEOUT_SECONDS: u64 = 30;
/// So low that nothing is delivered while a backlog builds up (contract: at least 0.01 per second).
const HELD_BACK_PER_SECOND: f64 = 0.01;

/// The key for a running engine.
#[derive(Debug, Clone)]
pub enum EngineAccess {
    /// Its admin key: the run makes organizations, and deletes them at the end.
    Admin(String),
    /// An owner's or manager's key of an organization: the run makes webhooks in it, and deletes them at the end.
    Organization(String),
}

/// Settings in the environment that are passed on to an engine that the run starts, so that their effect can be measured.
const PASSED_ON_SETTINGS: [&str; 3] = ["DELIVERY_", "LIMITS_", "LOG"];
/// Runs make more webhooks than an organization may have by default.
const LIFTED_LIMIT: &str = "RINGBACK_LIMITS_WEBHOOKS_PER_ORGANIZATION";
/// The kernel counts CPU time in hundredths of a second (`USER_HZ`, proc(5)).
const TICKS_PER_SECOND: f64 = 100.0;

pub(crate) struct TargetEngine {
    base: String,
    access: EngineAccess,
    http: LoadClient,
    /// Only for an engine that the run started.
    pid: Option<u32>,
}

/// An organization of a run.
pub(crate) struct LoadTenant {
    /// May publish and manage webhooks.
    pub key: String,
    /// `None` when the run did not create it and must not delete it.
    pub organization: Option<String>,
    webhooks: Vec<String>,
}

/// The organizations and webhooks that a run needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TenantsSpec<'a> {
    pub organizations: usize,
    /// Number of webhooks of each organization.
    pub webhooks: usize,
    /// Base URL.
    pub receivers: &'a str,
    /// Of each webhook; `None` means the engine's default.
    pub max_in_flight: Option<u32>,
    /// Next to nothing is delivered until [`TargetEngine::release`].
    pub held_back: bool,
}

/// Resource usage according to the engine's metrics.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct EngineUsage {
    pub cpu_seconds: f64,
    pub resident_bytes: f64,
    /// Pending deliveries.
    pub pending: f64,
    /// Live endpoint supervisors.
    pub endpoints_active: f64,
}

#[derive(Deserialize)]
struct CreatedResource {
    id: String,
    #[serde(default)]
    key: String,
}

impl TargetEngine {
    pub(crate) fn running(base: &str, access: EngineAccess) -> Self {
        Self { base: base.trim_end_matches('/').to_owned(), access, http: LoadClient::default(), pid: None }
    }

    pub(crate) fn started(process: &EngineProcess, launcher: &EngineLauncher) -> Self {
        Self {
            pid: Some(process.child.id()),
            ..Self::running(&process.base, EngineAccess::Admin(launcher.admin_key.clone()))
        }
    }

    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Creates the organizations of a run, with their webhooks.
    pub(crate) async fn create_tenants(&self, wanted: &TenantsSpec<'_>) -> Result<Vec<LoadTenant>, LoadError> {
        let TenantsSpec { organizations, webhooks, receivers, max_in_flight, held_back } = *wanted;
        let mut tenants = Vec::with_capacity(organizations);
        for organization in 0..organizations {
            let mut tenant = self.create_tenant(organization, organizations).await?;
            for webhook in 0..webhooks {
                let url = format!("{receivers}{HOOKS}/{}", organization * webhooks + webhook);
                let mut body = json!({"url": url, "events": [EVENT_TYPE], "timeout": WEBHOOK_TIMEOUT_SECONDS});
                if let Some(max_in_flight) = max_in_flight {
                    body["max_in_flight"] = json!(max_in_flight);
                }
                if held_back {
                    body["rate_limit"] = json!({"per_second": HELD_BACK_PER_SECOND, "burst": 1});
                }
                let created: CreatedResource =
                    self.request(Method::POST, "/v1/webhooks", &tenant.key, Some(&body)).await?;
                tenant.webhooks.push(created.id);
            }
            tenants.push(tenant);
        }
        Ok(tenants)
    }

    async fn create_tenant(&self, number: usize, of: usize) -> Result<LoadTenant, LoadError> {
        let admin = match &self.access {
            EngineAccess::Organization(key) if of == 1 => {
                return Ok(LoadTenant { key: key.clone(), organization: None, webhooks: Vec::new() });
            }
            EngineAccess::Organization(_) => {
                let text = "several organizations need the engine's admin key (--admin-key)";
                return Err(LoadError::Options(text.to_owned()));
            }
            EngineAccess::Admin(key) => key,
        };
        let name = json!({"name": format!("ringback load {number}")});
        let organization: CreatedResource =
            self.request(Method::POST, "/v1/organizations", admin, Some(&name)).await?;
        let path = format!("/v1/organizations/{}/keys", organization.id);
        let key: CreatedResource = self
            .request(Method::POST, &path, admin, Some(&json!({"name": "ringback load", "role": "owner"})))
            .await?;
        Ok(LoadTenant { key: key.key, organization: Some(organization.id), webhooks: Vec::new() })
    }

    /// Lifts the rate limit of webhooks that were held back.
    pub(crate) async fn release(&self, tenants: &[LoadTenant]) -> Result<(), LoadError> {
        for tenant in tenants {
            for webhook in &tenant.webhooks {
                let path = format!("/v1/webhooks/{webhook}");
                let _: Value =
                    self.request(Method::PATCH, &path, &tenant.key, Some(&json!({"rate_limit": null}))).await?;
            }
        }
        Ok(())
    }

    /// Deletes everything that the run created.
    pub(crate) async fn remove(&self, tenants: &[LoadTenant]) -> Result<(), LoadError> {
        for tenant in tenants {
            match (&tenant.organization, &self.access) {
                (Some(organization), EngineAccess::Admin(admin)) => {
                    self.send(Method::DELETE, &format!("/v1/organizations/{organization}"), admin).await?;
                }
                _ => {
                    for webhook in &tenant.webhooks {
                        self.send(Method::DELETE, &format!("/v1/webhooks/{webhook}"), &tenant.key).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// `None` when the engine serves its metrics elsewhere.
    pub(crate) async fn usage(&self) -> Option<EngineUsage> {
        let url = format!("{}/metrics", self.base);
        let text = self.http.text(Method::GET, &url, None, None::<&()>).await.ok()?;
        let text = String::from_utf8_lossy(&text);
        let value = |name: &str| {
            let line =
                text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')))?;
            line.rsplit(' ').next()?.parse::<f64>().ok()
        };
        Some(EngineUsage {
            // the metric counts whole seconds only
            cpu_seconds: self.pid.and_then(cpu_seconds).or_else(|| value("process_cpu_seconds_total"))?,
            resident_bytes: value("process_resident_memory_bytes")?,
            pending: value("ringback_deliveries_pending")?,
            endpoints_active: value("ringback_endpoints_active")?,
        })
    }

    async fn request<T: serde::de::DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        key: &str,
        body: Option<&Value>,
    ) -> Result<T, LoadError> {
        self.http.json(method, &format!("{}{path}", self.base), Some(key), body).await
    }

    async fn send(&self, method: Method, path: &str, key: &str) -> Result<(), LoadError> {
        self.http.text(method, &format!("{}{path}", self.base), Some(key), None::<&()>).await.map(drop)
    }
}

/// How to start an engine for the run.
#[derive(Debug, Clone)]
pub struct EngineLauncher {
    /// Path of the program.
    pub program: PathBuf,
    /// Working directory; also for its database, when that is SQLite.
    pub folder: PathBuf,
    pub database_url: String,
    /// Where it listens: the same after a restart.
    pub listen: SocketAddr,
    /// 32 bytes in base64.
    pub master_key: String,
    /// For the API.
    pub admin_key: String,
    /// Address of the receivers, which the engine must not refuse.
    pub receivers: IpAddr,
    /// Whether an organization may have as many webhooks as the run needs. An older program does not know this limit, and
    /// refuses a setting that it does not know.
    pub lifts_limits: bool,
}

/// An engine that the run started; killed when it is dropped.
pub(crate) struct EngineProcess {
    child: Child,
    /// Base URL.
    pub base: String,
}

impl EngineLauncher {
    /// Starts the engine, and waits until it takes requests.
    pub(crate) fn start(&self) -> Result<EngineProcess, LoadError> {
        let stderr = self.folder.join("engine.log");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&stderr);
        let mut command = Command::new(&self.program);
        command.arg("serve").current_dir(&self.folder);
        for (name, _) in std::env::vars_os() {
            let settings = name.to_str().and_then(|name| name.strip_prefix("RINGBACK_"));
            if settings.is_some_and(|setting| !PASSED_ON_SETTINGS.iter().any(|begin| setting.starts_with(begin))) {
                command.env_remove(name);
            }
        }
        command.env("RINGBACK_LISTEN", self.listen.to_string()).env("RINGBACK_DATABASE_URL", &self.database_url);
        command.env("RINGBACK_MASTER_KEY", &self.master_key).env("RINGBACK_ADMIN_KEY", &self.admin_key);
        command.env("RINGBACK_ALLOW_HTTP", "true");
        if self.lifts_limits {
            command.env(LIFTED_LIMIT, "0");
        }
        command.env("RINGBACK_ALLOWED_NETWORKS", IpNet::from(self.receivers).to_string());
        if std::env::var_os("RINGBACK_LOG").is_none() {
            command.env("RINGBACK_LOG", "warn");
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(log.map_err(LoadError::system(format!("{} can't be written", stderr.display())))?);
        let mut child = command.spawn().map_err(LoadError::system("the engine can't be started"))?;
        let Some(stdout) = child.stdout.take() else {
            return Err(LoadError::NotStarted("its standard output is not available".to_owned()));
        };
        let mut process = EngineProcess { child, base: String::new() };
        let ready = ready_line(stdout);
        match ready.recv_timeout(START_LIMIT) {
            Ok(base) => process.base = base,
            Err(_) => return Err(LoadError::NotStarted(last_lines(&stderr))),
        }
        Ok(process)
    }
}

impl EngineProcess {
    /// `kill -9`, and waits for the end.
    pub(crate) fn kill(&mut self) -> Result<(), LoadError> {
        self.child
            .kill()
            .and_then(|()| self.child.wait())
            .map_err(LoadError::system("the engine can't be killed"))?;
        Ok(())
    }
}

impl Drop for EngineProcess {
    fn drop(&mut self) {
        // it may have ended already
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends the address as soon as it is printed; the channel closes when the engine ends before that.
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

/// CPU time of a process (proc(5)); `None` where there is no such file.
fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // the program's name may contain anything but ends at the last parenthesis; `utime` is the 14th field
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_PER_SECOND)
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
    fn the_cpu_time_of_a_process_is_read_in_hundredths_of_a_second() {
        let before = cpu_seconds(std::process::id()).unwrap();
        let mut work = 0_u64;
        // bounded by the work of a debug build in a few seconds
        for round in 0..2_000_000_000_u64 {
            work = work.wrapping_add(std::hint::black_box(round));
            if round % 1_000_000 == 0 && cpu_seconds(std::process::id()).unwrap() > before {
                return;
            }
        }
        panic!("no time has passed: {work}");
    }
}
