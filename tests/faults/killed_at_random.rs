//! `kill -9` at random moments: nothing acknowledged is missing.
