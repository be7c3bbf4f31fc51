"""A clock that stands still until it is told to go on."""

from __future__ import annotations

from stretto.contexts.core.identifiers import Timestamp


class FakeClock:
    """Call it for the time."""

    def __init__(self, unix_s: float = 1_000_000.0) -> None:
        self.unix_s = unix_s

    def __call__(self) -> Timestamp:
        return Timestamp(self.unix_s)

    def advance(self, seconds: float) -> None:
        self.unix_s += seconds
