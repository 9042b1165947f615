# shellcheck shell=bash
# For the scripts beside this one: waiting, failing, and a first delivery with the program's own commands.

step() { printf '==> %s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

# The time in milliseconds
now() { date +%s%3N; }

# Waits until a command succeeds, for at most 30 s
eventually() {
    local end=$(($(now) + 30000))
    until "$@" >/dev/null 2>&1; do
        [ "$(now)" -lt "$end" ] || fail "not within 30 s: $*"
        sleep 0.05
    done
}

# Waits until a process, which need not be a child, has ended; engines finish their attempts first
ended() { ! kill -0 "$1" 2>/dev/null; }

# The value of a field in a JSON document
field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

# Publishes an event and waits until a receiver has it. $1 is a function that runs `ringback` where the engine is, with
# the admin key; $2 the organization's uid; $3 a file for the receiver's output. It leaves the id of the event in EVENT.
first_delivery() {
    local run="$1" uid="$2" output="$3" key receiver
    "$run" orgs create --uid "$uid" --name "$uid" --get >/dev/null
    key="$("$run" api-keys create --organization "$uid" --name backend --role owner --json | field key)"
    # `exec` in a shell of its own, so that the process that is ended is the receiver
    ("$run" listen --key "$key" >"$output" 2>&1) &
    receiver=$!
    eventually grep -q 'wh_' "$output"
    EVENT="$("$run" trigger call.completed --key "$key" | grep -oE 'msg_[0-9a-z]+' | head -n 1)"
    [ -n "$EVENT" ] || fail "nothing was published"
    eventually grep -q "$EVENT.*-> 200" "$output"
    grep -q '✓ webhook-signature' "$output" || fail "the signature was not verified"
    # the whole job: the shell, and what it has started
    pkill -TERM -P "$receiver" 2>/dev/null || true
    kill "$receiver" 2>/dev/null || true
    wait "$receiver" 2>/dev/null || true
    # shellcheck disable=SC2034
    KEY="$key"
}
