#!/usr/bin/env bash
# What a delivery costs the engine, in figures that do not depend on how busy the machine is: system calls, changes of
# thread, syncs and bytes written, and instructions where the processor counts them; processor time beside them.
#
#   benches/cost.sh target/release/ringback                    prints the table
#   benches/cost.sh target/release/ringback --check            fails when a figure exceeds benches/cost-baseline.csv by more
#                                                              than the tolerance that stands there
#   benches/cost.sh target/release/ringback --baseline         replaces that file
#
#   POSTGRES=URL          also measures on a temporary database of this server, without what the server itself does
#   SCENARIOS="..."       some of: steady throughput fanout. `steady` is 100 events a second, one by one
#
# Needs perf (Debian: linux-perf) and the right to use tracepoints, which root has.
set -euo pipefail
bin=$(realpath "$1") mode=${2:-}
here=$(dirname "$(realpath "$0")")
baseline="$here/cost-baseline.csv"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

events=raw_syscalls:sys_enter,context-switches,syscalls:sys_enter_fdatasync
if perf stat -e instructions:u true 2>&1 | grep -q 'not supported'; then :; else events+=,instructions:u; fi
if ! perf stat -e "$events" true >/dev/null 2>perf.err; then
    echo "perf can't count system calls here: install linux-perf, and run this as root" >&2
    cat perf.err >&2
    exit 2
fi
# the engine, counted from its first system call to its last
cat >counted <<WRAPPER
#!/usr/bin/env bash
setsid perf stat -x, -o "$work/perf.csv" -e $events -p \$\$ >/dev/null 2>&1 &
for _ in \$(seq 100); do
    # perf is ready when it has opened its counters
    [ -n "\$(ls -l /proc/\$!/fd 2>/dev/null | grep perf_event)" ] && break
    sleep 0.02
done
exec "$bin" "\$@"
WRAPPER
chmod +x counted

databases=(sqlite)
[ -z "${POSTGRES:-}" ] || databases+=(postgres)
: >figures.csv
for database in "${databases[@]}"; do
    for scenario in ${SCENARIOS:-steady throughput fanout}; do
        case $scenario in
            steady) flags=(latency --rate 100 --events 1500 --warm-up-events 0) ;;
            *) flags=("$scenario" --warm-up-events 0) ;;
        esac
        [ "$database" = sqlite ] || flags+=(--postgres "$POSTGRES")
        rm -f perf.csv
        if ! "$bin" load "${flags[@]}" --no-bare --program ./counted --json report.json >load.out 2>&1; then
            cat load.out >&2
            exit 1
        fi
        for _ in $(seq 100); do [ -s perf.csv ] && break; sleep 0.05; done
        python3 - "$database" "$scenario" >>figures.csv <<'PYTHON'
import json, sys
database, scenario = sys.argv[1:]
measured = json.load(open("report.json"))["measured"]
deliveries = measured["deliveries"]
def print_figure(name, value):
    print(f"{database},{scenario},{name},{value:.2f}")
print_figure("processor time (µs)", measured["cpu_micros_per_delivery"])
names = {"raw_syscalls:sys_enter": "system calls", "context-switches": "changes of thread",
         "syscalls:sys_enter_fdatasync": "syncs", "instructions:u": "instructions"}
for line in open("perf.csv"):
    fields = line.split(",")
    if len(fields) > 2 and fields[2] in names and fields[0].isdigit():
        print_figure(names[fields[2]], int(fields[0]) / deliveries)
if measured.get("disk_bytes_per_delivery") is not None:
    print_figure("disk (bytes)", measured["disk_bytes_per_delivery"])
PYTHON
    done
done

python3 - "$baseline" "$mode" <<'PYTHON'
import csv, os, sys
baseline, mode = sys.argv[1:]
# what may decide, and by how much it may grow: figures of full load depend on how many deliveries share a commit, and where a
# commit takes less than a millisecond an outcome does not wait for the next one
TOLERANCES = {("steady", "system calls"): 1.5, ("steady", "instructions"): 1.5,
              ("throughput", "system calls"): 1.5, ("fanout", "system calls"): 1.5,
              ("throughput", "instructions"): 1.1, ("fanout", "instructions"): 1.1}
rows = list(csv.reader(open("figures.csv")))
known = {}
if os.path.exists(baseline):
    known = {tuple(row[:3]): float(row[3]) for row in csv.reader(open(baseline)) if row and not row[0].startswith("#")}
worse = []
print(f"{'for a delivery':42} {'now':>12} {'baseline':>12}")
for database, scenario, name, value in rows:
    before = known.get((database, scenario, name))
    print(f"{database + ' ' + scenario + ': ' + name:42} {float(value):12.2f} {'' if before is None else format(before, '12.2f')}")
    tolerance = TOLERANCES.get((scenario, name))
    if tolerance and before is not None and float(value) > before * tolerance:
        worse.append(f"{database} {scenario}: {value} {name}, more than {tolerance} × {before}")
if mode == "--baseline":
    with open(baseline, "w") as file:
        file.write("# database, scenario, figure, for a delivery; written by `benches/cost.sh BINARY --baseline`\n")
        csv.writer(file, lineterminator="\n").writerows(rows)
if mode == "--check" and not known:
    sys.exit(f"there is no {baseline} to compare with; `benches/cost.sh BINARY --baseline` writes it")
if mode == "--check" and worse:
    sys.exit("a delivery costs more than it did:\n  " + "\n  ".join(worse) + "\nWhat makes it so? If it must: benches/cost.sh BINARY --baseline")
PYTHON
