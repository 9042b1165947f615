//! A pgbouncer before a PostgreSQL server.

use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::engine::eventually;
use crate::postgres::{PostgresServer, unprivileged_owner};
use crate::requirements::missing;

/// It runs until it is dropped.
pub struct Pooler {
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl Pooler {
    /// `None`, with a message on standard error, when pgbouncer is not installed.
    pub fn before(server: &PostgresServer, mode: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (users, settings) = (folder.path().join("users"), folder.path().join("pgbouncer.ini"));
        let server_port = server.address().port();
        std::fs::write(&users, "\"ringback\" \"\"\n").unwrap();
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={server_port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             auth_type = trust\nauth_file = {}\npool_mode = {mode}\ndefault_pool_size = 40\nunix_socket_dir =\n\
             ignore_startup_parameters = extra_float_digits,options\n",
            users.display()
        );
        std::fs::write(&settings, text).unwrap();
        let mut command = Command::new("pgbouncer");
        command.arg(&settings).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // like PostgreSQL it refuses to run as root
        if let Some((uid, gid)) = unprivileged_owner().unwrap() {
            for path in [folder.path(), &users, &settings] {
                std::os::unix::fs::chown(path, Some(uid), Some(gid)).unwrap();
            }
            command.uid(uid).gid(gid);
        }
        let Ok(process) = command.spawn() else {
            missing("pgbouncer");
            return None;
        };
        eventually("the pooler listens", || TcpStream::connect(("127.0.0.1", port)).ok());
        Some(Self { process, port, _folder: folder })
    }

    /// Of a database of the server behind it.
    pub fn url(&self, url: &str) -> String {
        let (_, database) = url.rsplit_once('/').unwrap();
        format!("postgres://ringback@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        // it may have ended already
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
