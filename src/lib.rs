//! Ringback
