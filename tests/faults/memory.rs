//! Memory is bounded, whatever receivers do.
