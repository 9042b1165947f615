#!/usr/bin/env bash
# Runs the engine as the image's last stage has it, without a container runtime: a root with nothing but the program, the C
# library and certificate authorities, read-only but for /data; the Dockerfile's user, variables, folder and command. An event is
# delivered, and compose.yaml's health check asks. Then every variable in the compose files and the Kubernetes manifests
# has to be one that the program takes.
#
#   packaging/tests/container.sh
#
#   CARGO_TARGET_DIR=DIR  as for cargo; DIR/release/ringback is what runs
#
# Needs root, for namespaces and a chroot, and: iproute2, ca-certificates, Python 3 with venv (PyYAML comes from PyPI).
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=packaging/tests/common.sh
. packaging/tests/common.sh
# shellcheck source=packaging/tests/tools.sh
. packaging/tests/tools.sh

BINARY="$(realpath "${CARGO_TARGET_DIR:-target}")/release/ringback"
DOCKERFILE=packaging/container/Dockerfile
if [ "${UNSHARED:-}" != yes ]; then
    [ "$(id -u)" -eq 0 ] || fail "needs root"
    [ -x "$BINARY" ] || fail "no $BINARY: cargo build --locked --release"
    exec env UNSHARED=yes unshare --mount --net --pid --fork --kill-child "$0" "$@"
fi

mount --make-rprivate /
mount -t proc proc /proc
ip link set lo up
WORK="$(mktemp -d)"
mount -t tmpfs tmpfs "$WORK"
ROOT="$WORK/root"
trap 'cd /; umount -R "$WORK" 2>/dev/null || umount -l "$WORK"; rmdir "$WORK" 2>/dev/null || true' EXIT

# What the last stage says
last_stage() { sed -n '/^FROM gcr/,$p' "$DOCKERFILE"; }
instruction() { last_stage | sed -n "s/^$1 //p" | tail -n 1; }
mapfile -t VARIABLES < <(last_stage | sed -zE 's/\\\n *//g' | sed -n 's/^ENV //p' | tr ' ' '\n')
mapfile -t COMMAND < <(python3 -c 'import json, sys; print(*(json.loads(sys.argv[1]) + json.loads(sys.argv[2])), sep="\n")' \
    "$(instruction ENTRYPOINT)" "$(instruction CMD)")
USER_ID="$(instruction USER)"
[[ "$USER_ID" =~ ^[1-9][0-9]*:[1-9][0-9]*$ ]] || fail "the image's user is not a number other than 0: $USER_ID"

step "the root of the image"
mkdir -p "$ROOT"/{usr/bin,etc/ssl/certs,data,proc,run/secrets,tmp}
install -m 755 "$BINARY" "$ROOT/usr/bin/ringback"
cp /etc/ssl/certs/ca-certificates.crt "$ROOT/etc/ssl/certs/"
# a static program has none
(ldd "$BINARY" || true) | sed -nE 's/.* (\/[^ ]+) \(.*|^\t(\/[^ ]+) \(.*/\1\2/p' | while read -r library; do install -D "$library" "$ROOT$library"; done
printf 'nameserver 127.0.0.1\n' >"$ROOT/etc/resolv.conf"
printf '127.0.0.1 localhost\n' >"$ROOT/etc/hosts"
"$BINARY" master-key generate --quiet >"$ROOT/run/secrets/master-key"
od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n' >"$ROOT/run/secrets/admin-key"
mount --bind "$ROOT" "$ROOT"
mount -o remount,bind,ro "$ROOT"
mount -t proc proc "$ROOT/proc"
mount -t tmpfs -o "mode=750,uid=${USER_ID%:*},gid=${USER_ID#*:}" tmpfs "$ROOT/data"
! touch "$ROOT/usr/bin/x" 2>/dev/null || fail "the root is not read-only"

# the user changes while the root does: there is no other program in there
KEYS=(RINGBACK_MASTER_KEY_FILE=/run/secrets/master-key RINGBACK_ADMIN_KEY_FILE=/run/secrets/admin-key)
IMAGE=("$(command -v chroot)" --userspec="$USER_ID" --groups="" "$ROOT")
ringback() { env -i "${VARIABLES[@]}" "${KEYS[@]}" "${IMAGE[@]}" "${COMMAND[0]}" "$@"; }

