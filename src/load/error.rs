//! Why a run can fail.

use thiserror::Error;

use super::scenario::ScenarioError;

#[derive(Debug, Error)]
pub enum LoadError {
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// No response.
    #[error("{url} did not respond: {reason}")]
    Unreachable { url: String, reason: String },
    /// The engine or a receiver refused a request that the run needs.
    #[error("{url} answered {status}: {body}")]
    Refused {
        url: String,
        status: u16,
        /// The beginning of the response body.
        body: String,
    },
    /// The options contradict each other.
    #[error("{0}")]
    Options(String),
    /// The engine that the run starts did not become ready.
    #[error("the engine did not start: {0}")]
    NotStarted(String),
    /// An aggressor of a fairness run did not come about.
    #[error("the aggressor could not be prepared: {0}")]
    NotPrepared(String),
    #[error("{what}: {error}")]
    System {
        /// What was attempted.
        what: String,
        error: std::io::Error,
    },
    #[error("the publisher ended early: {0}")]
    Publisher(String),
    #[error("the report can't be drawn: {0}")]
    Drawing(String),
}

impl LoadError {
    /// A system error while attempting `what`.
    pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |error| Self::System { what, error }
    }
}
