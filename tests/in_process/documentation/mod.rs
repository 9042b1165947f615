//! The documentation says what the code does: tables are made from the code, and code for receivers runs.

mod log_lines;
mod observing;
mod panels;
mod receiver_snippet;
mod signatures;
mod tables;
