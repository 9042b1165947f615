#!/usr/bin/env bash
# Says which glibc a binary needs, and fails when it is newer than the given one.
#
#   packaging/tests/glibc.sh BINARY [NEWEST]
set -euo pipefail
BINARY="$1" NEWEST="${2:-}"
# a static program has none, which is no error
needed="$(objdump -T "$BINARY" 2>/dev/null | { grep -oE 'GLIBC_[0-9.]+' || true; } | sort -uV | tail -n 1)"
needed="${needed#GLIBC_}"
if [ -z "$needed" ]; then
    echo "$BINARY needs no glibc"
    exit 0
fi
echo "$BINARY needs glibc $needed"
if [ -n "$NEWEST" ] && [ "$(printf '%s\n' "$needed" "$NEWEST" | sort -V | tail -n 1)" != "$NEWEST" ]; then
    echo "FAILED: newer than $NEWEST, because of" >&2
    objdump -T "$BINARY" | grep -F "GLIBC_$needed" | awk '{print "    " $NF}' >&2
    exit 1
fi
