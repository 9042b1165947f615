# A receiver in Python 3, without packages: WEBHOOK_SECRET=whsec_… python3 receiver.py
import hashlib
import hmac
import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = os.environ["WEBHOOK_SECRET"].encode()
# the second is only there for a while after the secret was rotated
SIGNATURES = ("x-callintel-signature", "x-callintel-signature-previous")


def is_genuine(body: bytes, headers) -> bool:
    expected = hmac.new(SECRET, body, hashlib.sha256).hexdigest().encode()
    given = [(headers.get(name) or "").encode() for name in SIGNATURES]
    return any([hmac.compare_digest(expected, signature) for signature in given])


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        # the bytes as they came: JSON that is parsed and printed again has another signature
        body = self.rfile.read(int(self.headers["content-length"]))
        genuine = is_genuine(body, self.headers)
        self.send_response(204 if genuine else 401)
        self.end_headers()
        if genuine:
            event = json.loads(body)
            # the same webhook_id again is the same event again: skip it
            print(event["webhook_id"], event["event_type"], event["data"], flush=True)


if __name__ == "__main__":
    ThreadingHTTPServer(("", int(os.environ.get("PORT", "8000"))), Receiver).serve_forever()
