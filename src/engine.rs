//! Start-up, wiring, ordered shutdown: the only place that names concrete stores and transports.

use thiserror::Error;

use crate::config::Settings;

/// Why the engine could not run.
#[derive(Debug, Error)]
pub enum EngineError {
    /// Nothing is wired yet.
    #[error("the engine is not wired yet")]
    NotWired,
}

/// Runs the engine until it is told to stop.
pub fn run(_settings: Settings) -> Result<(), EngineError> {
    Err(EngineError::NotWired)
}
