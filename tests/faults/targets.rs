//! Forbidden targets, through the API and the engine.
