#!/bin/sh
# Sends a signed sample as the engine does: WEBHOOK_SECRET=whsec_… sh send.sh [another URL]
set -eu
url='https://receiver.example/'
[ $# -eq 0 ] || url=$1
id="msg_sample$(date +%s)"
timestamp=$(date +%s)
body='{"event_type":"call.completed","timestamp":"2024-12-16T10:30:45.000Z","webhook_id":"'$id'","data":{"id":"call_123456789","duration_seconds":345}}'

# keyed with the secret as it is shown
signature=$(printf %s "$body" | openssl dgst -sha256 -hmac "$WEBHOOK_SECRET" -r | cut -d ' ' -f 1)
# Standard Webhooks: keyed with the bytes behind whsec_
key=$(printf %s "${WEBHOOK_SECRET#whsec_}" | openssl base64 -d -A | od -An -v -tx1 | tr -d ' \n')
standard=$(printf %s "$id.$timestamp.$body" | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | openssl base64 -A)

curl -sS -i "$url" -H 'content-type: application/json' -H "x-callintel-signature: $signature" \
  -H "webhook-id: $id" -H "webhook-timestamp: $timestamp" -H "webhook-signature: v1,$standard" \
  --data-binary "$body"
