# A receiver in Python 3, without packages: WEBHOOK_SECRET=whsec_… python3 receiver.py
import hashlib
import hmac
import json
import os
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = os.environ["WEBHOOK_SECRET"].encode()
# the second is only there for a while after the secret was rotated
SIGNATURES = ("x-callintel-signature", "x-callintel-signature-previous")

# in production, one table with a unique webhook_id: then a restart loses nothing and repeats nothing
accepted: dict[str, None] = {}
waiting: queue.Queue = queue.Queue(maxsize=1_000)
lock = threading.Lock()


def is_genuine(body: bytes, headers) -> bool:
    expected = hmac.new(SECRET, body, hashlib.sha256).hexdigest().encode()
    given = [(headers.get(name) or "").encode() for name in SIGNATURES]
    return any([hmac.compare_digest(expected, signature) for signature in given])


def accept(event: dict) -> int:
    """Queues an event unless it came before; returns the status to respond with."""
    with lock:
        if event["webhook_id"] in accepted:
            return 204
        try:
            waiting.put_nowait(event)
        except queue.Full:
            return 503  # it is sent again later
        accepted[event["webhook_id"]] = None
        if len(accepted) > 100_000:
            del accepted[next(iter(accepted))]
    return 204


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        # the bytes as they came: JSON that is parsed and printed again has another signature
        body = self.rfile.read(int(self.headers["content-length"]))
        # respond at once and work later: a slow response counts as a failure and is sent again
        self.send_response(accept(json.loads(body)) if is_genuine(body, self.headers) else 401)
        self.end_headers()


def work():
    while True:
        event = waiting.get()
        print(event["webhook_id"], event["event_type"], event["data"], flush=True)


if __name__ == "__main__":
    threading.Thread(target=work, daemon=True).start()
    server = ThreadingHTTPServer(("", int(os.environ.get("PORT", "8000"))), Receiver)
    print("listening on port", server.server_address[1], flush=True)
    server.serve_forever()
