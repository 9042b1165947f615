//! A dead endpoint, its breaker, and its backlog.
