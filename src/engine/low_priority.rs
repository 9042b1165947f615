//! Threads whose work gives way to everything else: reads of large lists would otherwise take the processors from
//! publishing and delivering.

use tokio::runtime::{Builder, Handle, Runtime};

/// Added to a thread's nice value: 5 leaves it a quarter of a processor that others want all of. Smaller: the others wait
/// longer for a processor. Larger: while the machine is busy, also with other programs, such work hardly goes on.
const NICE: i32 = 5;
/// Most jobs are refused a thread by their gates long before.
const MAX_THREADS: usize = 32;

/// Lowers the priority of the calling thread, and of the threads that it starts from now on.
pub fn lower_priority() {
    // priorities of threads, not of processes, are Linux's; without them it is only less fair
    #[cfg(target_os = "linux")]
    if let Ok(nice) = rustix::process::getpriority_process(None) {
        let _ = rustix::process::setpriority_process(None, nice + NICE);
    }
}

/// Blocking threads of a lower priority.
pub(super) struct LowPriorityThreads {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    handle: Handle,
}

impl LowPriorityThreads {
    pub(super) fn new() -> std::io::Result<Self> {
        // it runs blocking work alone, so nothing drives it
        let mut builder = Builder::new_current_thread();
        builder.max_blocking_threads(MAX_THREADS).thread_name("low-priority");
        let runtime = builder.on_thread_start(lower_priority).build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Drop for LowPriorityThreads {
    fn drop(&mut self) {
        // without waiting: a runtime must not be waited for inside another one
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn blocking_work_runs_at_a_lower_priority_than_its_caller() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let threads = LowPriorityThreads::new().unwrap();
        assert_eq!(threads.handle().spawn_blocking(nice).await.unwrap(), (nice() + NICE).min(19));
    }
}