step "a first delivery"
began=$(now)
# a receiver in the same network; `--dev` would also make keys
env -i "${VARIABLES[@]}" "${KEYS[@]}" RINGBACK_ALLOW_HTTP=true RINGBACK_ALLOWED_NETWORKS=127.0.0.0/8 \
    "${IMAGE[@]}" "${COMMAND[@]}" >"$WORK/engine.log" 2>&1 &
ENGINE=$!
if ! (eventually grep -q 'ringback listening on' "$WORK/engine.log") 2>/dev/null; then
    cat "$WORK/engine.log" >&2
    fail "the engine does not start"
fi
first_delivery ringback customer "$WORK/receiver.log"
delivered=$(($(now) - began))
status="$(sed -n 's/^Uid:\t\([0-9]*\).*/\1/p' "/proc/$ENGINE/status")"
[ "$status" = "${USER_ID%:*}" ] || fail "the engine runs as $status"

step "the health check"
mapfile -t CHECK < <(python3 - <<'PYTHON'
import yaml
test = yaml.safe_load(open("packaging/container/compose.yaml"))["services"]["ringback"]["healthcheck"]["test"]
assert test[0] == "CMD", test
print(*test[2:], sep="\n")
PYTHON
)
ringback "${CHECK[@]}" >/dev/null || fail "the health check fails on a healthy engine"
code=0
kill -TERM "$ENGINE"
wait "$ENGINE" || code=$?
[ "$code" -eq 0 ] || { cat "$WORK/engine.log" >&2; fail "the engine ended with $code"; }
! ringback "${CHECK[@]}" >/dev/null 2>&1 || fail "the health check passes without an engine"

step "the variables of the compose files and of Kubernetes"
python3 - "$BINARY" "$WORK" "${VARIABLES[@]}" <<'PYTHON'
import pathlib, subprocess, sys, yaml

binary, work, image = sys.argv[1], pathlib.Path(sys.argv[2]), dict(v.split("=", 1) for v in sys.argv[3:])
texts = {
    "database-url": "postgres://ringback@database/ringback",
    "master-key": subprocess.run([binary, "master-key", "generate", "--quiet"], capture_output=True, check=True, text=True).stdout,
    "admin-key": "0123456789abcdef0123456789abcdef",
}
for name, text in texts.items():
    (work / name).write_text(text)

def check(what, variables):
    given = {**image, **variables}
    for name, value in given.items():
        given[name] = str(work / pathlib.Path(value).name) if name.endswith("_KEY_FILE") or name.endswith("_URL_FILE") else value
    result = subprocess.run([binary, "config", "check"], env=given, cwd=work, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"FAILED: {what}:\n{result.stderr}")
    wanted = "DATABASE_URL_FILE" if "RINGBACK_DATABASE_URL_FILE" in variables else "sqlite:///data/"
    if wanted not in result.stdout:
        sys.exit(f"FAILED: {what}: the database is another one:\n{result.stdout}")
    print(f"    {what}")

for name in ["compose", "compose.cluster"]:
    services = yaml.safe_load(open(f"packaging/container/{name}.yaml"))["services"]
    for service, what in services.items():
        if what["image"] == "ringback":
            check(f"{name}.yaml: {service}", what["environment"])
container = yaml.safe_load(open("packaging/kubernetes/statefulset.yaml"))["spec"]["template"]["spec"]["containers"][0]
variables = {}
for variable in container["env"]:
    value = variable.get("value", {"status.podIP": "10.0.0.7", "metadata.name": "ringback-0"}.get(
        variable.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")))
    for name, known in variables.items():
        value = value.replace(f"$({name})", known)
    variables[variable["name"]] = value
check("statefulset.yaml", variables)
PYTHON

printf 'all of it holds: from the start of the engine to a delivery %s ms\n' "$delivered"
