//! A process of the simulation: what runs in it stands still while it is frozen, and ends at once when it is killed.
//!
//! What it has given to a blocking thread goes on in both cases, as a statement that is on its way to the database does.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::sync::oneshot;
use tokio::task::LocalSet;

#[derive(Clone)]
pub(super) struct Process(Rc<RefCell<Inside>>);

struct Inside {
    /// `None`: it was killed.
    tasks: Option<LocalSet>,
    is_frozen: bool,
    waker: Option<Waker>,
}

/// Lets a process run.
struct Run(Process);

impl Future for Run {
    type Output = ();
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut inside = self.0.0.borrow_mut();
        inside.waker = Some(context.waker().clone());
        let is_frozen = inside.is_frozen;
        let Some(tasks) = &mut inside.tasks else { return Poll::Ready(()) };
        if !is_frozen {
            // ready: it has nothing to do now
            let _ = Pin::new(tasks).poll(context);
        }
        Poll::Pending
    }
}

impl Process {
    pub(super) fn start() -> Self {
        let inside = Inside { tasks: Some(LocalSet::new()), is_frozen: false, waker: None };
        let process = Self(Rc::new(RefCell::new(inside)));
        tokio::task::spawn_local(Run(process.clone()));
        process
    }

    /// Runs something inside; an error when the process is killed before it has ended.
    pub(super) fn run<T: 'static>(&self, work: impl Future<Output = T> + 'static) -> oneshot::Receiver<T> {
        let (done, result) = oneshot::channel();
        if let Some(tasks) = &self.0.borrow().tasks {
            tasks.spawn_local(async move {
                // an error means that nobody waits any more
                let _ = done.send(work.await);
            });
        }
        result
    }

    pub(super) fn freeze(&self, is_frozen: bool) {
        let mut inside = self.0.borrow_mut();
        inside.is_frozen = is_frozen;
        inside.waker.iter().for_each(Waker::wake_by_ref);
    }

    pub(super) fn kill(&self) {
        let (tasks, waker) = {
            let mut inside = self.0.borrow_mut();
            (inside.tasks.take(), inside.waker.take())
        };
        drop(tasks);
        waker.iter().for_each(Waker::wake_by_ref);
    }
}
