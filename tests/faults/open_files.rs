//! No file descriptors left.
