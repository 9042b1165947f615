//! A PostgreSQL that crashes under load.
