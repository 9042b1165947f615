//! The release program on the filled database, queried over HTTP.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

use crate::fill::KEY;

pub(crate) const MASTER_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Engine {
    child: Child,
    base: String,
    client: ureq::Agent,
}

impl Engine {
    pub(crate) fn start(binary: &Path, database_url: &str, folder: &Path) -> anyhow::Result<Self> {
        let mut child = Command::new(binary)
            .args(["serve", "--listen", "127.0.0.1:0", "--database-url", database_url])
            .current_dir(folder)
            .env("RINGBACK_MASTER_KEY", MASTER_KEY)
            .env("RINGBACK_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| binary.display().to_string())?;
        let out = child.stdout.take().context("no output")?;
        let (told, line) = mpsc::channel();
        std::thread::spawn(move || {
            // the waiting side has given up if this fails
            let _ = told.send(BufReader::new(out).lines().next());
        });
        let client = ureq::Agent::new_with_config(ureq::Agent::config_builder().build());
        let mut engine = Self { child, base: String::new(), client };
        let line = line.recv_timeout(PATIENCE).context("no readiness line")?.context("the engine ended")??;
        engine.base = format!("http://{}", line.rsplit("http://").next().context("no address")?);
        Ok(engine)
    }

    /// The body of a 200; anything else is an error.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<String> {
        let request = self.client.get(format!("{}{path}", self.base));
        let mut answer = request.header("authorization", &format!("Bearer {KEY}")).call()?;
        Ok(answer.body_mut().read_to_string()?)
    }

    pub(crate) fn json(&self, path: &str) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.get(path)?)?)
    }
}

/// Killed: there is nothing to lose, and no attempt to wait for.
impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Drops a file from the page cache as far as possible: the next reads come from the disk.
pub(crate) fn forget(file: &Path) {
    for suffix in ["", "-wal"] {
        let file = PathBuf::from(format!("{}{suffix}", file.display()));
        let of = format!("if={}", file.display());
        let dd = Command::new("dd").args([of.as_str(), "iflag=nocache", "count=0"]).stderr(Stdio::null()).status();
        if file.exists() && !dd.is_ok_and(|status| status.success()) {
            eprintln!("dd can't drop {} from the page cache: \"cold\" is warm", file.display());
        }
    }
}
