"""What may be called when somebody else names the address, by the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stretto.contexts.core.errors import InvalidOption
from stretto.contexts.external.address_guard import AddressGuard, networks

if TYPE_CHECKING:
    from stretto.settings import Settings


def guard_of(settings: Settings) -> AddressGuard:
    """What the program may call when somebody else names the address."""
    return AddressGuard(allowed=networks(settings.outgoing_allow))


def check_callback(settings: Settings, url: str) -> None:
    """Raises AddressRefused, and InvalidOption where nothing could be signed."""
    guard_of(settings).target(url)
    if not settings.webhook_secret:
        raise InvalidOption(
            "A callback is signed. Set STRETTO_WEBHOOK_SECRET, the same for all workers."
        )
