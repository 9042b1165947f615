"""What schemathesis can't know: how NDJSON is written, and ids of things that exist (tests/schemathesis.sh)."""

import json
import os

import schemathesis

KNOWN = {
    "organization_id": os.environ["ORGANIZATION"],
    "webhook_id": os.environ["WEBHOOK"],
    "delivery_id": os.environ["DELIVERY"],
    "event_id": os.environ["EVENT"],
}


@schemathesis.serializer("application/x-ndjson")
def ndjson(ctx, value):
    if isinstance(value, list):
        value = "\n".join(json.dumps(item) for item in value)
    return value if isinstance(value, bytes) else str(value).encode("utf-8", errors="replace")


@schemathesis.hook
def map_path_parameters(ctx, path_parameters):
    """Half of the made-up ids become ids that exist; not where that would delete what the rest needs."""
    if not path_parameters or ctx.operation.method.upper() == "DELETE":
        return path_parameters
    for name, known in KNOWN.items():
        value = path_parameters.get(name)
        if isinstance(value, str) and value and ord(value[-1]) % 2 == 0:
            path_parameters[name] = known
    return path_parameters
