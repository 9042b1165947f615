# `just` lists the recipes.
default:
    @just --list

# What a change has to pass; the whole of it is `just ci`
check:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings
    cargo test

# Everything, with PostgreSQL, licences, release build and black-box checks
ci:
    .ci/run

# `kill -9` at 500 random moments on each database, about ten minutes; RINGBACK_SEED repeats a run
kills rounds="500":
    RINGBACK_KILL_ROUNDS={{rounds}} cargo test --test binary faults::killed_at_random -- --nocapture

# PostgreSQL crashes under load, several times
postgres-crashes rounds="10":
    RINGBACK_POSTGRES_CRASHES={{rounds}} cargo test --test binary faults::postgres_gone -- --nocapture

# The engine for a developer's machine
dev:
    cargo run -- serve --dev

# A receiver for it, which registers itself
listen:
    cargo run -- listen

# The documentation of the code
doc:
    cargo doc --no-deps --open

# Fuzzes the parsers, each for so long; needs a nightly toolchain and `cargo install cargo-fuzz`
fuzz seconds="60":
    #!/usr/bin/env bash
    set -euo pipefail
    for target in $(cargo +nightly fuzz list); do
        cargo +nightly fuzz run "$target" -- -max_total_time={{ seconds }} -max_len=4096
    done

# The property tests with many more cases than in `cargo test`
properties cases="100000":
    PROPTEST_CASES={{ cases }} cargo test --lib

# More idle connections than the API takes at once; needs `ulimit -Hn` above it
idle-connections COUNT="10000":
    RINGBACK_IDLE_CONNECTIONS={{COUNT}} cargo test --test binary faults::slow_clients::thousands -- --nocapture

# One healthy webhook beside 500 that hang, and hostile answers by the thousand; about ten minutes
isolation rounds="20":
    RINGBACK_ISOLATION_ROUNDS={{rounds}} cargo test --test isolation -- --nocapture
    RINGBACK_HOSTILE_ROUNDS=200 cargo test --test binary faults::memory::hostile -- --nocapture
