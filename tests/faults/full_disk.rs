//! A file system without room: nothing is acknowledged that is not stored.
