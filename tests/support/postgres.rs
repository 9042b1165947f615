//! A private PostgreSQL server for tests: made from the installed binaries, in a temporary folder, on a free
//! port of the loopback address, and gone with the test process, however that ends.

use std::io::{self, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use diesel::{Connection, PgConnection, RunQueryDsl};

/// Set to 1 where a missing PostgreSQL must fail the tests instead of skipping them.
const REQUIRE: &str = "RINGBACK_REQUIRE_POSTGRES";

/// A running server.
pub struct PostgresServer {
    bindir: PathBuf,
    folder: PathBuf,
    port: u16,
    owner: Option<(u32, u32)>,
    /// Settings of `postgres -c`.
    settings: String,
    databases: AtomicU32,
    /// Ends the server when its standard input closes: at the latest when this process ends.
    watchdog: Option<Child>,
}

/// The shared server of this test process; `None`, with a message on standard error, when PostgreSQL is not installed.
pub fn shared() -> Option<&'static PostgresServer> {
    static SERVER: OnceLock<Option<PostgresServer>> = OnceLock::new();
    SERVER.get_or_init(|| start_or_skip("fsync=on")).as_ref()
}

/// A separate server, for a test that stops it.
pub fn private() -> Option<PostgresServer> {
    start_or_skip("fsync=on")
}

/// A separate server with these settings, separated by spaces.
pub fn private_with(settings: &str) -> Option<PostgresServer> {
    start_or_skip(settings)
}

/// Runs a statement in a database as its administrator.
pub fn execute_in(url: &str, statement: &str) {
    let mut admin = PgConnection::establish(url).expect("the test server answers");
    diesel::sql_query(statement).execute(&mut admin).expect("the statement is right");
}

fn start_or_skip(settings: &str) -> Option<PostgresServer> {
    let Some(bindir) = find_bindir() else {
        let message = "PostgreSQL is not installed: the store on PostgreSQL is NOT tested";
        assert!(std::env::var(REQUIRE).as_deref() != Ok("1"), "{message}, and {REQUIRE}=1 requires it");
        // not eprintln: the test harness would keep that to itself while the tests pass
        let _ = writeln!(io::stderr(), "\n*** {message} ***\n");
        return None;
    };
    Some(PostgresServer::start(bindir, settings).expect("a private PostgreSQL server starts"))
}

/// The newest of the distribution's folders, what `pg_config` names, or the `PATH`.
fn find_bindir() -> Option<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort();
    let from_config = || {
        let output = Command::new("pg_config").arg("--bindir").output().ok()?;
        Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates: Vec<PathBuf> = versions.into_iter().rev().map(|(_, bin)| bin).collect();
    candidates.extend(from_config());
    candidates.extend(std::env::split_paths(&path));
    candidates.into_iter().find(|bin| bin.join("initdb").is_file() && bin.join("postgres").is_file())
}

