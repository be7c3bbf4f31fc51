"""What this context needs from outside, and what it promises to those who use it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from stretto.contexts.external.model import (
    APIEndpoint,
    APIRequest,
    APIResponse,
    Piece,
    Timeouts,
)
from stretto.contexts.external.pace import Pace


class Cancellation(Protocol):
    """Somebody may want to stop."""

    @property
    def cancelled(self) -> bool: ...

    def wait(self, seconds: float, /) -> bool:
        """Sleep, but wake up for a cancel; returns whether it came."""


class Transport(Protocol):
    """Carries one request to its service and brings the answer. Safe from many threads at once."""

    def send(
        self,
        request: APIRequest,
        *,
        timeouts: Timeouts,
        until: float,
        cancel: Cancellation,
    ) -> APIResponse:
        """``until`` is a moment of the monotonic clock. Raises CallFailed and Cancelled; what is
        on its way then is called back."""

    def warm_up(self, endpoint: APIEndpoint, *, timeouts: Timeouts) -> None:
        """Open the first connection in the background, if nobody has yet; returns at once. What
        goes wrong, the first request will tell."""


class Observer(Protocol):
    """Hears of each attempt at a service. Must be quick and must not raise."""

    def called(self, outcome: str, seconds: float) -> None:
        """``outcome`` is ok, too_many, refused or failed, ``seconds`` how long the answer took; or
        not_made, when a breaker kept the call from being made."""

    def retried(self) -> None: ...


class Unobserved:
    """Nobody wants to know."""

    def called(self, outcome: str, seconds: float) -> None:
        pass

    def retried(self) -> None:
        pass


class PaceStore(Protocol):
    """Keeps the pace of one service, for one process or for all that share it."""

    def change(self, step: Callable[[Pace, float], Pace]) -> Pace:
        """Apply ``step`` to the pace and the time now, as if alone; returns the new pace. ``step``
        may be called more than once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """A recording as it is sent: its bytes, a name that tells the format, and the media type."""

    pieces: tuple[Piece, ...] = field(repr=False)
    name: str
    media_type: str


class SpeechEncoder(Protocol):
    """Packs samples into a file that a service takes."""

    def encode(self, samples: memoryview) -> Encoded:
        """``samples`` are 16-bit, 16 kHz, one channel."""
