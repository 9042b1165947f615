//! Clients of the API that mean harm.