impl PostgresServer {
    fn start(bindir: PathBuf, settings: &str) -> io::Result<Self> {
        // kept: the watchdog removes it
        let folder = tempfile::Builder::new().prefix("ringback-postgres-").tempdir()?.keep();
        let owner = unprivileged_owner()?;
        if let Some((uid, gid)) = owner {
            std::os::unix::fs::chown(&folder, Some(uid), Some(gid))?;
        }
        let settings = settings.split(' ').map(|setting| format!(" -c {setting}")).collect();
        let databases = AtomicU32::new(0);
        let mut server = Self { bindir, folder, port: 0, owner, settings, databases, watchdog: None };
        let data = server.data();
        let mut initdb = server.command("initdb");
        initdb.args(["--username=ringback", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"]);
        run(initdb.arg("-D").arg(&data))?;
        server.watchdog = Some(server.spawn_watchdog()?);
        server.start_on_a_free_port()?;
        Ok(server)
    }

    fn start_on_a_free_port(&mut self) -> io::Result<()> {
        // the port can be taken between its choice and the start
        for attempt in 1.. {
            self.port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            match self.start_again() {
                Err(error) if attempt == 3 => return Err(error),
                Err(_) => {}
                Ok(()) => break,
            }
        }
        Ok(())
    }

    /// A standby of this server, which follows it until it is promoted.
    pub fn standby(&self) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("ringback-standby-").tempdir()?.keep();
        if let Some((uid, gid)) = self.owner {
            std::os::unix::fs::chown(&folder, Some(uid), Some(gid))?;
        }
        let mut standby = Self {
            bindir: self.bindir.clone(),
            folder,
            port: 0,
            owner: self.owner,
            settings: self.settings.clone(),
            databases: AtomicU32::new(0),
            watchdog: None,
        };
        let mut copy = standby.command("pg_basebackup");
        copy.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "ringback", "-X", "stream"]);
        run(copy.args(["-c", "fast", "-R", "-D"]).arg(standby.data()))?;
        standby.watchdog = Some(standby.spawn_watchdog()?);
        standby.start_on_a_free_port()?;
        Ok(standby)
    }

    /// Makes a standby take writes; returns when it does.
    pub fn promote(&self) -> io::Result<()> {
        run(self.command("pg_ctl").args(["promote", "-w", "-t", "60", "-D"]).arg(self.data()))
    }

    /// With the data and the server's log.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A database as `pg_dump` writes it.
    pub fn dump(&self, url: &str) -> io::Result<Vec<u8>> {
        let output = self.command("pg_dump").arg(url).output()?;
        match output.status.success() {
            true => Ok(output.stdout),
            false => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned())),
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bindir.join(program));
        command.current_dir(&self.folder).stdin(Stdio::null()).process_group(0);
        if let Some((uid, gid)) = self.owner {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Starts the server, at first or after [`PostgresServer::stop`]; returns when it takes connections.
    pub fn start_again(&self) -> io::Result<()> {
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=1600{}",
            self.port, self.settings
        );
        let mut start = self.command("pg_ctl");
        start.args(["start", "-w", "-t", "60", "-o", &options]);
        run(start.arg("-D").arg(self.data()).arg("-l").arg(self.folder.join("log")))
    }

    /// Stops the server as a crash would: connections break.
    pub fn stop(&self) -> io::Result<()> {
        let mut stop = self.command("pg_ctl");
        run(stop.args(["stop", "-m", "immediate", "-D"]).arg(self.data()))
    }

    /// Waits for the end of its standard input, which this process holds open, then cleans up.
    fn spawn_watchdog(&self) -> io::Result<Child> {
        let script = r#"cat >/dev/null; "$0" stop -m immediate -D "$1/data"; rm -rf "$1""#;
        let mut watchdog = Command::new("sh");
        watchdog.arg("-c").arg(script).arg(self.bindir.join("pg_ctl")).arg(&self.folder);
        if let Some((uid, gid)) = self.owner {
            watchdog.uid(uid).gid(gid);
        }
        watchdog.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // its own group: an interrupt from the keyboard ends the tests, not the cleaning up
        watchdog.process_group(0).spawn()
    }

    /// Makes a database and returns its URL.
    pub fn create_database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.execute(&format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// Runs a statement as the server's administrator.
    pub fn execute(&self, statement: &str) {
        let mut admin = PgConnection::establish(&self.url("postgres")).expect("the test server answers");
        diesel::sql_query(statement).execute(&mut admin).expect("the statement is right");
    }

    /// What a query with one value answers, as its administrator.
    pub fn answer(&self, query: &str) -> String {
        #[derive(diesel::QueryableByName)]
        struct Row {
            #[diesel(sql_type = diesel::sql_types::Text)]
            answer: String,
        }
        let mut admin = PgConnection::establish(&self.url("postgres")).expect("the test server answers");
        let query = diesel::sql_query(format!("SELECT ({query})::TEXT AS answer"));
        let row: Row = query.get_result(&mut admin).expect("the query is right");
        row.answer
    }

    /// Waits until a standby has everything that this server has now.
    pub fn await_replay_by(&self, standby: &Self) {
        let here = self.answer("SELECT pg_current_wal_lsn()");
        let query = format!("SELECT pg_last_wal_replay_lsn() >= '{here}'");
        crate::engine::eventually("the standby has caught up", || {
            (standby.answer(&query) == "true").then_some(())
        });
    }

    /// Where it listens.
    pub fn address(&self) -> std::net::SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// A database of this server, or of that standby of it, whichever takes writes.
    pub fn url_with(&self, standby: &Self, url: &str) -> String {
        let both = format!("127.0.0.1:{},127.0.0.1:{}", self.port, standby.port);
        url.replace(&format!("127.0.0.1:{}", self.port), &both)
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://ringback@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if let Some(mut watchdog) = self.watchdog.take() {
            drop(watchdog.stdin.take());
            let _ = watchdog.wait();
        }
    }
}

fn run(command: &mut Command) -> io::Result<()> {
    // into files and not pipes: the server that pg_ctl starts would keep a pipe open
    let (stdout, stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
    let status = command.stdout(stdout.try_clone()?).stderr(stderr.try_clone()?).status()?;
    if status.success() {
        return Ok(());
    }
    let said: Vec<String> = [stdout, stderr].into_iter().map(read_back).collect::<io::Result<_>>()?;
    Err(io::Error::other(format!("{command:?}: {status}: {}", said.join("\n"))))
}

fn read_back(mut file: std::fs::File) -> io::Result<String> {
    use std::io::{Read, Seek};
    let mut text = String::new();
    file.rewind()?;
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// PostgreSQL refuses to run as root: then it runs as `nobody`.
pub(crate) fn unprivileged_owner() -> io::Result<Option<(u32, u32)>> {
    let id = |arguments: &[&str]| -> io::Result<u32> {
        let output = Command::new("id").args(arguments).output()?;
        String::from_utf8_lossy(&output.stdout).trim().parse().map_err(io::Error::other)
    };
    match id(&["-u"])? {
        0 => Ok(Some((id(&["-u", "nobody"])?, id(&["-g", "nobody"])?))),
        _ => Ok(None),
    }
}
