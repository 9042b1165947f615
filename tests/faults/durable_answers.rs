//! A 202 is on disk: system calls in the order that the promise needs.
