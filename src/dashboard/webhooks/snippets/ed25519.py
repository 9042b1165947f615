# Verifies ed25519 signatures in Python 3: pip install cryptography
import base64
import time

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def is_genuine(public_key: str, body: bytes, headers) -> bool:
    """`public_key` begins with whpk_, `body` has the bytes as they came, `headers` names in lower case."""
    prefix = "svix" if "svix-signature" in headers else "webhook"
    event_id, timestamp, signatures = (headers.get(f"{prefix}-{name}", "") for name in ("id", "timestamp", "signature"))
    if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > 300:
        return False  # too old, or from the future
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key.removeprefix("whpk_")))
    content = f"{event_id}.{timestamp}.".encode() + body
    # several while a replaced key is valid; those that begin with v1, are of a secret
    for signature in signatures.split(" "):
        version, _, text = signature.partition(",")
        if version != "v1a":
            continue
        try:
            key.verify(base64.b64decode(text), content)
            return True
        except (InvalidSignature, ValueError):
            pass
    return False
