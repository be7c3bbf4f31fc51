"""The settings of what the program calls because somebody else named it."""

from __future__ import annotations

from typing import Final

from stretto.settings_values import text


def _are_networks(listed: str) -> bool:
    from ipaddress import ip_network

    try:
        return all(ip_network(one.strip()) for one in listed.split(",") if one.strip())
    except ValueError:
        return False


def _is_secret(value: str) -> bool:
    """Empty, or 24 to 64 bytes in base64, as Standard Webhooks wants them."""
    from base64 import b64decode

    try:
        return not value or 24 <= len(b64decode(value.removeprefix("whsec_"), validate=True)) <= 64
    except ValueError:
        return False


WEBHOOK_SECRET: Final = text(
    "What callbacks are signed with, the same for all workers. See "
    "[Callbacks](../howto/webhooks.md).",
    allowed="empty or whsec_ and 24 to 64 bytes in base64",
    check=_is_secret,
    secret=True,
)
OUTGOING_ALLOW: Final = text(
    "Networks that are not public and may be called nonetheless, with commas between them.",
    allowed="empty or networks such as 10.1.0.0/16,::1",
    check=_are_networks,
)
