//! Ends a command that runs until it is stopped: by a signal, or because the reader of its output has gone.

use anyhow::Context;
use tokio::io::Interest;
use tokio::net::unix::pipe;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens from its creation: a signal that arrives before [`Shutdown::requested`] is awaited is not missed.
pub(crate) struct Shutdown {
    interrupt: Signal,
    terminate: Signal,
    /// `None` where the command was started to outlive its terminal (`nohup`).
    hang_up: Option<Signal>,
}

impl Shutdown {
    /// Takes over the handling of the signals.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let listen = |kind: SignalKind| signal(kind).context("cannot handle signals");
        let hang_up = if ignores_hang_up() { None } else { Some(listen(SignalKind::hangup())?) };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up,
        })
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

    /// Waits for the same signals, or until the reader of standard output closes it (`| head`).
    pub(crate) async fn requested(&mut self) {
        tokio::select! {
            () = self.signal() => {}
            () = output_closed() => {}
        }
    }
}

/// Completes only when the output is a pipe: a file has no reader, and a closed terminal sends a signal.
async fn output_closed() {
    // opened a second time, so that waiting on it does not make the writes non-blocking
    let output = match pipe::OpenOptions::new().open_sender("/proc/self/fd/1") {
        Ok(output) => output,
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => return,
        Err(_) => return std::future::pending().await,
    };
    if output.ready(Interest::ERROR).await.is_err() {
        std::future::pending().await
    }
}

/// Whether this process was started with SIGHUP ignored, which must be respected. `false` where `/proc` does not say.
fn ignores_hang_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // signal 1 is the lowest bit
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}
