//! What ends a command that runs until it is told to: signals, and a reader of its output that went away.

use anyhow::Context;
use tokio::io::Interest;
use tokio::net::unix::pipe;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Hears from its making on: what comes before [`Ending::comes`] is asked is not missed.
pub(crate) struct Ending {
    interrupt: Signal,
    terminate: Signal,
    /// `None` where the command was started to outlive its terminal (`nohup`).
    hang_up: Option<Signal>,
}

impl Ending {
    /// Takes the signals over.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let hear = |kind: SignalKind| signal(kind).context("signals can't be waited for");
        let hang_up = if ignores_hang_up() { None } else { Some(hear(SignalKind::hangup())?) };
        Ok(Self { interrupt: hear(SignalKind::interrupt())?, terminate: hear(SignalKind::terminate())?, hang_up })
    }

    /// Waits for Ctrl-C, SIGTERM or the closing of the terminal.
    pub(crate) async fn signal(&mut self) {
        let Self { interrupt, terminate, hang_up } = self;
        let hung_up = async {
            match hang_up {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hung_up => {}
        }
    }

    /// Waits for the same, or for the end of whoever reads standard output (`| head`).
    pub(crate) async fn comes(&mut self) {
        tokio::select! {
            () = self.signal() => {}
            () = output_closed() => {}
        }
    }
}

/// Comes only where the output is a pipe: a file is closed by nobody, and a terminal sends a signal.
async fn output_closed() {
    // opened once more, so that waiting for it does not change how it is written to
    let output = match pipe::OpenOptions::new().open_sender("/proc/self/fd/1") {
        Ok(output) => output,
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => return,
        Err(_) => return std::future::pending().await,
    };
    if output.ready(Interest::ERROR).await.is_err() {
        std::future::pending().await
    }
}

/// Whether this process was started with SIGHUP ignored, which is to stay so. Says no where that can't be told.
fn ignores_hang_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // signal 1 is the lowest bit
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}
