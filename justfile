# `just` lists the recipes.
default:
    @just --list

# What every change has to pass; `just ci` checks everything
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo test

# Everything, with PostgreSQL, licences, release build and black-box checks; `just ci --install` installs missing tools
ci *flags:
    .ci/run {{flags}}

# `kill -9` at 500 random moments on each database, about ten minutes; RINGBACK_SEED repeats a run
kills rounds="500":
    RINGBACK_KILL_ROUNDS={{rounds}} cargo test --test binary faults::killed_at_random -- --nocapture

# Three nodes on a private PostgreSQL: killed, frozen and restarted at random moments; RINGBACK_SEED repeats a run
cluster rounds="200":
    RINGBACK_CLUSTER_ROUNDS={{rounds}} cargo test --test binary cluster::at_random -- --nocapture

# Three nodes, restarted one after the other under load through a balancer
rolling-restarts rounds="10":
    RINGBACK_CLUSTER_RESTARTS={{rounds}} cargo test --test binary cluster::changing::a_rolling_restart -- --nocapture

# Two nodes race: a webhook made on one and an event on the other, one idempotency key on both
cluster-races rounds="5000":
    RINGBACK_CLUSTER_RACES={{rounds}} cargo test --test binary cluster::accepting::a -- --nocapture

# Three nodes in one process and in simulated time, with faults; RINGBACK_SEED is one of many runs
simulated-cluster minutes="180" seed="1":
    RINGBACK_SIMULATED_MINUTES={{minutes}} RINGBACK_SEED={{seed}} cargo test --test in_process simulation::cluster -- --nocapture

# PostgreSQL crashes under load, several times
postgres-crashes rounds="10":
    RINGBACK_POSTGRES_CRASHES={{rounds}} cargo test --test binary faults::postgres_gone -- --nocapture

# System calls, changes of thread, syncs and bytes for a delivery, beside the baseline; needs perf, and root for its tracepoints
cost *flags:
    cargo build --release
    benches/cost.sh target/release/ringback {{flags}}

# An engine for development
dev:
    cargo run -- serve --dev

# A receiver for it that registers itself
listen:
    cargo run -- listen

# The documentation of the code
doc:
    cargo doc --no-deps --document-private-items --open

# Fuzzes each parser for this many seconds; needs a nightly toolchain and `cargo install cargo-fuzz`
fuzz seconds="60":
    #!/usr/bin/env bash
    set -euo pipefail
    for target in $(cargo +nightly fuzz list); do
        cargo +nightly fuzz run "$target" -- -max_total_time={{ seconds }} -max_len=4096
    done

# The property tests with many more cases than `cargo test` runs
properties cases="100000":
    PROPTEST_CASES={{ cases }} cargo test --lib

# More idle connections than the API accepts at once; needs a higher `ulimit -Hn`
idle-connections COUNT="10000":
    RINGBACK_IDLE_CONNECTIONS={{COUNT}} cargo test --test binary faults::slow_clients::thousands -- --nocapture

# One healthy webhook next to 500 that hang, and thousands of hostile responses; about ten minutes
isolation rounds="20":
    RINGBACK_ISOLATION_ROUNDS={{rounds}} cargo test --test isolation -- --nocapture
    RINGBACK_HOSTILE_ROUNDS=200 cargo test --test binary faults::memory::hostile -- --nocapture
