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

# The engine for a developer's machine
dev:
    cargo run -- serve --dev

# A receiver for it, which registers itself
listen:
    cargo run -- listen

# The documentation of the code
doc:
    cargo doc --no-deps --open

# One healthy webhook beside 500 that hang, and hostile answers by the thousand; about ten minutes
isolation rounds="20":
    RINGBACK_ISOLATION_ROUNDS={{rounds}} cargo test --test faults isolation:: -- --nocapture
    RINGBACK_HOSTILE_ROUNDS=200 cargo test --test faults memory::hostile -- --nocapture
