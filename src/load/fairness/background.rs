//! Threads for the aggressor's side.

/// Added to the nice value. The aggressor would be on another machine: here it must not take the cores from the victim's
/// publisher and receiver, whose delays would be taken for the engine's. 0: it does. 19: on a busy machine it hardly runs.
const NICE: i32 = 10;

/// Lowers the priority of this thread and of all that it starts; does nothing where that is not possible.
pub(crate) fn lower_priority() {
    // the figures are only noisier without it
    #[cfg(target_os = "linux")]
    if let Ok(nice) = rustix::process::getpriority_process(None) {
        let _ = rustix::process::setpriority_process(None, nice + NICE);
    }
}
