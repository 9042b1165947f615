# Publishes an event: RINGBACK_KEY=… python3 publish.py call.completed '{"id": "call_42"}' call_42-completed
import json
import os
import sys
import time
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

ENGINE = os.environ.get("ENGINE", "http://127.0.0.1:8080")
KEY = os.environ["RINGBACK_KEY"]
ATTEMPTS = 5


def publish(event_type: str, data: object, idempotency_key: str) -> dict:
    """Publishes one event and returns it once it is durable. The key names what happened: publishing it again, because
    a response got lost or this program was restarted, does not make a second event."""
    body = json.dumps({"event_type": event_type, "data": data}).encode()
    headers = {
        "Authorization": f"Bearer {KEY}",
        "Content-Type": "application/json",
        "Idempotency-Key": idempotency_key,
    }
    for attempt in range(ATTEMPTS):
        is_last = attempt == ATTEMPTS - 1
        wait_seconds = 2.0**attempt
        try:
            with urlopen(Request(f"{ENGINE}/v1/events", body, headers), timeout=15) as response:
                return json.load(response)
        except HTTPError as error:
            # the engine is busy or cannot write; everything else would be refused again
            if error.code not in (429, 503) or is_last:
                sys.exit(f"{error.code}: {error.read().decode()}")
            wait_seconds = float(error.headers.get("Retry-After") or wait_seconds)
        except (URLError, TimeoutError):
            if is_last:
                raise
        time.sleep(wait_seconds)


if __name__ == "__main__":
    event = publish(sys.argv[1], json.loads(sys.argv[2]), sys.argv[3])
    print(event["id"], "for", event["deliveries"], "webhooks")
