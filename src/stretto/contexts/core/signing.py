"""Signatures of what is posted to others, as Standard Webhooks have them
(https://www.standardwebhooks.com)."""

from __future__ import annotations

import base64
import hashlib
import hmac


def signature(key: bytes, message_id: str, at_s: int, body: bytes) -> str:
    """HMAC-SHA256 over id, time and body, joined by full stops, so that none of them can be
    another one's.

    >>> key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    >>> signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    """
    content = b".".join((message_id.encode(), str(at_s).encode(), body))
    digest = hmac.new(key, content, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"
