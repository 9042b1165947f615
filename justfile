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

# More idle connections than the API takes at once; needs `ulimit -Hn` above it
idle-connections COUNT="10000":
    RINGBACK_IDLE_CONNECTIONS={{COUNT}} cargo test --test faults slow_clients::thousands -- --nocapture
