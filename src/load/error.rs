//! What keeps a run from being made.

use thiserror::Error;

use super::scenario::ScenarioError;

/// Why a run can't be made, or not be finished.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The scenario can't be used.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// The engine or a receiver gave no answer.
    #[error("{url} can't be asked: {reason}")]
    Unreachable {
        /// What was asked.
        url: String,
        /// Why there is no answer.
        reason: String,
    },
    /// The engine refused what the run needs.
    #[error("{url} answered {status}: {body}")]
    Refused {
        /// What was asked.
        url: String,
        /// Its status.
        status: u16,
        /// The beginning of its body.
        body: String,
    },
    /// The options don't go together.
    #[error("{0}")]
    Options(String),
    /// An engine of our own did not start.
    #[error("the engine did not start: {0}")]
    NotStarted(String),
    /// Nothing arrived any more although something was missing.
    #[error("{missing} deliveries are missing and nothing arrived for {seconds} s")]
    Stalled {
        /// How many.
        missing: u64,
        /// How long it was waited.
        seconds: u64,
    },
    /// The system refused something.
    #[error("{what}: {error}")]
    System {
        /// What was wanted.
        what: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// A report can't be drawn.
    #[error("the report can't be drawn: {0}")]
    Drawing(String),
}

impl LoadError {
    /// The system refused `what`.
    pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |error| Self::System { what, error }
    }
}
