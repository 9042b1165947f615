//! Without faults nothing arrives twice.
