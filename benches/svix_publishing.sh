#!/usr/bin/env bash
# What publishing through the Svix-compatible API costs beside publishing through our own: requests a second and the engine's
# processor time for a request, in turns within one run, medians. Needs wrk and curl.
#
#   benches/svix_publishing.sh target/release/ringback [rounds] [seconds]
#
# DATABASE_URL names another database than an SQLite file; it must be empty.
set -euo pipefail
bin=$(realpath "$1") rounds=${2:-5} seconds=${3:-3}
work=$(mktemp -d)
cd "$work"
export RINGBACK_LISTEN=127.0.0.1:0 RINGBACK_DATABASE_URL="${DATABASE_URL:-sqlite://$work/ringback.db}"
export RINGBACK_ADMIN_KEY=an-admin-key-of-this-run RINGBACK_SVIX_JWT_SECRET=a-secret-of-this-run RINGBACK_LOG=warn
RINGBACK_MASTER_KEY=$("$bin" master-key generate --quiet)
export RINGBACK_MASTER_KEY
"$bin" serve >out 2>log &
engine=$!
trap 'kill $engine; wait $engine; rm -rf "$work"' EXIT
url=
for _ in $(seq 100); do
    url=$(sed -n 's/^ringback listening on //p' out)
    [ -n "$url" ] && break
    sleep 0.1
done
[ -n "$url" ] || { cat log >&2; exit 1; }

token=$("$bin" svix token)
json='content-type: application/json'
curl -sf "$url/api/v1/app" -H "authorization: Bearer $token" -H "$json" -d '{"name": "a", "uid": "a"}' >/dev/null
key=$(curl -sf "$url/v1/organizations/a/keys" -H "authorization: Bearer $RINGBACK_ADMIN_KEY" -H "$json" \
    -d '{"name": "k", "role": "owner"}' | sed 's/.*"key":"\([^"]*\)".*/\1/')
content=$(printf 'x%.0s' $(seq 900))

# name, credential, whether with a key, the body with %s for a number of the request
script() {
    cat >"$1.lua" <<LUA
local n, run = 0, tostring(os.time()) .. "-"
request = function()
  n = n + 1
  local headers = {["authorization"] = "Bearer $2", ["content-type"] = "application/json"}
  if $3 then headers["idempotency-key"] = "key-" .. run .. n end
  return wrk.format("POST", nil, headers, string.format('$4', run .. n))
end
LUA
}
# `string.format` drops what it has no place for
ours='{"event_type":"call.completed","data":{"a":"'$content'"}}'
theirs='{"eventType":"call.completed","payload":{"a":"'$content'"}}'
named='{"eventType":"call.completed","eventId":"id-%s","payload":{"a":"'$content'"}}'
script native "$key" false "$ours"
script native-key "$key" true "$ours"
script svix "$token" false "$theirs"
script svix-key "$token" true "$theirs"
script svix-id "$token" false "$named"
script svix-id-key "$token" true "$named"

ticks() { awk '{print $14 + $15}' "/proc/$engine/stat"; }
tick_us=$((1000000 / $(getconf CLK_TCK)))
for _ in $(seq "$rounds"); do
    for name in native svix native-key svix-key svix-id svix-id-key; do
        path="/v1/events"
        [ "${name#svix}" = "$name" ] || path="/api/v1/app/a/msg?with_content=false"
        before=$(ticks)
        wrk -t1 -c64 -d"$seconds" -s "$name.lua" "$url$path" >result
        after=$(ticks)
        if grep -q Non-2xx result; then cat result >&2; exit 1; fi
        requests=$(awk '/requests in/ {print $1}' result)
        rate=$(awk '/Requests\/sec/ {print $2}' result)
        echo "$name $rate $(((after - before) * tick_us / requests)).$(((after - before) * tick_us * 10 / requests % 10))" >>figures
    done
done
median() { awk -v name="$1" -v column="$2" '$1 == name {print $column}' figures | sort -n | awk '{all[NR] = $1} END {print all[int((NR + 1) / 2)]}'; }
printf '%-12s %12s %14s %12s %12s\n' "" "requests/s" "processor, µs" "rate to own" "processor"
for name in native svix native-key svix-key svix-id svix-id-key; do
    own=native
    case $name in *-*) own=native-key ;; esac
    printf '%-12s %12.0f %14.1f %12.2f %12.2f\n' "$name" "$(median "$name" 2)" "$(median "$name" 3)" \
        "$(echo "$(median "$name" 2) $(median "$own" 2)" | awk '{print $1 / $2}')" \
        "$(echo "$(median "$name" 3) $(median "$own" 3)" | awk '{print $2 / $1}')"
done
