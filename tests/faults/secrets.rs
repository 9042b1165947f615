//! Seeded secrets are found nowhere.
